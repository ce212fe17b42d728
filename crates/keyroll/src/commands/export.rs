//! `keyroll export`: reveals secrets and writes them to a file that other programs can read.

use std::path::{Path, PathBuf};

use clap::Args;
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::{Index, SecretName};
use keyroll_files::{Format, Unrepresentable, write};
use serde_json::json;

use crate::context::Context;
use crate::error::Failure;
use crate::input::text;
use crate::omitted::Reason;
use crate::private_file;
use crate::reveals::{self, Selection};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Format: dotenv, json or yaml [default: by the extension of --out]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// File to write, with mode 0600 [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it exists. By default an existing file is an error
    #[arg(long, requires = "out")]
    force: bool,
    #[command(flatten)]
    selection: Selection,
    /// Reason, for the audit log [default: none]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let by_name = args.out.as_deref().and_then(Format::of);
    let Some(format) = args.format.or(by_name) else {
        return Err(Failure::usage(
            "no format. Add --format dotenv, json or yaml",
        ));
    };
    let selected = args.selection.parse()?;
    let reason = text(args.reason)?;
    let replace = args.force || context.global.yes;
    // Before the reveal, so that nothing is revealed in vain.
    if let Some(path) = &args.out {
        check_place(path, replace)?;
    }
    let session = context.session().await?;
    let place = (context, &session);
    let (names, mut omitted) = reveals::choose(place, &selected).await?;
    selected.check(&omitted, names.len(), "nothing was exported")?;
    let purpose = Purpose::Export(Nothing {});
    let why = (&purpose, reason.as_ref());
    let revealed = reveals::paged(place, &names, why, (&selected, &mut omitted)).await?;
    let mut values: Vec<(&SecretName, &[u8])> = Vec::with_capacity(revealed.values.len());
    for opened in &revealed.values {
        match format.cannot_hold(&opened.value) {
            None => values.push((&opened.name, opened.value.as_slice())),
            Some(Unrepresentable::NotText) => omitted.add(opened.name.clone(), Reason::NotText),
            Some(Unrepresentable::NoDotenvForm) => {
                omitted.add(opened.name.clone(), Reason::NoDotenvForm);
            }
        }
    }
    let recorded = match revealed.entries.as_slice() {
        [] => "nothing was exported",
        _ => "nothing was exported, but the audit log has the reveals",
    };
    selected.check(&omitted, values.len(), recorded)?;
    let file = write(format, &values);
    omitted.note(context, "left out");
    let Some(path) = &args.out else {
        return context.out.bytes(&file);
    };
    if replace {
        private_file::replace(path, &file)?;
    } else {
        private_file::create(path, &file)?;
    }
    let json = json!({
        "file": path,
        "format": format.as_str(),
        "exported": values.len(),
        "left_out": omitted.names(),
        "left_out_reasons": omitted.reasons(),
        "entries": revealed.entries,
        "warnings": revealed.warnings,
    });
    let words = format!(
        "exported {} secrets to {} ({})",
        values.len(),
        path.display(),
        entries(&revealed.entries)
    );
    context.out.done(&json, &words)
}

fn check_place(path: &Path, replace: bool) -> Result<(), Failure> {
    // A broken link exists too.
    let there = path.symlink_metadata().is_ok();
    if path.is_dir() {
        return Err(Failure::usage(format!("{} is a directory", path.display())));
    }
    if there && !replace {
        return Err(Failure::local(format!(
            "{} exists and was not overwritten. Add --force to replace it",
            path.display()
        )));
    }
    private_file::try_out(path)
}

fn entries(entries: &[Index]) -> String {
    match entries {
        [] => "nothing was revealed".to_owned(),
        [one] => format!("entry {one}"),
        [first, .., last] => format!("entries {first} to {last}"),
    }
}
