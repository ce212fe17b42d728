//! `keyroll projection`: the read model, through the service.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use keyroll_client::Client;
use keyroll_core::command::Nothing;
use keyroll_wire::Question;
use keyroll_wire::reply::{Answer, ProjectionRebuild};
use serde_json::json;

use crate::context::Context;
use crate::error::Failure;
use crate::session::{answer, ask_ledger};

/// Millions of entries take minutes; a service that does not answer for longer is gone.
const REBUILD: Duration = Duration::from_secs(3_600);
const POLL: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ProjectionCommand {
    /// Show how far the read model is behind the log
    #[command(after_help = "Example:\n  keyroll projection status")]
    Status,
    /// Print the SHA-256 digest of the read model's canonical dump
    #[command(after_help = "Example:\n  keyroll projection digest")]
    Digest,
    /// Drop the read model, rebuild it from the log, and compare both
    #[command(after_help = "Example:\n  keyroll projection rebuild")]
    Rebuild,
}

pub(crate) async fn run(context: &Context, command: ProjectionCommand) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        ProjectionCommand::Status => status(context, &client).await,
        ProjectionCommand::Digest => digest(context, &client).await,
        ProjectionCommand::Rebuild => rebuild(context, &client).await,
    }
}

async fn status(context: &Context, client: &Client) -> Result<(), Failure> {
    let answered = ask_ledger(client, Question::ProjectionStatus(Nothing {})).await?;
    let status = answer!(answered, Answer::ProjectionStatus)?;
    context.out.facts(
        &status,
        &[
            ("workspaces", status.workspaces.to_string()),
            ("entries", status.entries.to_string()),
            ("read up to message", status.projected.to_string()),
            ("last message of the log", status.log_sequence.to_string()),
        ],
    )
}

async fn digest(context: &Context, client: &Client) -> Result<(), Failure> {
    // The whole read model is read for it.
    let answered = client
        .query_within(None, Question::ProjectionDigest(Nothing {}), REBUILD)
        .await?;
    let digest = answer!(answered, Answer::ProjectionDigest)?;
    if context.out.json {
        return context.out.document(&digest);
    }
    let (entries, projected) = (digest.entries, digest.projected);
    context.out.line(&format!(
        "{} {entries} entries, up to message {projected}",
        digest.digest
    ))
}

async fn rebuild(context: &Context, client: &Client) -> Result<(), Failure> {
    let rebuilding = client.query_within(None, Question::ProjectionRebuild(Nothing {}), REBUILD);
    let watching = std::io::stderr().is_terminal() && !context.out.json;
    let answered = if watching {
        let bar = ProgressBar::no_length().with_style(style());
        bar.enable_steady_tick(Duration::from_millis(100));
        let answered = tokio::select! {
            answered = rebuilding => answered,
            never = watch(client, &bar) => match never {},
        };
        bar.finish_and_clear();
        answered?
    } else {
        rebuilding.await?
    };
    show(context, &answer!(answered, Answer::ProjectionRebuild)?)
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template(
        "{spinner} rebuilding {wide_bar} {pos}/{len} messages {elapsed}",
    );
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Moves the bar for as long as it is polled.
async fn watch(client: &Client, bar: &ProgressBar) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(POLL).await;
        // The service may be too busy to answer; the reply to the rebuild reports any failure.
        let Ok(answered) = client
            .query(None, Question::ProjectionStatus(Nothing {}))
            .await
        else {
            continue;
        };
        if let Answer::ProjectionStatus(status) = answered.answer {
            bar.set_length(status.log_sequence.0);
            bar.set_position(status.projected.0);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a duration in seconds, for reading"
)]
fn show(context: &Context, rebuild: &ProjectionRebuild) -> Result<(), Failure> {
    let seconds = rebuild.millis as f64 / 1_000.0;
    let json = json!({
        "entries": rebuild.entries,
        "seconds": seconds,
        "digest": rebuild.digest,
        "root": rebuild.root,
        "identical": rebuild.identical,
    });
    context.out.facts(
        &json,
        &[
            ("entries", rebuild.entries.to_string()),
            ("seconds", format!("{seconds:.3}")),
            ("digest", rebuild.digest.to_string()),
            ("root", rebuild.root.to_string()),
            (
                "identical to before",
                if rebuild.identical { "yes" } else { "NO" }.to_owned(),
            ),
        ],
    )
}
