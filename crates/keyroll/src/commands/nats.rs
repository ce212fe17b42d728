//! `keyroll nats`: what other NATS clients need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use keyroll_core::WorkspaceName;
use keyroll_wire::query::CREDENTIAL_WORKSPACES;
use serde_json::json;

use crate::context::Context;
use crate::error::Failure;
use crate::private_file;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum NatsCommand {
    /// Write NATS credentials for another NATS client, valid for about an hour. They reach your workspaces
    #[command(
        after_help = "Examples:\n  keyroll nats creds --out app.creds\n  keyroll -w demo nats creds > demo.creds"
    )]
    Creds {
        /// File to write, readable by you alone [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(crate) async fn run(context: &Context, command: NatsCommand) -> Result<(), Failure> {
    match command {
        NatsCommand::Creds { out } => creds(context, out.as_deref()).await,
    }
}

async fn creds(context: &Context, out: Option<&Path>) -> Result<(), Failure> {
    let settings = context.settings()?;
    // An operator may name a workspace of which it is no member.
    let named = match &settings.workspace {
        Some(_) => Some(settings.workspace()?),
        None => None,
    };
    let client = context.client().await?;
    let own = client.workspaces().await?;
    let own = own.into_iter().map(|row| row.workspace);
    let mut names: BTreeSet<WorkspaceName> = own.take(CREDENTIAL_WORKSPACES - 1).collect();
    names.extend(named);
    let (text, ends) = client.issue_creds(names.iter().cloned().collect()).await?;
    let Some(out) = out else {
        return context.out.bytes(text.as_bytes());
    };
    private_file::replace(out, text.as_bytes())?;
    let json = json!({
        "file": out.display().to_string(),
        "workspaces": names,
        "expires": time::rfc3339(ends),
    });
    let (file, until) = (out.display(), time::short(ends));
    let words = format!("wrote NATS credentials to {file}, in force until {until}");
    context.out.done(&json, &words)
}
