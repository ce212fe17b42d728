//! `keyroll delegation`: keys that speak for an identity for a while.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyroll_client::delegate;
use keyroll_core::command::DelegationRevoke;
use keyroll_core::limits::DELEGATION_MS;
use keyroll_core::statement::Delegation;
use keyroll_core::{Action, Event, Identity};
use keyroll_wire::time::now;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::options::DryRun;
use crate::session::Session;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum DelegationCommand {
    /// Make a key that speaks for you in the workspace for a while: an identity file for
    /// --identity
    New(NewArgs),
    /// Show what was said of a delegated key
    Show {
        /// The file [default: the identity of the settings]
        file: Option<PathBuf>,
    },
    /// End a delegation before its time, for good: the one that the ledger has seen in use
    Revoke {
        /// The delegated key, as `delegation new` and the audit log show it
        key: String,
        /// Who delegated, where the key was never used: name or public key
        #[arg(long, value_name = "NAME|KEY")]
        of: Option<String>,
        #[command(flatten)]
        dry: DryRun,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// When it ends: RFC 3339, or a duration from now, 12 h at most
    #[arg(long, value_name = "WHEN", default_value = "8h")]
    expires: String,
    /// Where it is used: words for the people who look at it
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
            "a delegation ends at a time to come, 12 h from now at most",
        ));
    }
    let place = args.place.parse()?;
    let session = context.session().await?;
    let signer = session.client.signer();
    if signer.delegation().is_some() {
        return Err(Failure::usage(
            "a delegated key cannot delegate further: use your own identity",
        ));
    }
    let scope = (session.client.ledger(), &session.workspace);
    let made = crate::identity_file::create_delegated(&args.out, |key| {
        delegate(signer.key(), key, scope, (begin, end), place)
    })?;
    let Some(said) = made.delegation() else {
        return Err(Failure::local("the delegation is not in what was made"));
    };
    report(context, said, &format!(" {}", args.out.display()))
}

fn show(context: &Context, file: Option<PathBuf>) -> Result<(), Failure> {
    let path = match file {
        Some(path) => path,
        None => context.settings()?.identity.value,
    };
    let signer = context.signer(&path)?;
    let Some(said) = signer.delegation() else {
        return Err(Failure::usage(format!(
            "{} is an identity's own key: nobody delegated to it",
            path.display()
        )));
    };
    report(context, said, "")
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
        // What was named is over; what the key does for others is not.
        warn_of_others(context, &session, (&key, &whose), action(None)).await;
    }
    Ok(())
}

/// Whose delegations a revocation ends, with names: the one that it named, or those that the ledger
/// has seen in use.
async fn whose(
    session: &Session,
    identity: Option<Identity>,
    events: &[Event],
) -> Result<Vec<(Identity, String)>, Failure> {
    let mut ended: Vec<Identity> = identity.into_iter().collect();
    for event in events {
        if let Event::DelegationRevoked(revoked) = event {
            ended.extend(&revoked.identities);
        }
    }
    let members = session.members().await?;
    let name = |identity: Identity| {
        let row = members.iter().find(|row| row.member == identity);
        let name = row.map_or_else(|| identity.to_string(), |row| row.name.to_string());
        (identity, name)
    };
    Ok(ended.into_iter().map(name).collect())
}

/// Says for whom else the key was seen in use, as far as the caller may end that.
async fn warn_of_others(
    context: &Context,
    session: &Session,
    (key, ended): (&Identity, &[(Identity, String)]),
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
            "{key} still acts for {}: `keyroll delegation revoke {key}` ends that",
            names.join(" and ")
        ));
    }
}

fn json(said: &Delegation) -> Value {
    json!({
        "key": said.key,
        "identity": said.identity,
        "workspace": said.workspace,
        "where": said.place,
        "not_before": time::rfc3339(said.not_before),
        "not_after": time::rfc3339(said.not_after),
    })
}

fn report(context: &Context, said: &Delegation, more: &str) -> Result<(), Failure> {
    if context.out.json {
        return context.out.document(&json(said));
    }
    context.out.line(&format!(
        "{}{more} speaks for {} in {} until {}",
        said.key,
        said.identity,
        said.workspace,
        time::short(said.not_after)
    ))
}
