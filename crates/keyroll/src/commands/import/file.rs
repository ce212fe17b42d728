//! The file of an import.

use std::fs::File;
use std::io::Read as _;

use keyroll_core::{Code, SecretName};
use keyroll_files::{Empty, Format, ParsedEntry, Problem, read};
use zeroize::Zeroizing;

use super::args::ImportArgs;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::Exit;

/// The largest file: ten thousand values of some size.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Lines and names that one message lists.
const LISTED: usize = 100;

pub(super) fn load(args: &ImportArgs) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: std::io::Error| Failure::file(&args.file, &error);
    let file = File::open(&args.file).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    // Large enough at once: a buffer that grows leaves copies behind.
    let room = usize::try_from(length.min(FILE_BYTES)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES {
        let message = format!("{} has more than {FILE_BYTES} bytes", args.file.display());
        return Err(Failure::coded(Code::TooLarge, message));
    }
    Ok(bytes)
}

pub(super) fn format(args: &ImportArgs) -> Result<Format, Failure> {
    args.format
        .or_else(|| Format::of(&args.file))
        .ok_or_else(|| {
            Failure::usage(format!(
                "the extension of {} is no known format. Add --format dotenv, json or yaml",
                args.file.display()
            ))
        })
}

pub(super) fn parse(
    context: &Context,
    args: &ImportArgs,
    format: Format,
    bytes: &[u8],
) -> Result<Parsed, Failure> {
    let empty = if args.skip_empty {
        Empty::Skip
    } else {
        Empty::Refuse
    };
    let read = read(format, bytes, empty);
    if read.problems.is_empty() {
        if !read.empty.is_empty() {
            let names = listed(read.empty.iter().map(ToString::to_string)).replace('\n', ", ");
            context.out.note(&format!(
                "left out, because their values are empty: {names}"
            ));
        }
        return Ok(Parsed {
            secrets: read.secrets,
            empty: read.empty,
        });
    }
    let line = |problem: &Problem| format!("line {}: {}", problem.line, problem.message);
    let message = format!(
        "{} cannot be imported as {format}, so nothing was sent\n{}",
        args.file.display(),
        listed(read.problems.iter().map(line))
    );
    Err(Failure::Reported {
        code: "invalid_file",
        exit: Exit::Usage,
        message,
    })
}

/// Lines of a message, up to a limit.
pub(super) fn listed(lines: impl ExactSizeIterator<Item = String>) -> String {
    let more = lines.len().saturating_sub(LISTED);
    let mut shown: Vec<String> = lines.take(LISTED).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join("\n")
}

/// A file without problems.
pub(super) struct Parsed {
    pub(super) secrets: Vec<ParsedEntry>,
    /// Names with an empty value, which are left out.
    pub(super) empty: Vec<SecretName>,
}
