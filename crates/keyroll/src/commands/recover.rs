//! `keyroll recover`: what an operator does when the log is damaged or was set back.
//!
//! The service has no NATS user that can delete a stream. So it says what it can bring back, and
//! saves that; this program deletes the log and makes it anew with the operator's credentials; and
//! the service appends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use keyroll_client::Client;
use keyroll_core::Code;
use keyroll_server::nats::{NatsClient, create_missing, may_recreate, recreate_log};
use keyroll_wire::Question;
use keyroll_wire::query::{RecoverBegin, RecoverFinish, RecoverPlan, TrustedSize};
use keyroll_wire::reply::{Answer, RecoveryPlan, RecoveryRow};
use serde_json::json;

use crate::cli::DryRun;
use crate::context::Context;
use crate::error::Failure;
use crate::input::confirm;
use crate::session::answer;

/// Every message is read, verified and appended again.
const PATIENCE: Duration = Duration::from_secs(3_600);

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// As a NATS user that may delete and make streams [default: that of `keyroll dev` in the home]
    #[arg(long, value_name = "URL")]
    operator_nats: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

/// Where `keyroll dev` says how to reach its nats-server as the operator, while it runs.
pub(crate) fn operator_file(home: &Path) -> PathBuf {
    home.join("run").join("operator.url")
}

pub(crate) async fn run(context: &Context, args: RecoverArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let seen = seen(&client)?;
    let plan = ask_plan(&client, &seen).await?;
    let nothing = is_nothing(&plan);
    if nothing || args.dry.dry_run {
        if !context.out.json {
            show(context, &plan);
        }
        let words = if nothing {
            "there is nothing to recover"
        } else {
            "nothing was done"
        };
        return context.out.done(&json_of(&plan, false), words);
    }
    show(context, &plan);
    // Before the question: nobody agrees to what cannot be done.
    let operator = if plan.remake {
        alone(&client).await?;
        let operator = connect(context, args.operator_nats.as_deref()).await?;
        let may = may_recreate(&operator).await;
        may.map_err(|error| Failure::local(error.to_string()).within("--operator-nats"))?;
        Some(operator)
    } else {
        None
    };
    confirm(context, "Recover by this plan?")?;
    let plan = match &operator {
        Some(operator) if revive(context, operator).await? => {
            let plan = ask_plan(&client, &seen).await?;
            show(context, &plan);
            plan
        }
        _ => plan,
    };
    if is_nothing(&plan) {
        let words = "all of it is there again: there is nothing to recover any more";
        return context.out.done(&json_of(&plan, true), words);
    }
    let begin = RecoverBegin {
        plan: plan.plan,
        seen,
    };
    let answered = client.query_within(None, Question::RecoverBegin(begin), PATIENCE);
    let begun = answer!(answered.await?, Answer::RecoverBegin)?;
    if let Some(operator) = operator.filter(|_| plan.remake) {
        let remade = recreate_log(&operator, begun.messages).await;
        remade.map_err(|error| {
            Failure::local(format!(
                "{error}. The service takes commands again in two minutes, or when it is started again, \
                 if the log is there; `keyroll status` says whether this has to be done again"
            ))
        })?;
    }
    let finish = Question::RecoverFinish(RecoverFinish { plan: plan.plan });
    let answered = client.query_within(None, finish, PATIENCE).await?;
    let done = answer!(answered, Answer::RecoverFinish)?;
    let mut json = json_of(&plan, true);
    json["digest"] = json!(done.digest);
    json["entries"] = json!(done.entries);
    json["added"] = json!(done.added);
    json["erased"] = json!(done.erased);
    let mut words = format!(
        "recovered {} entries, {} of them to put losses on record; erased {} destroyed values again",
        done.entries, done.added, done.erased
    );
    if plan.workspaces.iter().any(|row| row.known.is_some()) {
        words.push_str(
            ".\nWhoever has seen entries that are gone goes on with `keyroll audit accept`",
        );
    }
    if plan.remake {
        words.push_str(".\nOther replicas need a new start without their ledger.redb");
    }
    context.out.done(&json, &words)
}

/// What the service would do.
async fn ask_plan(client: &Client, seen: &[TrustedSize]) -> Result<RecoveryPlan, Failure> {
    let seen = seen.to_vec();
    let ask = Question::RecoverPlan(RecoverPlan { seen });
    let answered = client.query_within(None, ask, PATIENCE).await?;
    answer!(answered, Answer::RecoverPlan)
}

/// Makes the streams that are missing, before anything is taken for lost: one of which nothing but
/// its description was lost comes back with what it held. Whether there were any: then the plan is
/// another.
async fn revive(context: &Context, operator: &NatsClient) -> Result<bool, Failure> {
    let made = create_missing(operator).await;
    let made = made.map_err(|error| Failure::local(error.to_string()))?;
    for (stream, messages) in &made {
        context.out.note(&match messages {
            0 => format!("stream {stream} was made anew"),
            _ => format!(
                "stream {stream} is there again, with {messages} messages that it held before"
            ),
        });
    }
    Ok(!made.is_empty())
}

/// Another service would go on from the log before, and answer whoever comes to it.
async fn alone(client: &Client) -> Result<(), Failure> {
    match client.services().await? {
        0 | 1 => Ok(()),
        more => {
            let words = format!("{more} services answer: stop all but one, then recover");
            Err(Failure::coded(Code::Conflict, words))
        }
    }
}

/// What this operator has seen of every workspace counts: a log that was cut says nothing of it.
fn seen(client: &Client) -> Result<Vec<TrustedSize>, Failure> {
    let failed =
        |error: std::io::Error| Failure::local(format!("the record of checkpoints: {error}"));
    let mut found = Vec::new();
    for workspace in client.checkpoints().workspaces().map_err(failed)? {
        if let Some(seen) = client.checkpoints().get(&workspace).map_err(failed)? {
            let size = seen.size;
            found.push(TrustedSize { size, workspace });
        }
    }
    Ok(found)
}

async fn connect(context: &Context, named: Option<&str>) -> Result<NatsClient, Failure> {
    let url = if let Some(url) = named {
        url.to_owned()
    } else {
        let path = operator_file(&context.settings()?.home.value);
        std::fs::read_to_string(&path).map_err(|_| {
            Failure::usage(
                "say with --operator-nats how to reach nats-server as a user that may delete and make streams",
            )
        })?
    };
    let connected = keyroll_client::connect_nats(url.trim()).await;
    connected.map_err(|error| Failure::from(error).within("--operator-nats"))
}

fn changes(row: &RecoveryRow) -> bool {
    // Of a workspace that is gone as a whole nothing can be put on record.
    let is_truncated = row.known.is_some() && row.entries.0 > 0;
    is_truncated || row.values > 0 || row.erase > 0
}

fn is_nothing(plan: &RecoveryPlan) -> bool {
    !plan.remake && !plan.workspaces.iter().any(changes)
}

/// Whether a backup could bring back what this plan gives up.
fn loses(plan: &RecoveryPlan) -> bool {
    let rows = &mut plan.workspaces.iter();
    rows.any(|row| row.values > 0 || row.known.is_some())
}

fn json_of(plan: &RecoveryPlan, done: bool) -> serde_json::Value {
    let mut json = json!(plan);
    json["loses"] = json!(loses(plan));
    json["done"] = json!(done);
    json
}

fn show(context: &Context, plan: &RecoveryPlan) {
    let note = |words: String| context.out.note(&crate::render::plain(&words));
    for wrong in &plan.wrong {
        note(format!("wrong: {wrong}"));
    }
    let (messages, unreadable) = (plan.messages, plan.unreadable);
    note(format!(
        "the log has {messages} messages, {unreadable} of them cannot be read"
    ));
    for row in &plan.workspaces {
        let (workspace, entries) = (&row.workspace, row.entries);
        note(format!(
            "{workspace}: {entries} entries verify and are kept"
        ));
        if let Some(known) = row.known {
            note(format!(
                "{workspace}: what came after them is LOST; there were {known} entries at least"
            ));
            if entries.0 == 0 {
                note(format!(
                    "{workspace}: it is gone as a whole, and nothing of it can be put on record"
                ));
            }
        }
        if row.values > 0 {
            let named: Vec<String> = row
                .lost
                .iter()
                .map(|lost| match lost.version {
                    Some(version) => format!("{} version {version}", lost.name),
                    None => lost.name.to_string(),
                })
                .collect();
            let (values, named) = (row.values, named.join(", "));
            let are = if values == 1 {
                "value is"
            } else {
                "values are"
            };
            note(format!("{workspace}: {values} {are} LOST: {named}"));
        }
        if row.erase > 0 {
            let erase = row.erase;
            note(format!(
                "{workspace}: {erase} destroyed values are erased again"
            ));
        }
    }
    if is_nothing(plan) {
        return;
    }
    if loses(plan) {
        note(
            "BEFORE THAT: what is recovered without stays lost. Where there is a backup of the stream that lacks \
             these entries, values or keys, stop the service, put it back, start, and look again"
                .to_owned(),
        );
    }
    note(if plan.remake {
        "to do: delete the stream KEYROLL_LOG, make it and any other that is missing anew, append what \
         is kept, put on record what is lost, build the read model anew. Stop every other replica first"
            .to_owned()
    } else {
        "to do: put on record what is lost; the log stays as it is".to_owned()
    });
}
