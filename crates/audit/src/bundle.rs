//! Bundles: a workspace's whole log in one file, for an auditor. A bundle is a CBOR sequence
//! (RFC 8742): a header, then each commit, all as byte strings.

use std::io::{self, Read, Write};

use keyroll_core::statement::LedgerKey;
use keyroll_core::{Blob, Identity, LedgerId, WorkspaceName, cbor};
use keyroll_merkle::{Checkpoint, SignedCheckpoint, VerifierKey};
use serde::{Deserialize, Serialize};

use crate::report::{Problem, Report};
use crate::verify::{Depth, Verifier};

/// Largest header: two signed statements and names.
const HEADER_BYTES: usize = 64 * 1024;
/// Largest commit: the size limit of the log's messages.
const COMMIT_BYTES: usize = 1024 * 1024;

/// The header of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The ledger's id.
    pub ledger: LedgerId,
    /// The workspace.
    pub workspace: WorkspaceName,
    /// A signed checkpoint over exactly the commits that follow.
    pub checkpoint: String,
    /// The statement, signed by the ledger's id, for the key that signed the checkpoint.
    pub ledger_key: Blob,
}

/// Writes the header.
///
/// # Errors
/// Those of the writer.
pub fn write_header(out: &mut impl Write, header: &Header) -> io::Result<()> {
    write_bytes(out, &cbor::encode(header))
}

/// Writes a commit.
///
/// # Errors
/// Those of the writer.
pub fn write_commit(out: &mut impl Write, commit: &[u8]) -> io::Result<()> {
    write_bytes(out, commit)
}

/// Writes a CBOR byte string.
fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&cbor::bytes_head(bytes.len()))?;
    out.write_all(bytes)
}

/// Why a bundle could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file or the disk under it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not a bundle, or not in its one encoding.
    #[error("not a bundle: {0}")]
    Malformed(String),
}

fn malformed<T>(why: impl Into<String>) -> Result<T, BundleError> {
    Err(BundleError::Malformed(why.into()))
}

/// Reads a bundle one commit at a time, and reuses the memory of the commit before.
pub struct Reader<R> {
    bundle: R,
    header: Header,
    /// The position of the next item.
    at: u64,
    item: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the header. Items are read in small steps, so `bundle` should be buffered.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn new(mut bundle: R) -> Result<Self, BundleError> {
        let (mut at, mut item) = (0, Vec::new());
        if !next(&mut bundle, &mut at, &mut item, HEADER_BYTES)? {
            return malformed("it is empty");
        }
        let header = cbor::decode(&item);
        let header = header.map_err(|why| BundleError::Malformed(why.message))?;
        Ok(Self {
            bundle,
            header,
            at,
            item,
        })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next commit, not verified; `None` at the end.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn commit(&mut self) -> Result<Option<&[u8]>, BundleError> {
        let found = next(&mut self.bundle, &mut self.at, &mut self.item, COMMIT_BYTES)?;
        Ok(found.then_some(self.item.as_slice()))
    }
}

/// Reads the next byte string of a CBOR sequence into `item`. Returns whether there is one. Its
/// head must be the one that this program writes, so that a sequence has one encoding.
fn next(
    bundle: &mut impl Read,
    at: &mut u64,
    item: &mut Vec<u8>,
    most: usize,
) -> Result<bool, BundleError> {
    let begin = *at;
    let mut head = Vec::with_capacity(9);
    if !take(bundle, 1, &mut head)? {
        return Ok(false);
    }
    let short = head[0] & 0x1f;
    let more = match short {
        24..=27 => 1 << (short - 24),
        _ => 0,
    };
    if !take(bundle, more, &mut head)? {
        return malformed(format!("it is cut short in the item at byte {begin}"));
    }
    let argument = head[1..]
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let length = if more == 0 {
        u64::from(short)
    } else {
        argument
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if head != cbor::bytes_head(length) {
        let why = "is not a byte string with its length in the shortest form";
        return malformed(format!("the item at byte {begin} {why}"));
    }
    if length > most {
        let why = format!("has {length} bytes, the limit is {most}");
        return malformed(format!("the item at byte {begin} {why}"));
    }
    item.clear();
    if !take(bundle, length, item)? {
        return malformed(format!("it is cut short in the item at byte {begin}"));
    }
    *at += (head.len() + length) as u64;
    Ok(true)
}

/// Reads `count` more bytes. Returns whether there were as many.
fn take(bundle: &mut impl Read, count: usize, into: &mut Vec<u8>) -> io::Result<bool> {
    let read = bundle.take(count as u64).read_to_end(into)?;
    Ok(read == count)
}

/// Verifies a bundle in full, with the key that checks the workspace's checkpoints, if the auditor
/// has it. Without the key the report names the key that the bundle itself brings.
///
/// # Errors
/// [`BundleError`].
pub fn verify(bundle: impl Read, key: Option<&VerifierKey>) -> Result<Report, BundleError> {
    let mut bundle = Reader::new(bundle)?;
    let (ledger, workspace) = (bundle.header.ledger, bundle.header.workspace.clone());
    let mut verifier = Verifier::new(ledger, workspace, Depth::Full);
    while let Some(commit) = bundle.commit()? {
        verifier.commit(commit);
    }
    let opened = checkpoint(&bundle.header, key);
    let mut report = verifier.finish(opened.as_ref().ok().map(|(checkpoint, _)| checkpoint));
    // The checkpoint is part of the bundle, so an older bundle of the same log verifies as well.
    report.against(None);
    let other_key = || Err(("ledger_key", OTHER_KEY.to_owned()));
    let opened = opened.and_then(|(_, signer)| match report.key {
        Some(key) if key != signer => other_key(),
        _ => Ok(()),
    });
    if let Err((kind, detail)) = opened {
        report.warnings.clear();
        report.problems.push(Problem {
            index: None,
            kind: kind.to_owned(),
            detail,
        });
    }
    if key.is_none() {
        let signer = report
            .key
            .map_or_else(|| "unknown".to_owned(), |key| key.to_string());
        report.warnings.push(format!(
            "no key was given: the bundle brings its own (ledger {ledger}, online key {signer}), which proves nothing about its origin"
        ));
    }
    Ok(report)
}

const OTHER_KEY: &str = "the checkpoint is signed by another key of the ledger than the commits";

/// The checkpoint of a header, and the online key that signed it.
fn checkpoint(
    header: &Header,
    key: Option<&VerifierKey>,
) -> Result<(Checkpoint, Identity), (&'static str, String)> {
    let statement = LedgerKey::open(&header.ledger_key.0, &header.ledger)
        .map_err(|r| ("ledger_key", r.message))?;
    let own = keyroll_core::origin::verifier(&header.ledger, &header.workspace, &statement.key)
        .map_err(|error| ("ledger_key", error.to_string()))?;
    let trusted = key.unwrap_or(&own);
    let checkpoint = SignedCheckpoint::open(&header.checkpoint, trusted);
    let checkpoint = checkpoint.map_err(|error| ("checkpoint", error.to_string()))?;
    if checkpoint.origin != own.name() {
        return Err((
            "checkpoint",
            format!("the checkpoint is for {}", checkpoint.origin),
        ));
    }
    if *trusted != own {
        return Err((
            "ledger_key",
            "the key given is not the one that the bundle's ledger vouches for".to_owned(),
        ));
    }
    Ok((checkpoint, statement.key))
}
