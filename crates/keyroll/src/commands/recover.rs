//! `keyroll recover`: repairs a damaged or rolled-back log.
//!
//! The service has no NATS user that can delete a stream. So the service plans the recovery and saves the
//! entries; this program deletes the log and creates it again with the operator's credentials; and the
//! service appends the entries.

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

use crate::context::Context;
use crate::error::Failure;
use crate::input::{Confirmation, confirm};
use crate::options::DryRun;
use crate::session::answer;

/// Every message is read, verified and appended again.
const PATIENCE: Duration = Duration::from_secs(3_600);

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// NATS credentials of the user `operator`, who may delete and create streams [default: the file that
    /// `keyroll dev` keeps in the home directory]
    #[arg(long, value_name = "FILE")]
    operator_creds: Option<PathBuf>,
    #[command(flatten)]
    dry: DryRun,
}

/// The file in which `keyroll dev` keeps the operator's NATS credentials.
pub(crate) fn operator_file(home: &Path) -> PathBuf {
    home.join("run").join("operator.creds")
}

pub(crate) async fn run(context: &Context, args: RecoverArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let seen = trusted_sizes(&client)?;
    let plan = ask_plan(&client, &seen).await?;
    let nothing = is_nothing(&plan);
    if nothing || args.dry.dry_run {
        if !context.out.json {
            show(context, &plan);
        }
        let words = if nothing {
            "there is nothing to recover"
        } else {
            "dry run: nothing was changed"
        };
        return context.out.done(&json_of(&plan, false), words);
    }
    show(context, &plan);
    // Before the question: the operator must not confirm a plan that cannot be carried out.
    let operator = if plan.remake {
        check_single_service(&client).await?;
        let operator = connect(context, args.operator_creds.as_deref()).await?;
        let may = may_recreate(&operator).await;
        may.map_err(|error| Failure::local(error.to_string()).within("--operator-creds"))?;
        Some(operator)
    } else {
        None
    };
    let confirmation = Confirmation {
        question: "Recover by this plan?".to_owned(),
        refusal: "the ledger was not recovered".to_owned(),
    };
    confirm(context, &confirmation)?;
    let plan = match &operator {
        Some(operator) if revive(context, operator).await? => {
            let plan = ask_plan(&client, &seen).await?;
            show(context, &plan);
            plan
        }
        _ => plan,
    };
    if is_nothing(&plan) {
        let words = "everything is back: there is nothing left to recover";
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
                "{error}. If the log exists, the service accepts commands again in two minutes, or after a \
                 restart. `keyroll status` shows whether you have to run the recovery again"
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
        "recovered {} entries; {} of them record losses. Erased {} destroyed values again",
        done.entries, done.added, done.erased
    );
    if plan.workspaces.iter().any(|row| row.known.is_some()) {
        words
            .push_str(".\nMembers who have seen lost entries continue with `keyroll audit accept`");
    }
    if plan.remake {
        words.push_str(".\nDelete ledger.redb on the other replicas, then start them");
    }
    context.out.done(&json, &words)
}

/// Asks the service for its plan.
async fn ask_plan(client: &Client, seen: &[TrustedSize]) -> Result<RecoveryPlan, Failure> {
    let seen = seen.to_vec();
    let ask = Question::RecoverPlan(RecoverPlan { seen });
    let answered = client.query_within(None, ask, PATIENCE).await?;
    answer!(answered, Answer::RecoverPlan)
}

/// Creates missing streams before anything counts as lost: a stream that lost only its description comes
/// back with its messages. Returns whether any was missing, because then the plan changes.
async fn revive(context: &Context, operator: &NatsClient) -> Result<bool, Failure> {
    let made = create_missing(operator).await;
    let made = made.map_err(|error| Failure::local(error.to_string()))?;
    for (stream, messages) in &made {
        context.out.note(&match messages {
            0 => format!("created stream {stream} again, empty"),
            _ => format!("restored stream {stream} with its {messages} messages"),
        });
    }
    Ok(!made.is_empty())
}

/// Checks that one service runs at most: another one would continue from the old log.
async fn check_single_service(client: &Client) -> Result<(), Failure> {
    match client.services().await? {
        0 | 1 => Ok(()),
        more => {
            let words = format!("{more} services are running. Stop all but one, then recover");
            Err(Failure::coded(Code::Conflict, words))
        }
    }
}

/// The checkpoints that this operator has verified: a truncated log does not show that it is truncated.
fn trusted_sizes(client: &Client) -> Result<Vec<TrustedSize>, Failure> {
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

async fn connect(context: &Context, named: Option<&Path>) -> Result<NatsClient, Failure> {
    let settings = context.settings()?;
    let kept = operator_file(&settings.home.value);
    let path = named.unwrap_or(&kept);
    if !path.exists() {
        let words = "no NATS credentials of the operator. Add --operator-creds with a user who may delete and create \
                     streams";
        return Err(Failure::usage(words));
    }
    let url = settings.nats_url.value;
    let connected = keyroll_client::connect_nats(&url, Some(path)).await;
    connected.map_err(|error| Failure::from(error).within("--operator-creds"))
}

fn changes(row: &RecoveryRow) -> bool {
    // A workspace that is lost as a whole has no log in which to record that.
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
    let note = |words: String| context.out.note(&crate::output::plain(&words));
    for wrong in &plan.wrong {
        note(format!("problem: {wrong}"));
    }
    let (messages, unreadable) = (plan.messages, plan.unreadable);
    note(format!(
        "the log has {messages} messages; {unreadable} of them cannot be read"
    ));
    for row in &plan.workspaces {
        let (workspace, entries) = (&row.workspace, row.entries);
        note(format!(
            "{workspace}: keeps {entries} entries, which verify"
        ));
        if let Some(known) = row.known {
            note(format!(
                "{workspace}: LOSES all later entries; there were at least {known} entries"
            ));
            if entries.0 == 0 {
                note(format!(
                    "{workspace}: the whole workspace is LOST, and no log can record that"
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
                "{workspace}: erases {erase} destroyed values again"
            ));
        }
    }
    if is_nothing(plan) {
        return;
    }
    if loses(plan) {
        note(
            "FIRST look for a backup: the recovery makes these losses final. If a backup of the damaged stream \
             has these entries, values or keys, stop the service, restore the backup, start the service, and \
             run this command again"
                .to_owned(),
        );
    }
    note(if plan.remake {
        "plan: delete the stream KEYROLL_LOG, create it and any missing stream again, append the entries that \
         verify, record the losses, rebuild the read model. Stop every other replica first"
            .to_owned()
    } else {
        "plan: record the losses; the log stays as it is".to_owned()
    });
}
