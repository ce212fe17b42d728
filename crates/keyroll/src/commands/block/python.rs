//! Runs a Python block, and reveals its secrets as its code requests them.

use std::path::Path;
use std::time::Duration;

use keyroll_resolver::{
    Interpreter, Python, PythonLauncher, PythonOptions, PythonResult, execute_python, parse_json,
};
use serde_json::{Value, json};

use super::ledger::Run;
use super::options::RunOptions;
use super::options::RunPython;
use super::past_run::PastRun;
use super::run_records;
use super::source::{self, Source};
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::output::relay;
use crate::time;

/// The largest `document`.
const MAX_INPUT: u64 = 10 * 1024 * 1024;

/// How long the analysis of a block's code may take.
const READING: Duration = Duration::from_secs(30);

/// The options for analysing code.
pub(super) async fn analysis(how: &RunPython) -> Result<PythonOptions, Failure> {
    let sandbox = how.sandbox.is_required();
    Ok(PythonOptions {
        launcher: PythonLauncher::this_program().map_err(|error| {
            Failure::local(format!("cannot find the program file of keyroll: {error}"))
        })?,
        interpreter: Interpreter::find(how.python.as_deref(), sandbox).await?,
        sandbox,
        network: false,
        timeout: READING,
    })
}

pub(super) async fn run(
    context: &Context,
    (source, block): (&Source, &Python),
    given: &RunOptions,
    replay: Option<&PastRun>,
) -> Result<Status, Failure> {
    let document = given.input.as_deref().map_or(Ok(Value::Null), document)?;
    let options = PythonOptions {
        network: given.allow_network,
        timeout: time::duration(&given.timeout)?,
        ..analysis(&given.how).await?
    };
    if !options.sandbox {
        context
            .out
            .note("warning: without the sandbox the block has all your permissions");
    }
    let id = uuid::Uuid::now_v7();
    run_records::store(context, &id, source, given.input.as_deref());
    let (id, workflow) = (id.to_string(), &source.file.workflow);
    let session = context.session().await?;
    let place = (context.out, &session);
    let mut run = Run::new(place, (workflow, &block.name), &id, replay);
    let outcome = match execute_python(block, &document, &options, &mut run).await {
        Ok(outcome) => outcome,
        Err(error) => return Err(refused(&mut run, &source.placed(error))),
    };
    show(context, &outcome, &run)?;
    // The block may have caught the error, but the ledger still gave a wrong value.
    if let Some(failure) = run.refused.take_if(|refused| refused.is_unverified()) {
        return Err(failure.within(&format!("run {}", run.id)));
    }
    Ok(if outcome.failed {
        Exit::Other
    } else {
        Exit::Ok
    }
    .into())
}

/// If the ledger's refusal ended the block, its message and status count.
fn refused(run: &mut Run, error: &keyroll_resolver::ResolveError) -> Failure {
    let failure = run.after_reveal(error);
    match run.refused.take() {
        Some(Failure::Reported {
            code,
            exit,
            message,
        }) if error.detail() == message => {
            let Failure::Reported { message, .. } = failure else {
                return failure;
            };
            Failure::Reported {
                code,
                exit,
                message,
            }
        }
        _ => failure,
    }
}

fn document(path: &Path) -> Result<Value, Failure> {
    let bytes = source::read_limited(path, MAX_INPUT + 1)?;
    let unusable = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    if bytes.len() as u64 > MAX_INPUT {
        return Err(unusable("a document is at most 10 MiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable("the document is not UTF-8"))?;
    parse_json(text).map_err(|error| {
        let place = error.line_column();
        let place = place.map(|(line, column)| format!(" (line {line} column {column})"));
        unusable(&format!("{}{}", error.detail(), place.unwrap_or_default()))
    })
}

fn show(context: &Context, outcome: &PythonResult, run: &Run) -> Result<(), Failure> {
    source::warn_unmasked(context, &outcome.unmasked);
    if context.out.json {
        return context.out.document(&json!({
            "status": if outcome.failed { "failed" } else { "ok" },
            "http_status": null,
            "output": String::from_utf8_lossy(&outcome.stdout),
            "result": outcome.result,
            "stderr": String::from_utf8_lossy(&outcome.stderr),
            "run": run.id,
            "secrets": run.used(),
            "unmasked": outcome.unmasked,
            "index": run.index(),
            "warnings": run.warnings,
        }));
    }
    // The result is the data; the block's own output is for people.
    relay(&outcome.stdout);
    relay(&outcome.stderr);
    let status = if outcome.failed { "failed" } else { "ok" };
    let record = run
        .index()
        .map(|index| format!(", entry {index}"))
        .unwrap_or_default();
    context
        .out
        .note(&format!("{status} (run {}{record})", run.id));
    if outcome.failed {
        return Ok(());
    }
    context.out.document(&outcome.result)
}
