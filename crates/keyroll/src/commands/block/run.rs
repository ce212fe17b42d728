//! `keyroll block run`: check, reveal in one entry, send, mask.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use keyroll_api::client::{Opened, Reveal, Wanted};
use keyroll_core::command::{BlockRun, Purpose};
use keyroll_core::names::Label;
use keyroll_core::state::Lifecycle;
use keyroll_core::{Code, Index, SecretName};
use keyroll_resolver::{
    Code as BlockCode, Options, Outcome, Plan, ResolveError, SecretValue, SecretValues, execute,
    plan,
};
use serde_json::json;

use super::read;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::session::Session;
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The block file
    file: PathBuf,
    /// The block, where the file has several
    #[arg(long, value_name = "NAME")]
    block: Option<String>,
    /// A network that may be connected to although it is not public
    #[arg(long, value_name = "CIDR")]
    allow_address: Vec<String>,
    /// A host that may be spoken to without TLS
    #[arg(long, value_name = "HOST")]
    allow_http: Vec<String>,
    /// How long the request may take
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: String,
}

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Status, Failure> {
    let options = options(&args)?;
    let plan = plan(&read(&args.file)?, args.block.as_deref())?;
    plan.check_target(&options)?;
    check_query(&plan)?;
    let run = uuid::Uuid::now_v7().to_string();
    let revealed = if plan.names().next().is_none() {
        None
    } else {
        let session = context.session().await?;
        plan.check_hosts(&bindings(&session, &plan).await?)?;
        Some(reveal(&session, &plan, &run).await?)
    };
    let index = revealed.as_ref().map(|reveal| reveal.index);
    let opened = revealed.map(|reveal| reveal.values).unwrap_or_default();
    let used: Vec<_> = opened
        .iter()
        .map(|one| json!({"name": one.name, "version": one.version}))
        .collect();
    let outcome = match execute(&plan, &values(opened), &options).await {
        Ok(outcome) => outcome,
        Err(error) => return Err(after_reveal(&error, index, &run)),
    };
    let report = json!({
        "status": if outcome.failed { "failed" } else { "ok" },
        "http_status": outcome.http_status,
        "output": String::from_utf8_lossy(&outcome.output),
        "run": run,
        "secrets": used,
        "unmasked": outcome.unmasked,
        "index": index,
    });
    show(context, &outcome, &report, (index, &run))?;
    Ok(if outcome.failed {
        Exit::Other
    } else {
        Exit::Ok
    }
    .into())
}

fn options(args: &RunArgs) -> Result<Options, Failure> {
    let unusable = |error: ResolveError| Failure::usage(error.to_string());
    let networks = args
        .allow_address
        .iter()
        .map(|text| text.parse().map_err(unusable));
    let hosts = args
        .allow_http
        .iter()
        .map(|text| text.parse().map_err(unusable));
    Ok(Options {
        allow_address: networks.collect::<Result<_, _>>()?,
        allow_http: hosts.collect::<Result<_, _>>()?,
        timeout: time::duration(&args.timeout)?,
    })
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

/// The hosts of every secret that the block names, as the ledger has them now.
async fn bindings(
    session: &Session,
    plan: &Plan,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut bindings = BTreeMap::new();
    for text in plan.names() {
        let missing = |code, detail| {
            ResolveError::new(code, detail)
                .about(text)
                .in_block(plan.block())
        };
        let not_there = || missing(BlockCode::SecretNotFound, "there is no such secret");
        let name: SecretName = text.parse()?;
        let row = match session.secret(&name).await {
            Ok(row) => row,
            Err(failure) if failure.code() == Code::NotFound.as_str() => {
                return Err(not_there().into());
            }
            Err(failure) => return Err(failure.within(text)),
        };
        match row.state {
            Lifecycle::Active if row.name == name => {}
            Lifecycle::Deleted => {
                return Err(missing(BlockCode::SecretDeleted, "the secret is deleted").into());
            }
            // References are in the very case of the name.
            Lifecycle::Active | Lifecycle::Destroyed => return Err(not_there().into()),
        }
        bindings.insert(
            text.to_owned(),
            row.hosts.iter().map(ToString::to_string).collect(),
        );
    }
    Ok(bindings)
}

async fn reveal(session: &Session, plan: &Plan, run: &str) -> Result<Reveal, Failure> {
    let label = |text: &str| text.parse::<Label>().map_err(Failure::from);
    let purpose = Purpose::Block(BlockRun {
        run: label(run)?,
        block: label(plan.block())?,
        workflow: label(plan.workflow())?,
    });
    let wanted = |name: &str| {
        Ok(Wanted {
            name: name.parse()?,
            version: None,
        })
    };
    let wanted = plan
        .names()
        .map(wanted)
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(session
        .client
        .reveal(&session.workspace, &wanted, &purpose, None)
        .await?)
}

/// The values for the resolver, with the hosts that came with them.
fn values(opened: Vec<Opened>) -> SecretValues {
    let value = |one: Opened| {
        let allowed_hosts = one.hosts.iter().map(ToString::to_string).collect();
        (
            one.name.to_string(),
            SecretValue {
                bytes: one.value,
                allowed_hosts,
                allow_query: false,
            },
        )
    };
    opened.into_iter().map(value).collect()
}

/// An error that came when values were released already: it says where that is on record.
fn after_reveal(error: &ResolveError, index: Option<Index>, run: &str) -> Failure {
    let code = error.code();
    let exit = Exit::of_block(error.kind());
    let record = index
        .map(|index| format!("; the reveal is entry {index}"))
        .unwrap_or_default();
    Failure::Said {
        code,
        exit,
        message: format!("{error} [run {run}{record}]"),
    }
}

fn show(
    context: &Context,
    outcome: &Outcome,
    report: &serde_json::Value,
    (index, run): (Option<Index>, &str),
) -> Result<(), Failure> {
    for name in &outcome.unmasked {
        context.out.note(&format!(
            "warning: the value of {name} has less than 8 bytes and is not masked"
        ));
    }
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
    use keyroll_resolver::BlockFile;

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

    #[test]
    fn an_error_after_the_reveal_names_the_entry() {
        let error = ResolveError::new(BlockCode::Timeout, "the block took too long");
        let failure = after_reveal(&error, Some(Index(7)), "r");
        assert_eq!(failure.code(), "timeout");
        assert!(
            failure.message().contains("run r; the reveal is entry 7"),
            "{}",
            failure.message()
        );
    }
}
