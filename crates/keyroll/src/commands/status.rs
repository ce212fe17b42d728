//! `keyroll status`: shows the service's status.

use keyroll_core::command::Nothing;
use keyroll_wire::Question;
use keyroll_wire::reply::Answer;

use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::session::{answer, ask_ledger};

/// Prints the status, and exits with [`Exit::Unverified`] while there are problems.
pub(crate) async fn run(context: &Context) -> Result<Status, Failure> {
    let client = context.client().await?;
    let answered = ask_ledger(&client, Question::Status(Nothing {})).await?;
    let status = answer!(answered, Answer::Status)?;
    let clock = match status.clock_ahead_ms {
        behind @ ..0 => format!("{} ms behind nats-server's", behind.unsigned_abs()),
        ahead => format!("{ahead} ms ahead of nats-server's"),
    };
    let behind = status.log_sequence.0.saturating_sub(status.projected.0);
    let problems = if status.problems.is_empty() {
        "none".to_owned()
    } else {
        status.problems.join("; ")
    };
    let warnings = if status.warnings.is_empty() {
        "none".to_owned()
    } else {
        status.warnings.join("; ")
    };
    let under_way = if status.under_way.is_empty() {
        "nothing".to_owned()
    } else {
        status.under_way.join("; ")
    };
    let synced = if status.sync_verified {
        "verified"
    } else {
        "not verified"
    };
    context.out.facts(
        &status,
        &[
            ("ledger", client.ledger().to_string()),
            ("version", status.version.clone()),
            ("nats-server", status.nats_server.clone()),
            ("entries", status.entries.to_string()),
            (
                "log",
                format!(
                    "message {}, read model {behind} behind",
                    status.log_sequence
                ),
            ),
            ("sync_interval: always", synced.to_owned()),
            ("clock", clock),
            ("under way", under_way),
            ("warnings", warnings),
            ("problems", problems),
        ],
    )?;
    let exit = if status.problems.is_empty() {
        Exit::Ok
    } else {
        Exit::Unverified
    };
    Ok(exit.into())
}
