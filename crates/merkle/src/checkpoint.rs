//! Checkpoints: the signed size and root of a tree (c2sp.org/tlog-checkpoint).
//!
//! ```text
//! origin
//! size in decimal
//! root in base64
//! any extension lines
//! ```

use ed25519_dalek::SigningKey;

use crate::hash::Hash;
use crate::note::{Note, NoteError, sign_note};
use crate::text::{is_control, parse_decimal, parse_hash, to_base64};
use crate::vkey::VerifierKey;

/// A log's statement about its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log: a line of text, by convention a URL without a scheme.
    pub origin: String,
    /// How many leaves its tree has.
    pub size: u64,
    /// The root of the tree of that size.
    pub root: Hash,
    /// Further lines, without a meaning here; c2sp.org/tlog-checkpoint advises against them.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The note text, the bytes that are signed.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`] when the origin or an extension is not a line: empty, or with a
    /// newline or another control character.
    pub fn body(&self) -> Result<String, NoteError> {
        check_line(&self.origin, 1)?;
        let mut body = format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            to_base64(self.root.as_bytes())
        );
        for (extension, line) in self.extensions.iter().zip(4..) {
            check_line(extension, line)?;
            body.push_str(extension);
            body.push('\n');
        }
        Ok(body)
    }

    /// Reads a note text. It must not be trusted before its signature is verified.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`], which names the line that [`Checkpoint::body`] would not have
    /// written so.
    pub fn parse_body(body: &str) -> Result<Self, NoteError> {
        let mut lines = Lines::new(body);
        let (origin, _) = lines.next_or("is missing: the origin")?;
        let (size, line) = lines.next_or("is missing: the size")?;
        let size = parse_decimal(size).ok_or(NoteError::Checkpoint {
            line,
            problem: "is not a size in decimal without leading zeros",
        })?;
        let (root, line) = lines.next_or("is missing: the root")?;
        let root = parse_hash(root).ok_or(NoteError::Checkpoint {
            line,
            problem: "is not a root of 32 bytes in base64",
        })?;
        let mut extensions = Vec::new();
        while !lines.rest.is_empty() {
            extensions.push(lines.next_or("is missing")?.0.to_owned());
        }
        let origin = origin.to_owned();
        Ok(Self {
            origin,
            size,
            root,
            extensions,
        })
    }

    /// The whole text of a note with this checkpoint, signed by one key under a name. By convention
    /// the name is the origin; [`SignedCheckpoint::open`] requires it.
    ///
    /// # Errors
    /// When the checkpoint or the name cannot stand in a note.
    pub fn sign(&self, key: &SigningKey, name: &str) -> Result<String, NoteError> {
        sign_note(&self.body()?, key, name)
    }
}

/// A well-formed note with a checkpoint that is not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint<'a> {
    note: Note<'a>,
    checkpoint: Checkpoint,
}

impl<'a> SignedCheckpoint<'a> {
    /// Reads a note without checking its signatures.
    ///
    /// # Errors
    /// For a note that is malformed, is beyond a limit, or holds no checkpoint.
    pub fn parse(text: &'a str) -> Result<Self, NoteError> {
        let note = Note::parse(text)?;
        let checkpoint = Checkpoint::parse_body(note.text())?;
        Ok(Self { note, checkpoint })
    }

    /// Verifies that the key signed the checkpoint, and returns it. The key may belong to a witness
    /// or sign for several logs, so the caller compares the origin with the expected one.
    ///
    /// # Errors
    /// [`NoteError::NotSigned`] or [`NoteError::FalseSignature`].
    pub fn verify(self, key: &VerifierKey) -> Result<Checkpoint, NoteError> {
        self.note.verify(key)?;
        Ok(self.checkpoint)
    }

    /// The checkpoint of the log that has the key's name, signed by that key.
    ///
    /// A signature does not cover the name beside it. When two logs share a key, anyone can put the
    /// name of one on the signature of the other, so only the origin tells them apart.
    ///
    /// # Errors
    /// As [`SignedCheckpoint::parse`] and [`SignedCheckpoint::verify`], and [`NoteError::Origin`]
    /// when the origin is not the key's name.
    pub fn open(text: &'a str, key: &VerifierKey) -> Result<Checkpoint, NoteError> {
        let checkpoint = Self::parse(text)?.verify(key)?;
        if checkpoint.origin != key.name() {
            return Err(NoteError::Origin {
                expected: key.name().to_owned(),
                found: checkpoint.origin,
            });
        }
        Ok(checkpoint)
    }
}

fn check_line(text: &str, line: usize) -> Result<(), NoteError> {
    let problem = if text.is_empty() {
        "is empty"
    } else if text.contains(is_control) {
        "has a control character"
    } else {
        return Ok(());
    };
    Err(NoteError::Checkpoint { line, problem })
}

/// The lines of a body, each checked and counted.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(rest: &'a str) -> Self {
        Self { rest, line: 0 }
    }

    fn next_or(&mut self, missing: &'static str) -> Result<(&'a str, usize), NoteError> {
        self.line += 1;
        let line = self.line;
        let (text, rest) = self.rest.split_once('\n').ok_or(NoteError::Checkpoint {
            line,
            problem: if self.rest.is_empty() {
                missing
            } else {
                "is not ended by a newline"
            },
        })?;
        self.rest = rest;
        check_line(text, line)?;
        Ok((text, line))
    }
}
