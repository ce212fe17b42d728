//! `keyroll block run` and `keyroll block replay`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use keyroll_api::query::Outcome;
use keyroll_api::reply::AuditRow;
use keyroll_core::Code;
use keyroll_resolver::{Block, Options, ResolveError, plan};

use super::ledger::Replay;
use super::{RunPython, external, python, read};
use crate::commands::audit;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::Status;
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The block file
    file: PathBuf,
    /// The block, where the file has several
    #[arg(long, value_name = "NAME")]
    block: Option<String>,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The run to repeat
    run: String,
    /// The block file that the run was of
    file: PathBuf,
    #[command(flatten)]
    options: RunOptions,
}

/// What an operator allows and chooses.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// A Python block's `document`: a file with JSON
    #[arg(long, value_name = "FILE")]
    pub(super) input: Option<PathBuf>,
    /// A network that may be connected to although it is not public
    #[arg(long, value_name = "CIDR")]
    allow_address: Vec<String>,
    /// A host that may be spoken to without TLS
    #[arg(long, value_name = "HOST")]
    allow_http: Vec<String>,
    /// How long the block may take
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(super) timeout: String,
    #[command(flatten)]
    pub(super) how: RunPython,
    /// Let Python blocks open internet connections
    #[arg(long)]
    pub(super) allow_network: bool,
}

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Status, Failure> {
    start(
        context,
        &args.file,
        args.block.as_deref(),
        &args.options,
        None,
    )
    .await
}

pub(crate) async fn replay(context: &Context, args: ReplayArgs) -> Result<Status, Failure> {
    let session = context.session().await?;
    let rows = audit::of_run(&session, &args.run).await?;
    let (replay, workflow, block) = recorded(&rows, &args.run)?;
    let file = read(&args.file)?;
    if file.workflow != workflow {
        return Err(Failure::usage(format!(
            "run {} was of the workflow {workflow:?}, and {} holds {:?}",
            args.run,
            args.file.display(),
            file.workflow
        )));
    }
    start(
        context,
        &args.file,
        Some(&block),
        &args.options,
        Some(&replay),
    )
    .await
}

/// What the audit log says of a run: which block it was, and the version of each secret.
fn recorded(rows: &[AuditRow], run: &str) -> Result<(Replay, String, String), Failure> {
    let missing = || {
        let message =
            format!("there is no run {run} on record: a run that reveals nothing leaves no entry");
        Failure::coded(Code::NotFound, message)
    };
    let granted = |row: &&AuditRow| row.outcome == Outcome::Granted && row.run.is_some();
    let rows: Vec<&AuditRow> = rows.iter().filter(granted).collect();
    let label = rows.first().and_then(|row| row.run.as_ref());
    let label = label.ok_or_else(missing)?;
    if rows.iter().any(|row| row.run.as_ref() != Some(label)) {
        let message = format!("the entries of run {run} are of several blocks");
        return Err(Failure::coded(Code::Conflict, message));
    }
    let mut versions = BTreeMap::new();
    for one in rows.iter().flat_map(|row| &row.secrets) {
        let Some(version) = one.version else {
            continue;
        };
        let before = versions.insert(one.name.clone(), version);
        if before.is_some_and(|before| before != version) {
            let message = format!("run {run} used two versions of {}", one.name);
            return Err(Failure::coded(Code::Conflict, message));
        }
    }
    let replay = Replay {
        run: run.to_owned(),
        versions,
    };
    Ok((replay, label.workflow.clone(), label.block.clone()))
}

async fn start(
    context: &Context,
    path: &std::path::Path,
    block: Option<&str>,
    options: &RunOptions,
    replay: Option<&Replay>,
) -> Result<Status, Failure> {
    let file = read(path)?;
    match file.block(block)? {
        Block::Python(block) => python::run(context, (&file, block), options, replay).await,
        Block::External(_) => {
            if options.input.is_some() {
                return Err(Failure::usage("--input is for Python blocks"));
            }
            let plan = plan(&file, block)?;
            external::run(context, &plan, &egress(options)?, replay).await
        }
    }
}

fn egress(args: &RunOptions) -> Result<Options, Failure> {
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
