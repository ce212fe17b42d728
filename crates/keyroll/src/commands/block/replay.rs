//! `keyroll block replay`.

use std::path::PathBuf;

use clap::Args;

use super::options::RunOptions;
use super::past_run::PastRun;
use super::run::start;
use super::run_records;
use super::source::Source;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::Status;

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Id of the run to repeat
    run: String,
    /// Block file [default: the file of that run, if it was started from this home directory]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

pub(crate) async fn replay(context: &Context, mut args: ReplayArgs) -> Result<Status, Failure> {
    let session = context.session().await?;
    let replay = PastRun::of(&session, &args.run).await?;
    let source = match &args.file {
        Some(file) => Source::read(file)?,
        None => recorded_file(context, &mut args)?,
    };
    let workflow = &source.file.workflow;
    if *workflow != replay.workflow {
        return Err(Failure::usage(format!(
            "run {} belongs to the workflow {:?}, but {} holds {workflow:?}",
            args.run,
            replay.workflow,
            source.path.display(),
        )));
    }
    let block = Some(replay.block.as_str());
    start(context, (&source, block), &args.options, Some(&replay)).await
}

/// The file and the `document` of a run that was started from this home directory.
fn recorded_file(context: &Context, args: &mut ReplayArgs) -> Result<Source, Failure> {
    let record = run_records::of_run(context, &args.run)?;
    let source = Source::read(&record.file)?;
    let path = source.path.display();
    let change = if record.is(&source) {
        ""
    } else {
        ", which has changed since. The block runs as it is now"
    };
    context
        .out
        .note(&format!("run {} used {path}{change}", args.run));
    if args.options.input.is_none() {
        args.options.input = record.input;
    }
    Ok(source)
}
