//! `keyroll delegation`: temporary keys that act for an identity.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyroll_client::delegate;
use keyroll_core::command::DelegationRevoke;
use keyroll_core::limits::DELEGATION_MS;
use keyroll_core::statement::Delegation;
use keyroll_core::{Action, Event, Identity, MemberId};
use keyroll_wire::time::now;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::options::DryRun;
use crate::session::Session;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum DelegationCommand {
    /// Create a temporary key that acts for you in the workspace: an identity file for --identity
    #[command(
        after_help = "Example:\n  keyroll delegation new --out ci.pem --expires 2h --where \"nightly build\""
    )]
    New(NewArgs),
    /// Show whom a delegated key acts for, where and until when
    #[command(after_help = "Example:\n  keyroll delegation show ci.pem")]
    Show {
        /// File of the delegated key [default: the identity of the settings]
        file: Option<PathBuf>,
    },
    /// Revoke a delegation before it expires, for good
    #[command(
        after_help = "Examples:\n  keyroll delegation revoke ed25519:KEY\n  keyroll delegation revoke ed25519:KEY --of ana"
    )]
    Revoke {
        /// Delegated key, as `delegation new` and the audit log show it
        key: String,
        /// Member who delegated: name or public key. Needed for a key that was never used
        /// [default: every member for whom the key was used]
        #[arg(long, value_name = "NAME|KEY")]
        of: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// File to write; it must not exist yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// When the delegation ends: an RFC 3339 time or a duration from now, at most 12h
    #[arg(long, value_name = "WHEN", default_value = "8h")]
    expires: String,
    /// Where the key is used: a label for people
    #[arg(
        long = "where",
        value_name = "LABEL",
        default_value = "keyroll delegation"
    )]
    place: String,
}

pub(crate) async fn run(context: &Context, command: DelegationCommand) -> Result<(), Failure> {
    match command {
        DelegationCommand::New(args) => new(context, args).await,
        DelegationCommand::Show { file } => show(context, file),
        DelegationCommand::Revoke { key, of, dry } => {
            revoke(context, &key, of.as_deref(), dry).await
        }
    }
}

async fn new(context: &Context, args: NewArgs) -> Result<(), Failure> {
    let begin = now();
    let end = time::future(&args.expires, begin)?;
    if end <= begin || end.0 - begin.0 > DELEGATION_MS {
        return Err(Failure::usage(
            "a delegation ends at a time in the future, at most 12h from now",
        ));
    }
    let place = args.place.parse()?;
    let session = context.session().await?;
    let signer = session.client.signer();
    if signer.delegation().is_some() {
        return Err(Failure::usage(
            "a delegated key cannot delegate further. Use your own identity with --identity",
        ));
    }
    let scope = (session.client.ledger(), &session.workspace);
    let made = crate::identity_file::create_delegated(&args.out, |key| {
        delegate(signer.key(), key, scope, (begin, end), place)
    })?;
    let Some(delegation) = made.delegation() else {
        return Err(Failure::local("the new delegation cannot be read back"));
    };
    report(context, delegation, &format!(" {}", args.out.display()))
}

fn show(context: &Context, file: Option<PathBuf>) -> Result<(), Failure> {
    let path = match file {
        Some(path) => path,
        None => context.settings()?.identity.value,
    };
    let signer = context.signer(&path)?;
    let Some(delegation) = signer.delegation() else {
        return Err(Failure::usage(format!(
            "{} holds an identity's own key, not a delegated one",
            path.display()
        )));
    };
    report(context, delegation, "")
}

async fn revoke(
    context: &Context,
    key: &str,
    of: Option<&str>,
    dry: DryRun,
) -> Result<(), Failure> {
    let key: Identity = key
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")))?;
    let session = context.session().await?;
    let identity = match of {
        None => None,
        Some(name) => Some(session.member(name).await?.member),
    };
    let action = |identity| Action::DelegationRevoke(DelegationRevoke { key, identity });
    let outcome = session.perform(action(identity), dry).await?;
    let whose = whose(&session, identity, outcome.events()).await?;
    let names: Vec<&str> = whose.iter().map(|(_, name)| name.as_str()).collect();
    let ended: Vec<Value> = whose
        .iter()
        .map(|(identity, name)| json!({"identity": identity, "name": name}))
        .collect();
    let mut json = json!({"key": key, "ended": ended});
    if let [(identity, _)] = whose.as_slice() {
        json["identity"] = json!(identity);
    }
    let words = format!("the delegation of {} to {key}", names.join(" and of "));
    outcome.report(context, ("ended", &words, json))?;
    if identity.is_some() {
        // The key may still act for others.
        warn_of_others(context, &session, (&key, &whose), action(None)).await;
    }
    Ok(())
}

/// The members, with names, whose delegations a revocation ends: the one that it names, or those for whom
/// the ledger has seen the key in use.
async fn whose(
    session: &Session,
    identity: Option<MemberId>,
    events: &[Event],
) -> Result<Vec<(MemberId, String)>, Failure> {
    let mut ended: Vec<MemberId> = identity.into_iter().collect();
    for event in events {
        if let Event::DelegationRevoked(revoked) = event {
            ended.extend(&revoked.identities);
        }
    }
    let members = session.members().await?;
    let name = |identity: MemberId| {
        let row = members.iter().find(|row| row.member == identity);
        let name = row.map_or_else(|| identity.to_string(), |row| row.name.to_string());
        (identity, name)
    };
    Ok(ended.into_iter().map(name).collect())
}

/// Warns of the others for whom the key was used, as far as the caller may revoke those delegations.
async fn warn_of_others(
    context: &Context,
    session: &Session,
    (key, ended): (&Identity, &[(MemberId, String)]),
    revoke: Action,
) {
    let Ok(events) = session.decide(revoke).await else {
        return;
    };
    let Ok(mut others) = whose(session, None, &events).await else {
        return;
    };
    others.retain(|other| !ended.contains(other));
    let names: Vec<&str> = others.iter().map(|(_, name)| name.as_str()).collect();
    if !names.is_empty() {
        context.out.warn(&format!(
            "{key} still acts for {}. `keyroll delegation revoke {key}` ends that",
            names.join(" and ")
        ));
    }
}

fn json(delegation: &Delegation) -> Value {
    json!({
        "key": delegation.key,
        "identity": delegation.identity,
        "workspace": delegation.workspace,
        "where": delegation.place,
        "not_before": time::rfc3339(delegation.not_before),
        "not_after": time::rfc3339(delegation.not_after),
    })
}

fn report(context: &Context, delegation: &Delegation, more: &str) -> Result<(), Failure> {
    if context.out.json {
        return context.out.document(&json(delegation));
    }
    context.out.line(&format!(
        "{}{more} acts for {} in {} until {}",
        delegation.key,
        delegation.identity,
        delegation.workspace,
        time::short(delegation.not_after)
    ))
}
