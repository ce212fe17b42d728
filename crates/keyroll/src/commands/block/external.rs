//! Running an External API block: check, reveal in one entry, send, mask.

use std::collections::BTreeMap;

use keyroll_core::Index;
use keyroll_resolver::{
    Code as BlockCode, Options, Outcome, Plan, ResolveError, SecretValues, execute,
};
use serde_json::json;

use super::ledger::{Replay, Run, after_reveal, value};
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};

pub(super) async fn run(
    context: &Context,
    plan: &Plan,
    options: &Options,
    replay: Option<&Replay>,
) -> Result<Status, Failure> {
    plan.check_target(options)?;
    check_query(plan)?;
    let id = uuid::Uuid::now_v7().to_string();
    let names: Vec<&str> = plan.names().collect();
    let (mut values, mut used, mut index) = (SecretValues::new(), Vec::new(), None);
    if !names.is_empty() {
        let session = context.session().await?;
        let mut run = Run::new(&session, (plan.workflow(), plan.block()), &id, replay);
        let mut bindings = BTreeMap::new();
        for name in &names {
            let hosts = run.secret(name).await?.hosts;
            let hosts = hosts.iter().map(ToString::to_string).collect();
            bindings.insert((*name).to_owned(), hosts);
        }
        plan.check_hosts(&bindings)?;
        for one in run.reveal(&names).await? {
            values.insert(one.name.to_string(), value(one));
        }
        (used, index) = (run.used(), run.index());
    }
    let outcome = execute(plan, &values, options)
        .await
        .map_err(|error| after_reveal(&error, index, &id))?;
    let report = json!({
        "status": if outcome.failed { "failed" } else { "ok" },
        "http_status": outcome.http_status,
        "output": String::from_utf8_lossy(&outcome.output),
        "run": id,
        "secrets": used,
        "unmasked": outcome.unmasked,
        "index": index,
    });
    show(context, &outcome, &report, (index, &id))?;
    Ok(if outcome.failed {
        Exit::Other
    } else {
        Exit::Ok
    }
    .into())
}

/// No secret can be allowed in a query yet, and what cannot be sent is not revealed.
fn check_query(plan: &Plan) -> Result<(), ResolveError> {
    let Some(name) = plan.names_in_query().next() else {
        return Ok(());
    };
    let error = ResolveError::new(
        BlockCode::ContextForbidden,
        "a secret may not stand in a URL's query",
    );
    Err(error.about(name).in_place("url").in_block(plan.block()))
}

fn show(
    context: &Context,
    outcome: &Outcome,
    report: &serde_json::Value,
    (index, run): (Option<Index>, &str),
) -> Result<(), Failure> {
    super::warn_unmasked(context, &outcome.unmasked);
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

#[cfg(test)]
mod tests {
    use keyroll_resolver::{BlockFile, plan};

    use super::*;

    #[test]
    fn a_secret_in_a_query_is_refused_before_it_is_revealed() {
        let file =
            br#"{"workflow": "w", "blocks": [{"name": "b", "type": "external_api", "method": "GET",
            "url": "https://api.example.com/?key={{secrets.KEY}}"}]}"#;
        let plan = plan(&BlockFile::parse(file).expect("a file"), None).expect("a plan");
        let failure = Failure::from(check_query(&plan).expect_err("refused"));
        assert_eq!(failure.code(), "context_forbidden");
        assert!(failure.message().contains("KEY"));
    }
}
