//! `keyroll accept`: joins a workspace by an invitation.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use keyroll_client::{
    Accepted, Client, ClientError, InvitationLink, LinkTls, Settings as ClientSettings,
};
use keyroll_core::invitation::fingerprint;
use keyroll_core::{Code, MemberId};
use keyroll_wire::query::{MemberList, Question};
use keyroll_wire::reply::MemberRow;
use serde_json::json;
use zeroize::Zeroizing;

use crate::certificate;
use crate::config::{self, Config};
use crate::context::{Context, Origin, Settings};
use crate::error::Failure;
use crate::{identity_file, private_file, time};

/// How often a person who waits asks whether an owner has confirmed.
const POLL: Duration = Duration::from_secs(2);
/// Longest line with a link that is read.
const LINE_BYTES: u64 = 16 * 1024;

#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// The link of the invitation: keyroll://… Write - to read it from standard input
    link: String,
    /// Do not wait until an owner has confirmed you. Run the command again later
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(context: &Context, args: AcceptArgs) -> Result<(), Failure> {
    let link = read(args.link)?;
    let settings = context.settings()?;
    if let Some(pinned) = &settings.ledger
        && pinned.value != link.ledger
    {
        let message = format!(
            "the invitation is for ledger {}, and this home directory belongs to {}: use another --home",
            link.ledger, pinned.value
        );
        return Err(Failure::coded(Code::WrongLedger, message));
    }
    let client = connect(context, &settings, &link).await?;
    if let Some(member) = membership(&client, &link).await? {
        return joined(context, &link, &member);
    }
    match client.accept(&link.workspace, &link.code).await {
        Ok((_, Accepted::Joined)) => {}
        Ok((_, Accepted::Waits(_))) => return waits(context, &client, &link, args.no_wait).await,
        // It was accepted before, and waits; or it was confirmed just now.
        Err(error) if error.code() == Code::Conflict => {
            return waits(context, &client, &link, args.no_wait).await;
        }
        Err(error) => return Err(error.into()),
    }
    let member = membership(&client, &link).await?;
    let member = member.ok_or_else(|| Failure::from(keyroll_client::unexpected()))?;
    joined(context, &link, &member)
}

/// The link, from the argument or from standard input. An argument can be seen by other users of the
/// machine while the command runs.
fn read(given: String) -> Result<InvitationLink, Failure> {
    let mut text = Zeroizing::new(given);
    if text.as_str() == "-" {
        text.clear();
        let failed = |error| Failure::local(format!("standard input cannot be read: {error}"));
        let mut input = std::io::stdin().take(LINE_BYTES);
        input.read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text.trim().parse()?)
}

/// Connects with the own key, which is made where there is none, and keeps what the link says in the
/// home directory, so that other commands work at once.
async fn connect(
    context: &Context,
    settings: &Settings,
    link: &InvitationLink,
) -> Result<Client, Failure> {
    let own = &settings.identity.value;
    let is_new = !own.exists();
    let key = identity_file::load_or_create(own, context.passphrase_source())?;
    if is_new {
        context.out.note(&format!(
            "made your key pair in {}. Nobody else may have this file, and nobody can replace it",
            own.display()
        ));
    }
    let home = &settings.home.value;
    let given = matches!(
        settings.nats_url.origin,
        Origin::Flag(_) | Origin::Environment(_)
    );
    let servers = if given {
        settings.nats_url.value.clone()
    } else {
        link.nats_url()
    };
    let ca = certificate(settings, link)?;
    let client = Client::connect(ClientSettings {
        nats_url: servers.clone(),
        nats_creds: settings.nats_creds.as_ref().map(|file| file.value.clone()),
        nats_ca: ca.clone(),
        identity: key.into(),
        ledger: Some(link.ledger),
        home: Some(home.clone()),
    })
    .await?;
    let wanted = Config {
        ledger: Some(link.ledger),
        nats_url: Some(servers),
        nats_ca: ca,
        workspace: Some(link.workspace.to_string()),
        ..Config::default()
    };
    config::add_missing(home, &wanted)?;
    Ok(client)
}

/// The file with the certificate that signs those of the servers: one of the settings, or the link's, which
/// is written into the home directory.
fn certificate(settings: &Settings, link: &InvitationLink) -> Result<Option<PathBuf>, Failure> {
    if let Some(file) = &settings.nats_ca {
        return Ok(Some(file.value.clone()));
    }
    let LinkTls::Ca(der) = &link.tls else {
        return Ok(None);
    };
    let path = settings.home.value.join("nats-ca.pem");
    private_file::replace(&path, certificate::pem(der).as_bytes())?;
    Ok(Some(path))
}

/// The own membership, if there is one by now.
async fn membership(
    client: &Client,
    link: &InvitationLink,
) -> Result<Option<MemberRow>, ClientError> {
    let ask = Question::MemberList(MemberList {
        limit: 1,
        ..MemberList::default()
    });
    match client.query(Some(&link.workspace), ask).await {
        Err(error) if error.code() == Code::Denied => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let (rows, _) = client.members(&link.workspace, None).await?;
    let own = client.member();
    Ok(rows
        .into_iter()
        .find(|row| row.member == own && !row.removed))
}

/// Says what to do, and waits for the confirmation unless told otherwise.
async fn waits(
    context: &Context,
    client: &Client,
    link: &InvitationLink,
    no_wait: bool,
) -> Result<(), Failure> {
    let own = fingerprint(&client.member());
    if no_wait {
        return pending(context, link, client.member());
    }
    context.out.note(&format!(
        "accepted. An owner of {} has to confirm you first. Tell the person who invited you your fingerprint, in a \
         call or in person: {own}\nThey run `keyroll member confirm` with your name. Waiting. You may stop this \
         command and run it again later",
        link.workspace
    ));
    loop {
        if let Some(member) = membership(client, link).await? {
            return joined(context, link, &member);
        }
        // This is refused in every case: it tells whether the invitation still waits.
        match client.accept(&link.workspace, &link.code).await {
            Err(error) if error.code() == Code::Conflict => tokio::time::sleep(POLL).await,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
}

fn pending(context: &Context, link: &InvitationLink, own: MemberId) -> Result<(), Failure> {
    let own_print = fingerprint(&own);
    let json = json!({
        "status": "waits",
        "workspace": link.workspace,
        "member": own,
        "fingerprint": own_print,
    });
    let words = format!(
        "accepted. An owner of {} has to confirm you first. Tell the person who invited you your fingerprint, in a \
         call or in person: {own_print}. Run this command again afterwards",
        link.workspace
    );
    context.out.done(&json, &words)
}

fn joined(context: &Context, link: &InvitationLink, member: &MemberRow) -> Result<(), Failure> {
    let json = json!({
        "status": "joined",
        "workspace": link.workspace,
        "name": member.name,
        "member": member.member,
        "role": member.role,
        "expires": member.expires.map(time::rfc3339),
        "fingerprint": fingerprint(&member.member),
    });
    let words = format!(
        "you are {} of {}, called {}. Try `keyroll -w {} secret list`",
        with_article(member.role.as_str()),
        link.workspace,
        member.name,
        link.workspace
    );
    context.out.done(&json, &words)
}

fn with_article(role: &str) -> String {
    let vowel = role.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {role}", if vowel { "an" } else { "a" })
}
