//! Credentials that are issued, forged, expired or stolen, on a real nats-server.

use keyroll_nats::Creds;
use keyroll_nats::creds::seconds;
use keyroll_nats::jwt::{self, Account, Activation, Import, Limits, Template, User};
use keyroll_nats::nkeys::KeyPair;
use keyroll_server::nats::permissions::client_inbox;
use keyroll_server::nats::{
    AccountName, OperatorKeys, TrustedAccount, check_streams, create_streams,
};

use crate::permissions::DELETE_VAULT;
use crate::support::{Connection, Harness, next, user_of};

/// A JWT for a new key that the stolen seed of the scoped key signs.
fn forged(nats: &Harness, user: User, until: Option<u64>) -> Creds {
    let scoped = KeyPair::from_seed(&nats.keys.clients_seed().unwrap()).unwrap();
    user_of(&scoped, "mallory", user, (seconds() - 10, until))
}

fn clients(nats: &Harness) -> String {
    nats.keys.account(AccountName::Clients).public_key()
}

/// The server refuses the credentials. It does not let them in as a guest either.
async fn is_refused(nats: &Harness, creds: &Creds) {
    let inbox = client_inbox(creds.name());
    let tried = nats.try_connect(creds.connect_options(), &inbox).await;
    let refused = tried.err().expect("the server let them in").to_string();
    assert!(refused.contains("authorization violation"), "{refused}");
}

async fn reaches_no_stream(connection: &mut Connection) {
    for subject in [
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.KEYROLL_LOG",
        "$JS.API.STREAM.MSG.GET.KEYROLL_KEYS",
        "keyroll.log.demo",
        "keyroll.vault.demo.aa.0",
        "keyroll.keys.demo.0",
        "keyroll.tokens.demo",
        "$SYS.REQ.SERVER.PING",
        DELETE_VAULT,
    ] {
        connection.cannot_publish(subject, "").await;
    }
    for subject in [">", "keyroll.log.>", "$JS.>", "$SYS.>", "keyroll.v1.>"] {
        connection.cannot_subscribe(subject).await;
    }
}

#[tokio::test]
async fn a_user_jwt_with_permissions_of_its_own_is_refused() {
    let nats = Harness::bare().await;
    let all = || Template::new(vec![">".to_owned()], vec![">".to_owned()]);
    let own = User {
        issuer_account: Some(clients(&nats)),
        ..User::own(all())
    };
    is_refused(&nats, &forged(&nats, own, None)).await;
    let unlimited = User {
        issuer_account: Some(clients(&nats)),
        ..User::unrestricted()
    };
    is_refused(&nats, &forged(&nats, unlimited, None)).await;
    // The same JWT without them is in force.
    let scoped = User::scoped(&clients(&nats), vec!["ws:demo".to_owned()]);
    let creds = forged(&nats, scoped, None);
    nats.connect(&creds, &client_inbox(creds.name())).await;
}

#[tokio::test]
async fn a_stolen_scoped_seed_reaches_no_stream_and_no_other_account() {
    let nats = Harness::new().await;
    for account in AccountName::ALL {
        if account != AccountName::Clients {
            let key = nats.keys.account(account).public_key();
            let elsewhere = User::scoped(&key, Vec::new());
            is_refused(&nats, &forged(&nats, elsewhere, None)).await;
        }
    }
    for tags in [
        vec![],
        vec!["ws:demo"],
        // The service never signs such a tag. It reaches every workspace, which a thief does anyway.
        vec!["ws:*"],
        vec!["ws:>"],
        vec!["ws:_ledger", "ws:demo.>"],
    ] {
        let tags = tags.into_iter().map(str::to_owned).collect();
        let creds = forged(&nats, User::scoped(&clients(&nats), tags), None);
        let inbox = client_inbox(creds.name());
        // The server may refuse a template that gives no valid subject.
        if let Ok(mut thief) = nats.try_connect(creds.connect_options(), &inbox).await {
            reaches_no_stream(&mut thief).await;
        }
    }
    let found = check_streams(&nats.service().await.client).await.unwrap();
    assert_eq!(found.len(), 4);
}

/// Why workspace names are checked before they become tags.
#[tokio::test]
async fn a_tag_with_a_wildcard_would_reach_every_workspace() {
    let nats = Harness::new().await;
    let tags = vec!["ws:*".to_owned()];
    let creds = forged(&nats, User::scoped(&clients(&nats), tags), None);
    let thief = nats.connect(&creds, &client_inbox(creds.name())).await;
    let mut responder = nats.responder().await;
    let mut requests = responder.subscribed("keyroll.v1.>").await;
    let sent = thief.client.publish("keyroll.v1.other.command", "".into());
    sent.await.unwrap();
    assert_eq!(
        &*next(&mut requests).await.subject,
        "keyroll.v1.other.command"
    );
    for wide in ["*", ">", "demo.>", "Demo", "_ledger", ""] {
        assert!(
            wide.parse::<keyroll_core::WorkspaceName>().is_err(),
            "{wide}"
        );
    }
}

#[tokio::test]
async fn an_expired_jwt_is_refused_and_one_that_expires_ends_its_connection() {
    let nats = Harness::bare().await;
    let user = || User::scoped(&clients(&nats), vec!["ws:demo".to_owned()]);
    is_refused(&nats, &forged(&nats, user(), Some(seconds() - 1))).await;
    let creds = forged(&nats, user(), Some(seconds() + 2));
    let mut short = nats.connect(&creds, &client_inbox(creds.name())).await;
    short.ended("expired").await;
}

#[tokio::test]
async fn a_foreign_operators_users_are_refused() {
    let nats = Harness::bare().await;
    let foreign = OperatorKeys::generate().unwrap().users().unwrap();
    for creds in [
        &foreign.service,
        &foreign.operator,
        &foreign.responder,
        &foreign.console,
        &foreign.backup,
    ] {
        is_refused(&nats, creds).await;
    }
    // A user that a foreign account signs for an account of this operator.
    let account = KeyPair::new_account();
    let user = User::scoped(&clients(&nats), Vec::new());
    is_refused(&nats, &user_of(&account, "mallory", user, (0, None))).await;
    // A key that does not belong to the JWT cannot sign the server's nonce for it.
    let jwt = nats.issued(&["demo"]).jwt().to_owned();
    assert!(Creds::new(jwt, KeyPair::new_user()).is_err());
}

/// Only guests do without a signature over the server's nonce.
#[tokio::test]
async fn a_bearer_of_another_account_is_refused() {
    let nats = Harness::bare().await;
    for account in AccountName::ALL {
        let bearer = User {
            bearer_token: true,
            ..User::unrestricted()
        };
        let key = nats.keys.account(account);
        let user = KeyPair::new_user();
        let about = (&*user.public_key(), "mallory");
        let jwt = jwt::sign(key, about, (0, None), bearer).unwrap();
        let options = async_nats::ConnectOptions::with_auth_callback(move |_nonce| {
            let mut auth = async_nats::Auth::new();
            auth.jwt = Some(jwt.clone());
            async move { Ok(auth) }
        });
        let tried = nats.try_connect(options, "_INBOX_x").await;
        assert_eq!(tried.is_ok(), account == AccountName::Guests, "{account:?}");
    }
}

#[tokio::test]
async fn an_issued_client_hears_its_own_answers_and_workspaces_alone() {
    let nats = Harness::new().await;
    let mut one = nats.client(&["demo", "billing"]).await;
    let other = nats.issued(&["demo"]);
    one.cannot_subscribe(&format!("{}.>", client_inbox(other.name())))
        .await;
    for subject in [
        "_INBOX_client.>",
        "_INBOX_client.*.>",
        "_R_.>",
        "keyroll.events.other.>",
    ] {
        one.cannot_subscribe(subject).await;
    }
    let queue = "keyroll.events.>".to_owned();
    let stolen = one.client.queue_subscribe(queue, "q".to_owned()).await;
    one.refused("subscription", "keyroll.events.>").await;
    drop(stolen);
    one.subscribed("keyroll.events.billing.>").await;
    reaches_no_stream(&mut one).await;
}

/// Another account of the same operator, which imports the way into a stream with some activation.
async fn tenant(activation: impl FnOnce(&OperatorKeys, &str, &str) -> String) -> (Harness, Creds) {
    const TOKENS: &str = "keyroll.tokens.>";
    let account = KeyPair::new_account();
    let key = account.public_key();
    let nats = Harness::with(|config, keys| {
        let ledger = keys.account(AccountName::Ledger).public_key();
        let tenant = Account {
            exports: Vec::new(),
            imports: vec![Import::service(
                &ledger,
                TOKENS,
                activation(keys, &key, TOKENS),
            )],
            limits: Limits::plain(),
            signing_keys: Vec::new(),
        };
        let about = (&*key, "TENANT");
        let jwt = jwt::sign(keys.operator_key(), about, (0, None), tenant).unwrap();
        config.trust.accounts.push(TrustedAccount {
            name: "TENANT".to_owned(),
            public_key: key.clone(),
            jwt,
        });
    })
    .await;
    let creds = user_of(&account, "tenant", User::unrestricted(), (0, None));
    (nats, creds)
}

/// Whether a tenant gets something into the stream.
async fn reaches_the_tokens(nats: &Harness, creds: &Creds) -> bool {
    let operator = nats.operator().await.client;
    create_streams(&operator, 1).await.unwrap();
    let tried = nats.try_connect(creds.connect_options(), "_INBOX_tenant");
    // nats-server does not take an account with another account's activation at all.
    let Ok(tenant) = tried.await else {
        return false;
    };
    let sent = tenant.client.request("keyroll.tokens.x", "x".into()).await;
    let found = check_streams(&operator).await.unwrap();
    assert_eq!(sent.is_ok(), found[3].messages == 1, "{sent:?}");
    sent.is_ok()
}

/// Exports are private: in a NATS that others operate, there are other accounts.
#[tokio::test]
async fn another_account_of_the_operator_cannot_import_without_its_own_activation() {
    let (nats, creds) = Box::pin(tenant(|_, _, _| String::new())).await;
    assert!(!reaches_the_tokens(&nats, &creds).await);
    // The activation of account SERVICE, which stands in every server's file.
    let (nats, creds) = Box::pin(tenant(|keys, _, subject| {
        let service = keys.account(AccountName::Service).public_key();
        let ledger = keys.account(AccountName::Ledger);
        let activation = Activation::of_service(subject);
        jwt::sign(ledger, (&service, subject), (0, None), activation).unwrap()
    }))
    .await;
    assert!(!reaches_the_tokens(&nats, &creds).await);
    // The control: its own one works.
    let (nats, creds) = Box::pin(tenant(|keys, tenant, subject| {
        let ledger = keys.account(AccountName::Ledger);
        let activation = Activation::of_service(subject);
        jwt::sign(ledger, (tenant, subject), (0, None), activation).unwrap()
    }))
    .await;
    assert!(reaches_the_tokens(&nats, &creds).await);
}
