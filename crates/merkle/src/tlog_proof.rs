//! A proof that can be verified offline, with nothing but the log's key (c2sp.org/tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra base64              (only if there is any)
//! index decimal
//! inclusion proof, one hash in base64 per line
//!
//! signed checkpoint
//! ```

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::hash::Hash;
use crate::note::{MAX_NOTE_BYTES, NoteError};
use crate::proof::{MAX_PROOF_HASHES, ProofError, verify_inclusion};
use crate::text::{from_base64, parse_decimal, parse_hash, to_base64};
use crate::vkey::VerifierKey;

/// The size limit of a proof file: a checkpoint, and as much again for the part before it.
pub const MAX_TLOG_PROOF_BYTES: usize = 2 * MAX_NOTE_BYTES;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
const EXTRA_MARK: &str = "extra ";
const INDEX_MARK: &str = "index ";

/// An inclusion proof with the checkpoint it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Extra data from the application, which no signature covers. Empty means absent.
    pub extra: Vec<u8>,
    /// The position of the leaf in the log.
    pub index: u64,
    /// The siblings of the leaf, from the lowest to the highest.
    pub proof: Vec<Hash>,
    /// The checkpoint with its signatures, verbatim.
    pub checkpoint: String,
}

/// Why a proof file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// More bytes than [`MAX_TLOG_PROOF_BYTES`].
    #[error("the proof file has {bytes} bytes, the limit is {MAX_TLOG_PROOF_BYTES}")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// There is no blank line, so nothing that could be a checkpoint.
    #[error("the proof file has no blank line before a checkpoint")]
    NoCheckpoint,
    /// A line before the checkpoint does not have the required form.
    #[error("line {line} of the proof file is not {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The expected content.
        expected: &'static str,
    },
    /// More hashes than a proof can have.
    #[error("the proof file has {found} hashes, the limit is {MAX_PROOF_HASHES}")]
    TooManyHashes {
        /// How many it has.
        found: usize,
    },
    /// The checkpoint is malformed or not signed by the log.
    #[error("checkpoint of the proof file: {0}")]
    Checkpoint(#[from] NoteError),
    /// The proof does not lead from the leaf to the checkpoint's root.
    #[error("proof file: {0}")]
    Proof(#[from] ProofError),
}

impl TlogProof {
    /// The text form.
    pub fn format(&self) -> String {
        let mut lines = vec![HEADER.to_owned()];
        if !self.extra.is_empty() {
            lines.push(format!("{EXTRA_MARK}{}", to_base64(&self.extra)));
        }
        lines.push(format!("{INDEX_MARK}{}", self.index));
        lines.extend(self.proof.iter().map(|hash| to_base64(hash.as_bytes())));
        format!("{}\n\n{}", lines.join("\n"), self.checkpoint)
    }

    /// Reads the text form. The checkpoint must be well-formed; its signatures are not checked.
    ///
    /// # Errors
    /// For a text that [`TlogProof::format`] would not have written so, or beyond a limit; see
    /// [`TlogProofError`].
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let bytes = text.len();
        if bytes > MAX_TLOG_PROOF_BYTES {
            return Err(TlogProofError::TooLarge { bytes });
        }
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(TlogProofError::NoCheckpoint)?;
        SignedCheckpoint::parse(checkpoint)?;
        let mut lines = head.split('\n').zip(1..).peekable();
        lines
            .next_if(|(text, _)| *text == HEADER)
            .ok_or(TlogProofError::Line {
                line: 1,
                expected: HEADER,
            })?;
        let extra = match lines.next_if(|(text, _)| text.starts_with(EXTRA_MARK)) {
            Some((text, line)) => parse_extra(text, line)?,
            None => Vec::new(),
        };
        let index = parse_index(lines.next(), extra.is_empty())?;
        let proof = parse_hashes(lines.collect())?;
        Ok(Self {
            extra,
            index,
            proof,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// Whether the log with this key has the leaf: the checkpoint is signed by the key for the log
    /// of the key's name, and the proof leads from the leaf to its root. `leaf` is the hash made by
    /// [`leaf_hash`](crate::hash::leaf_hash), from bytes that the caller has. Returns the
    /// checkpoint.
    ///
    /// # Errors
    /// [`TlogProofError::Checkpoint`] or [`TlogProofError::Proof`].
    pub fn verify(&self, leaf: &Hash, key: &VerifierKey) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = SignedCheckpoint::open(&self.checkpoint, key)?;
        verify_inclusion(
            leaf,
            self.index,
            checkpoint.size,
            &self.proof,
            &checkpoint.root,
        )?;
        Ok(checkpoint)
    }
}

fn parse_extra(text: &str, line: usize) -> Result<Vec<u8>, TlogProofError> {
    text.strip_prefix(EXTRA_MARK)
        .and_then(from_base64)
        .filter(|extra| !extra.is_empty())
        .ok_or(TlogProofError::Line {
            line,
            expected: "`extra` and base64 of at least one byte",
        })
}

fn parse_index(line: Option<(&str, usize)>, is_second: bool) -> Result<u64, TlogProofError> {
    line.and_then(|(text, _)| text.strip_prefix(INDEX_MARK))
        .and_then(parse_decimal)
        .ok_or(TlogProofError::Line {
            line: if is_second { 2 } else { 3 },
            expected: "`index` and a decimal without leading zeros",
        })
}

fn parse_hashes(lines: Vec<(&str, usize)>) -> Result<Vec<Hash>, TlogProofError> {
    let found = lines.len();
    if found > MAX_PROOF_HASHES {
        return Err(TlogProofError::TooManyHashes { found });
    }
    lines
        .into_iter()
        .map(|(text, line)| {
            parse_hash(text).ok_or(TlogProofError::Line {
                line,
                expected: "a hash of 32 bytes in base64",
            })
        })
        .collect()
}
