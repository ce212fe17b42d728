//! Bundles: a workspace's whole log in one file, for an auditor. A CBOR sequence (RFC 8742): a
//! header, then each commit as a byte string.

use std::io::{self, Write};

use keyroll_core::statement::LedgerKey;
use keyroll_core::{Blob, Code, LedgerId, Rejection, WorkspaceName, cbor};
use keyroll_merkle::{Checkpoint, SignedCheckpoint, VerifierKey};
use serde::{Deserialize, Serialize};

use crate::verify::{Depth, Problem, Report, Verifier};

/// Largest header: two signed statements and names.
const HEADER_BYTES: usize = 64 * 1024;

/// What a bundle says of itself.
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
/// As the writer.
pub fn write_header(out: &mut impl Write, header: &Header) -> io::Result<()> {
    write_bytes(out, &cbor::encode(header))
}

/// Writes a commit.
///
/// # Errors
/// As the writer.
pub fn write_commit(out: &mut impl Write, commit: &[u8]) -> io::Result<()> {
    write_bytes(out, commit)
}

/// Writes a CBOR byte string.
fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&cbor::encode(&Blob(bytes.to_vec())))
}

fn malformed(why: impl std::fmt::Display) -> Rejection {
    Rejection::new(Code::Malformed, format!("not a bundle: {why}"))
}

/// Reads a bundle: its header, and its commits in order.
///
/// # Errors
/// [`Code::Malformed`].
pub fn read(bytes: &[u8]) -> Result<(Header, Vec<Vec<u8>>), Rejection> {
    let mut rest = bytes;
    let header = next(&mut rest)?.ok_or_else(|| malformed("it is empty"))?;
    if header.len() > HEADER_BYTES {
        return Err(malformed("its header is too large"));
    }
    let header = cbor::decode(&header).map_err(|rejection| malformed(rejection.message))?;
    let mut commits = Vec::new();
    while let Some(commit) = next(&mut rest)? {
        commits.push(commit);
    }
    Ok((header, commits))
}

/// The next byte string of a CBOR sequence.
fn next(rest: &mut &[u8]) -> Result<Option<Vec<u8>>, Rejection> {
    let Some((first, _)) = rest.split_first() else {
        return Ok(None);
    };
    if first >> 5 != 2 {
        return Err(malformed(format!(
            "{} bytes before its end there is no byte string",
            rest.len()
        )));
    }
    let blob: Blob = ciborium::from_reader(&mut *rest).map_err(|_| malformed("it is cut short"))?;
    Ok(Some(blob.0))
}

/// Verifies a bundle in full, with nothing but the bundle and, if the auditor has it, the key that
/// checks the workspace's checkpoints. Without the key it says whose key the bundle brings.
pub fn verify(bytes: &[u8], key: Option<&VerifierKey>) -> Result<Report, Rejection> {
    let (header, commits) = read(bytes)?;
    let mut verifier = Verifier::new(header.ledger, header.workspace.clone(), Depth::Full);
    for commit in &commits {
        verifier.commit(commit);
    }
    let opened = checkpoint(&header, key);
    let mut report = verifier.finish(opened.as_ref().ok());
    // Its checkpoint came with it: an older bundle of the same log verifies as well.
    report.against(None);
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
            .map_or_else(|| "nobody known".to_owned(), |key| key.to_string());
        report.warnings.push(format!(
            "no key was given: the bundle brings its own (ledger {}, online key {signer}), which proves nothing about its origin",
            header.ledger
        ));
    }
    Ok(report)
}

fn checkpoint(
    header: &Header,
    key: Option<&VerifierKey>,
) -> Result<Checkpoint, (&'static str, String)> {
    let said = LedgerKey::open(&header.ledger_key.0, &header.ledger)
        .map_err(|r| ("ledger_key", r.message))?;
    let own = keyroll_api::client::verifier(&header.ledger, &header.workspace, &said.key)
        .map_err(|error| ("ledger_key", error.to_string()))?;
    let trusted = key.unwrap_or(&own);
    let checkpoint = SignedCheckpoint::open(&header.checkpoint, trusted);
    let checkpoint = checkpoint.map_err(|error| ("checkpoint", error.to_string()))?;
    if checkpoint.origin != own.name() {
        return Err((
            "checkpoint",
            format!("the checkpoint is of {}", checkpoint.origin),
        ));
    }
    if *trusted != own {
        return Err((
            "ledger_key",
            "the key given is not the one that the bundle's ledger vouches for".to_owned(),
        ));
    }
    Ok(checkpoint)
}
