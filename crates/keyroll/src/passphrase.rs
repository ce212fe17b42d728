//! Passphrases: from a file that only its owner can read, or from the terminal. Never from the
//! command line or the environment, where other programs can see them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::Failure;
use crate::private_file;

/// The longest passphrase that is read.
const MOST_BYTES: u64 = 4_096;
/// Shorter ones are guessed too fast, even with a slow key derivation.
const LEAST_CHARS: usize = 12;

/// Where a passphrase comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassphraseSource {
    /// The environment variable that names a file with the passphrase.
    pub(crate) variable: &'static str,
    /// Whether keyroll may ask at the terminal.
    pub(crate) may_ask: bool,
}

impl PassphraseSource {
    /// For identity files.
    pub(crate) const fn for_identity(may_ask: bool) -> Self {
        Self {
            variable: "KEYROLL_PASSPHRASE_FILE",
            may_ask,
        }
    }

    /// The passphrase of an existing file.
    pub(crate) fn present(self, of: &str) -> Result<Zeroizing<String>, Failure> {
        match self.file() {
            Some(file) => read(&file),
            None => self.ask(&format!("Passphrase of {of}: "), of),
        }
    }

    /// A passphrase for a new file. At a terminal keyroll asks twice.
    pub(crate) fn fresh(self, of: &str) -> Result<Zeroizing<String>, Failure> {
        let words = if let Some(file) = self.file() {
            read(&file)?
        } else {
            let first = self.ask(&format!("Passphrase for {of}: "), of)?;
            if *first != *self.ask("Repeat the passphrase: ", of)? {
                return Err(Failure::usage(
                    "the two passphrases differ, so nothing was changed. Try again",
                ));
            }
            first
        };
        if words.chars().count() < LEAST_CHARS {
            return Err(Failure::usage(format!(
                "a passphrase needs at least {LEAST_CHARS} characters; several words are easy to remember"
            )));
        }
        Ok(words)
    }

    fn file(self) -> Option<PathBuf> {
        std::env::var_os(self.variable)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    }

    fn ask(self, prompt: &str, of: &str) -> Result<Zeroizing<String>, Failure> {
        if !self.may_ask {
            return Err(Failure::usage(format!(
                "{of} needs a passphrase, and there is no terminal to ask at. Set {} to a file that holds it",
                self.variable
            )));
        }
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|error| Failure::local(format!("the terminal cannot be read: {error}")))
    }
}

/// A file's only line.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: io::Error| Failure::file(path, &error);
    let file = File::open(path).map_err(failed)?;
    private_file::check_mode(path, &file.metadata().map_err(failed)?)?;
    let mut text = Zeroizing::new(String::with_capacity(4_200));
    file.take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    if text.is_empty() || text.contains('\n') {
        let path = path.display();
        return Err(Failure::usage(format!(
            "{path} must hold the passphrase on one line"
        )));
    }
    Ok(text)
}
