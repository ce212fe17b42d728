//! `keyroll key`: the workspace's wrapping key.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use keyroll_core::command::Nothing;
use keyroll_core::{Action, Code, Event};
use keyroll_wire::Question;
use keyroll_wire::reply::{Answer, KeyStatus};
use serde_json::json;

use crate::context::Context;
use crate::dry_run::Performed;
use crate::error::Failure;
use crate::options::DryRun;
use crate::session::{Session, answer};

const POLL: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum KeyCommand {
    /// Wrap every value under a new key, then erase the old key and all copies of values under it
    #[command(after_help = "Examples:\n  keyroll key rotate\n  keyroll key rotate --dry-run")]
    Rotate(DryRun),
}

pub(crate) async fn run(context: &Context, command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Rotate(dry) => rotate(context, dry).await,
    }
}

async fn rotate(context: &Context, dry: DryRun) -> Result<(), Failure> {
    let session = context.session().await?;
    let outcome = session.perform(Action::KeyRotate(Nothing {}), dry).await?;
    let epoch = match outcome.events() {
        [Event::KeyRotated(rotated)] => rotated.epoch,
        _ => key_status(&session).await?.epoch,
    };
    let acted = match &outcome {
        Performed::Recorded(acted) => acted,
        Performed::Decided(_) => {
            let words = format!("the key of {} to epoch {epoch}", session.workspace);
            return outcome.report(context, ("rotated", &words, json!({"epoch": epoch})));
        }
    };
    let index = acted.index;
    context.out.note(&format!(
        "rotating the key of {} to epoch {epoch} (entry {index}). The service continues even if you stop this command",
        session.workspace
    ));
    let values = wait(context, &session).await?;
    let json = json!({"epoch": epoch, "values": values, "index": index, "receipt": acted.receipt});
    let words = format!(
        "rotated the key of {} to epoch {epoch}: {values} values have a new wrapping, and the old key is erased",
        session.workspace
    );
    context.out.done(&json, &words)
}

async fn key_status(session: &Session) -> Result<KeyStatus, Failure> {
    let answered = session.ask(Question::KeyStatus(Nothing {})).await?;
    answer!(answered, Answer::KeyStatus)
}

/// Waits until the old generation is erased, and shows the progress. Gives the number of values that were
/// copied, as far as the service reported it.
async fn wait(context: &Context, session: &Session) -> Result<u64, Failure> {
    let bar = if std::io::stderr().is_terminal() && !context.out.json {
        ProgressBar::no_length().with_style(style())
    } else {
        ProgressBar::hidden()
    };
    let (mut values, mut shown) = (0, None);
    loop {
        let status = key_status(session).await?;
        if status.retiring.is_none() {
            bar.finish_and_clear();
            return Ok(values);
        }
        values = values.max(status.total);
        let (done, total, what) = match (status.erased, status.to_erase) {
            (Some(erased), Some(to_erase)) => (erased, to_erase, "old messages erased"),
            _ => (status.done, status.total, "values copied"),
        };
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(what);
        if let Some(problem) = status.problem {
            stop_for(&problem)?;
        }
        if bar.is_hidden() && shown != Some((done, what)) {
            context.out.note(&format!("{done} of {total} {what}"));
            shown = Some((done, what));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Fails for problems that an operator has to repair; the others pass by themselves.
fn stop_for(problem: &keyroll_core::Rejection) -> Result<(), Failure> {
    match problem.code {
        Code::ValueLost | Code::Internal | Code::Corrupt | Code::Rollback => {
            let message = format!(
                "the rotation is in the log and continues once an operator has repaired this: {}",
                problem.message
            );
            Err(Failure::coded(problem.code, message))
        }
        _ => Ok(()),
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{spinner} {wide_bar} {pos}/{len} {msg} {elapsed}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
