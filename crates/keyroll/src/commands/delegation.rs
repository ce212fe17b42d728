//! `keyroll delegation`: keys that speak for an identity for a while.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyroll_api::client::{delegate, now};
use keyroll_core::command::DelegationRevoke;
use keyroll_core::limits::DELEGATION_MS;
use keyroll_core::statement::Delegation;
use keyroll_core::{Action, Identity};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
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
    /// End a delegation before its time, for good
    Revoke {
        /// The delegated key, as `delegation new` and the audit log show it
        key: String,
        /// Who delegated, when it was not you (owners): name or public key
        #[arg(long, value_name = "NAME|KEY")]
        of: Option<String>,
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
        DelegationCommand::Revoke { key, of } => revoke(context, &key, of.as_deref()).await,
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

async fn revoke(context: &Context, key: &str, of: Option<&str>) -> Result<(), Failure> {
    let key: Identity = key
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")))?;
    let session = context.session().await?;
    let identity = match of {
        None => session.client.identity(),
        Some(name) => session.member(name).await?.member,
    };
    let action = Action::DelegationRevoke(DelegationRevoke { key, identity });
    let acted = session.act(action).await?;
    let json =
        json!({"key": key, "identity": identity, "index": acted.index, "receipt": acted.receipt});
    let words = format!("ended the delegation to {key} (entry {})", acted.index);
    context.out.done(&json, &words)
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
