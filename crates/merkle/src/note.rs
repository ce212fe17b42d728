//! Signed texts (c2sp.org/signed-note), with Ed25519 signatures.
//!
//! ```text
//! text of one or more lines
//!
//! — key name base64(key id || signature)
//! ```

use ed25519_dalek::{Signature, Signer as _, SigningKey};

use crate::text::{from_base64, is_control, to_base64};
use crate::vkey::{KeyError, VerifierKey, is_name, key_id};

/// The size limit of a note. A checkpoint takes a few hundred bytes and a post-quantum signature
/// nearly 5 kB, so a note with several of both is far below it.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;

/// The number of signatures that c2sp.org/signed-note requires verifiers to accept; none need more.
pub const MAX_SIGNATURES: usize = 16;

/// The start of every signature line: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";

/// Why a note is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More bytes than [`MAX_NOTE_BYTES`].
    #[error("the note has {bytes} bytes, the limit is {MAX_NOTE_BYTES}")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// A control character other than newline.
    #[error("the note has a control character at byte {at}")]
    ControlCharacter {
        /// Where it is.
        at: usize,
    },
    /// The text is empty or not ended by a newline, or no blank line and signatures follow it.
    #[error("the note is not a text, a blank line and signature lines, each ended by a newline")]
    Form,
    /// More signatures than [`MAX_SIGNATURES`].
    #[error("the note has {found} signatures, the limit is {MAX_SIGNATURES}")]
    TooManySignatures {
        /// How many it has.
        found: usize,
    },
    /// Not an em dash, a name and at least five bytes in base64.
    #[error("signature line {line} of the note is malformed")]
    SignatureLine {
        /// Counted from 1, after the blank line.
        line: usize,
    },
    /// None of the signatures claims to be by the key.
    #[error("the note has no signature by {name}+{key_id:08x}")]
    NotSigned {
        /// The name of the key.
        name: String,
        /// The id of the key.
        key_id: u32,
    },
    /// A signature that claims to be by the key is not.
    #[error("the note has a false signature by {name}+{key_id:08x}")]
    FalseSignature {
        /// The name of the key.
        name: String,
        /// The id of the key.
        key_id: u32,
    },
    /// The text is not a checkpoint.
    #[error("line {line} of the checkpoint {problem}")]
    Checkpoint {
        /// Counted from 1.
        line: usize,
        /// The problem.
        problem: &'static str,
    },
    /// The checkpoint is signed by the key, but for another log.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    Origin {
        /// The expected log.
        expected: String,
        /// The log that the checkpoint names.
        found: String,
    },
    /// The name to sign under cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A well-formed note. It must not be trusted before [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<SignatureLine<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SignatureLine<'a> {
    name: &'a str,
    key_id: u32,
    /// Its length depends on the signature type.
    signature: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Splits a note into its text and its signatures.
    ///
    /// # Errors
    /// For a note that is malformed or beyond a limit; see [`NoteError`].
    pub fn parse(note: &'a str) -> Result<Self, NoteError> {
        check_characters(note)?;
        // The text may have blank lines, the signatures may not: the last one separates them.
        let blank = note.rfind("\n\n").ok_or(NoteError::Form)?;
        let (text, rest) = note.split_at(blank + 1);
        let lines = rest
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'))
            .ok_or(NoteError::Form)?;
        let found = lines.split('\n').count();
        if found > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures { found });
        }
        let signatures = lines
            .split('\n')
            .zip(1..)
            .map(|(text, line)| parse_signature(text).ok_or(NoteError::SignatureLine { line }))
            .collect::<Result<_, _>>()?;
        Ok(Self { text, signatures })
    }

    /// The signed text, with its last newline.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether the key signed the text. Signatures by other keys are ignored, as
    /// c2sp.org/signed-note demands; every signature by this key must be valid.
    ///
    /// # Errors
    /// [`NoteError::NotSigned`] or [`NoteError::FalseSignature`].
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let (name, key_id) = (key.name(), key.key_id());
        let mut signed = false;
        for line in &self.signatures {
            if line.name != name || line.key_id != key_id {
                continue;
            }
            Signature::from_slice(&line.signature)
                .and_then(|signature| key.key().verify_strict(self.text.as_bytes(), &signature))
                .map_err(|_| NoteError::FalseSignature {
                    name: name.to_owned(),
                    key_id,
                })?;
            signed = true;
        }
        if signed {
            return Ok(());
        }
        Err(NoteError::NotSigned {
            name: name.to_owned(),
            key_id,
        })
    }
}

/// The note of a text, signed by one key under a name.
///
/// # Errors
/// When the name or the text is not allowed in a note, so that every note it returns passes
/// [`Note::parse`].
pub fn sign_note(text: &str, key: &SigningKey, name: &str) -> Result<String, NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Form);
    }
    let mut signature = key_id(name, &key.verifying_key())?.to_be_bytes().to_vec();
    signature.extend_from_slice(&key.sign(text.as_bytes()).to_bytes());
    let note = format!("{text}\n{SIGNATURE_MARK}{name} {}\n", to_base64(&signature));
    check_characters(&note)?;
    Ok(note)
}

fn check_characters(note: &str) -> Result<(), NoteError> {
    let bytes = note.len();
    if bytes > MAX_NOTE_BYTES {
        return Err(NoteError::TooLarge { bytes });
    }
    match note.find(|character| is_control(character) && character != '\n') {
        Some(at) => Err(NoteError::ControlCharacter { at }),
        None => Ok(()),
    }
}

fn parse_signature(line: &str) -> Option<SignatureLine<'_>> {
    let (name, bytes) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let bytes = from_base64(bytes)?;
    let (key_id, signature) = bytes.split_first_chunk::<4>()?;
    (is_name(name) && !signature.is_empty()).then(|| SignatureLine {
        name,
        key_id: u32::from_be_bytes(*key_id),
        signature: signature.to_vec(),
    })
}
