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
        after_help = "Examples:\n  keyroll nats creds --out app.creds\n  keyroll -w demo nats creds --out demo.creds"
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
    let (names, left_out) = reached(own.collect(), named);
    if !left_out.is_empty() {
        context.out.note(&format!(
            "NATS credentials name at most {CREDENTIAL_WORKSPACES} workspaces. These do not reach {}; -w NAME puts one in",
            list(&left_out)
        ));
    }
    let (text, ends) = client.issue_creds(names.iter().cloned().collect()).await?;
    let Some(out) = out else {
        return context.out.bytes(text.as_bytes());
    };
    private_file::replace(out, text.as_bytes())?;
    let json = json!({
        "file": out.display().to_string(),
        "workspaces": names,
        "left_out": left_out,
        "expires": time::rfc3339(ends),
    });
    let (file, until) = (out.display(), time::short(ends));
    let words = format!("wrote NATS credentials to {file}, in force until {until}");
    context.out.done(&json, &words)
}

/// The workspaces that credentials reach, the named one among them, and those for which they have no room.
fn reached(
    mut own: BTreeSet<WorkspaceName>,
    named: Option<WorkspaceName>,
) -> (BTreeSet<WorkspaceName>, BTreeSet<WorkspaceName>) {
    if let Some(name) = &named {
        own.remove(name);
    }
    let room = CREDENTIAL_WORKSPACES - usize::from(named.is_some());
    let mut own = own.into_iter();
    let reached = own.by_ref().take(room).chain(named).collect();
    (reached, own.collect())
}

/// The first few names, and how many more there are.
fn list(names: &BTreeSet<WorkspaceName>) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names
        .iter()
        .take(SHOWN)
        .map(WorkspaceName::as_str)
        .collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> BTreeSet<WorkspaceName> {
        let names = (0..count).map(|number| format!("w{number:03}"));
        names.map(|name| name.parse().expect("a name")).collect()
    }

    #[test]
    fn what_credentials_have_no_room_for_is_told() {
        assert_eq!(reached(names(256), None), (names(256), names(0)));
        let last = |count: usize| names(count).pop_last();
        let (has, lacks) = reached(names(258), last(258));
        assert_eq!(has.len(), 256);
        assert!(has.iter().any(|name| name.as_str() == "w257"));
        assert_eq!(list(&lacks), "w255, w256");
        assert_eq!(
            list(&names(12)).split_once(" and "),
            Some((list(&names(10)).as_str(), "2 more"))
        );
        // A named one that is not its own takes a place.
        let (has, lacks) = reached(names(256), last(300));
        assert_eq!((has.len(), lacks.len()), (256, 1));
    }
}
