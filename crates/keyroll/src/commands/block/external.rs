//! Runs an External API block: check, reveal in one entry, send, mask.

use std::collections::BTreeMap;

use keyroll_core::Index;
use keyroll_core::SecretName;
use keyroll_resolver::{Code as BlockCode, Plan, ResolveError, RunResult, SecretValues, execute};
use serde_json::json;

use super::ledger::{Run, after_reveal};
use super::options::{RunOptions, egress};
use super::past_run::PastRun;
use super::run_records;
use super::source::{self, Source};
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};

pub(super) async fn run(
    context: &Context,
    (source, plan): (&Source, &Plan),
    given: &RunOptions,
    replay: Option<&PastRun>,
) -> Result<Status, Failure> {
    let options = &egress(given)?;
    plan.check_target(options)
        .and_then(|()| check_query(plan, &given.allow_query))
        .map_err(|error| source.placed(error))?;
    let id = uuid::Uuid::now_v7();
    let names: Vec<&str> = plan.names().collect();
    let (mut values, mut used, mut index) = (SecretValues::new(), Vec::new(), None);
    let mut warnings = Vec::new();
    let look_up = async || {
        let destination = plan.destination(options).await;
        destination.map_err(|error| source.placed(error))
    };
    let destination;
    if names.is_empty() {
        destination = look_up().await?;
    } else {
        let session = context.session().await?;
        let place = (context.out, &session);
        let run_id = id.to_string();
        let mut run = Run::new(place, (plan.workflow(), plan.block()), &run_id, replay);
        let mut bindings = BTreeMap::new();
        for name in &names {
            bindings.insert((*name).to_owned(), run.hosts(name).await?);
        }
        plan.check_hosts(&bindings)?;
        // The last check before the reveal, and the first that contacts another party.
        destination = look_up().await?;
        run_records::store(context, &id, source, None);
        for (name, mut value) in run.reveal(&names).await? {
            value.allow_query = given.allow_query.iter().any(|one| one.as_str() == name);
            values.insert(name, value);
        }
        (used, index, warnings) = (run.used(), run.index(), run.warnings);
    }
    let id = id.to_string();
    let outcome = execute(&destination, &values)
        .await
        .map_err(|error| after_reveal(&source.placed(error), index, &id))?;
    let report = json!({
        "status": if outcome.failed { "failed" } else { "ok" },
        "http_status": outcome.http_status,
        "output": String::from_utf8_lossy(&outcome.output),
        "run": id,
        "secrets": used,
        "unmasked": outcome.unmasked,
        "index": index,
        "warnings": warnings,
    });
    show(context, &outcome, &report, (index, &id))?;
    Ok(if outcome.failed {
        Exit::Other
    } else {
        Exit::Ok
    }
    .into())
}

/// Refuses what cannot be sent, before it is revealed.
fn check_query(plan: &Plan, allowed: &[SecretName]) -> Result<(), ResolveError> {
    let not_allowed = |name: &&str| !allowed.iter().any(|one| one.as_str() == *name);
    let Some(name) = plan.names_in_query().find(not_allowed) else {
        return Ok(());
    };
    let error = ResolveError::new(
        BlockCode::ContextForbidden,
        "servers and proxies log a URL's query, so a secret may be part of it only with --allow-query",
    );
    Err(error
        .about_secret(name)
        .in_field("url")
        .in_block(plan.block()))
}

fn show(
    context: &Context,
    outcome: &RunResult,
    report: &serde_json::Value,
    (index, run): (Option<Index>, &str),
) -> Result<(), Failure> {
    source::warn_unmasked(context, &outcome.unmasked);
    if context.out.json {
        return context.out.document(report);
    }
    let record = index
        .map(|index| format!(", entry {index}"))
        .unwrap_or_default();
    context
        .out
        .note(&format!("HTTP {} (run {run}{record})", outcome.http_status));
    context.out.bytes(&outcome.output)
}
