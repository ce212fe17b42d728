//! `keyroll export`: audited reveals into a file that others can read again.

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
    /// dotenv, json or yaml [default: by the extension of --out]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write to this file, for its owner alone, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file when there is one
    #[arg(long, requires = "out")]
    force: bool,
    #[command(flatten)]
    selection: Selection,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let by_name = args.out.as_deref().and_then(Format::of);
    let Some(format) = args.format.or(by_name) else {
        return Err(Failure::usage(
            "which format? Say --format dotenv, json or yaml",
        ));
    };
    let selected = args.selection.parse()?;
    let reason = text(args.reason)?;
    let replace = args.force || context.global.yes;
    // Before anything is revealed for nothing.
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
            Some(Unrepresentable::NoDotenvForm) => omitted.add(opened.name.clone(), Reason::NoForm),
        }
    }
    let recorded = match revealed.entries.as_slice() {
        [] => "nothing was exported",
        _ => "nothing was exported; what was revealed is on record",
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
    // Also a link that leads nowhere is there.
    let there = path.symlink_metadata().is_ok();
    if path.is_dir() {
        return Err(Failure::usage(format!("{} is a directory", path.display())));
    }
    if there && !replace {
        return Err(Failure::local(format!(
            "{} is there already and is not overwritten: say --force to replace it",
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
