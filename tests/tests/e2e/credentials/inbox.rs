//! A connection hears its answers whatever else it subscribes to, and says when it cannot.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use keyroll_client::{Client, ClientError, Settings};
use keyroll_core::command::Nothing;
use keyroll_core::{Action, Code};
use keyroll_nats::Creds;
use keyroll_nats::jwt::{self, Template, User};
use keyroll_nats::nkeys::KeyPair;
use keyroll_server::nats::AccountName;
use keyroll_tests::harness::wait::{until, within};
use keyroll_tests::harness::{Cluster, demo};

const CALLERS: usize = 64;

/// A file of a NATS user `narrow` that has so many subscriptions, below one subject.
fn narrow(cluster: &Cluster, below: &str, subscriptions: i64) -> PathBuf {
    let user = KeyPair::new_user();
    let permissions = Template {
        subs: subscriptions,
        ..Template::new(vec!["keyroll.v1.>".to_owned()], vec![below.to_owned()])
    };
    let account = cluster.nats_operator().account(AccountName::Clients);
    let about = (&*user.public_key(), "narrow");
    let jwt = jwt::sign(account, about, (0, None), User::own(permissions)).expect("signed");
    let creds = Creds::new(jwt, user).expect("they fit");
    let file = cluster.home().scratch().join("narrow.creds");
    fs::write(&file, creds.render().expect("a text")).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a mode");
    file
}

async fn connect(cluster: &Cluster, creds: Option<PathBuf>) -> Result<Client, ClientError> {
    let settings = Settings {
        nats_url: cluster.nats_url(0),
        nats_creds: creds,
        nats_ca: None,
        identity: cluster.owner().into(),
        ledger: Some(cluster.ledger()),
        home: None,
    };
    within("a client", Box::pin(Client::connect(settings))).await
}

async fn all_are_answered(client: &Client) {
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { Box::pin(client.members(&demo(), None)).await })
        })
        .collect();
    for caller in callers {
        let answered = within("an answer", caller).await.expect("it ran");
        answered.expect("no answer is lost");
    }
}

/// nats-server does not say which subscription it refused.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_others_take_no_answers_away() {
    let cluster = Cluster::start(1, 1);
    let _service = cluster.serve(0, 0, 0);
    let file = narrow(&cluster, ">", 3);
    let client = connect(&cluster, Some(file)).await.expect("connected");
    let create = Action::WorkspaceCreate(Nothing {});
    client.execute(&demo(), create).await.expect("a workspace");
    let nats = client.nats(None).await.expect("a connection");
    let mut notices = Vec::new();
    for number in 0..9 {
        let subject = format!("keyroll.events.demo.{number}");
        notices.push(nats.subscribe(subject).await.expect("asked for"));
    }
    nats.flush().await.expect("sent");
    all_are_answered(&client).await;
    let create = Action::WorkspaceCreate(Nothing {});
    let other = "other".parse().expect("a name");
    client.execute(&other, create).await.expect("a workspace");
    all_are_answered(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_an_inbox_is_told_so_before_anything_is_sent() {
    let cluster = Cluster::start(1, 1);
    let _service = cluster.serve(0, 0, 0);
    let file = narrow(&cluster, "keyroll.events.>", -1);
    let refused = connect(&cluster, Some(file)).await.err().expect("refused");
    assert_eq!(refused.code(), Code::Denied, "{refused}");
    let words = refused.to_string();
    assert!(
        words.contains("narrow") && words.contains("no answers"),
        "{words}"
    );
}

/// The connections that a nats-server has.
fn connections(cluster: &Cluster) -> String {
    let address = cluster.monitoring_url(0);
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("the monitoring port");
    let get = format!("GET /connz HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(get.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// There are few places for guests.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_asks_nothing_more_leaves() {
    let cluster = Cluster::start(1, 1);
    let _service = cluster.serve(0, 0, 0);
    let _client = connect(&cluster, None).await.expect("connected");
    assert!(connections(&cluster).contains("keyroll guest"));
    until("no guest", || {
        (!connections(&cluster).contains("keyroll guest")).then_some(())
    });
}
