//! Input from people: names, values and confirmations.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;

use clap::Args;
use keyroll_core::names::Text;
use keyroll_core::{Code, SecretName, limits};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::Failure;
use crate::generate::ValueSpec;

/// A value of full size with some newlines after it.
const READ_BYTES: usize = 70_000;

/// The source of a value. The command line is none: other users can see it, and the shell records
/// it in its history.
#[derive(Debug, Clone, Args)]
pub(crate) struct ValueArgs {
    /// Read the value from standard input [default: ask at the terminal]
    #[arg(long, group = "source")]
    stdin: bool,
    /// Read the value from a file [default: ask at the terminal]
    #[arg(long, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,
    /// Generate a random value: LENGTH letters and digits, LENGTH,CHARSET (alnum, alpha, lower, upper,
    /// digits, symbols), hex[,LENGTH], uuid or passphrase[,WORDS]. Write it with `=`, as in
    /// --generate=48 [default: 32]
    #[arg(long, value_name = "SPEC", group = "source", num_args = 0..=1, require_equals = true,
        default_missing_value = "32")]
    generate: Option<String>,
    /// Keep newlines at the end of the value. By default such a value is refused
    #[arg(long)]
    keep_newline: bool,
    /// Remove newlines from the end of the value. By default such a value is refused
    #[arg(long, conflicts_with = "keep_newline")]
    trim: bool,
    /// Catches a value given here, to refuse it without repeating it.
    #[arg(hide = true)]
    misplaced: Vec<OsString>,
}

/// The treatment of newlines at the end of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newline {
    Refuse,
    Keep,
    Trim,
}

/// Parses a secret's name. Somebody may have typed `NAME=value` by mistake.
pub(crate) fn secret_name(text: &str, command: &str) -> Result<SecretName, Failure> {
    if text.contains('=') {
        return Err(misplaced(command));
    }
    Ok(text.parse()?)
}

/// An optional text of the command line, such as a reason.
pub(crate) fn text(text: Option<String>) -> Result<Option<Text>, Failure> {
    text.map(|text| text.parse().map_err(Failure::from))
        .transpose()
}

fn misplaced(command: &str) -> Failure {
    Failure::usage(format!(
        "keyroll takes no value from the command line, where others can see it: write `keyroll secret \
         {command} NAME` and enter the value at the prompt, or add --stdin or --file FILE. Your shell's \
         history now holds what you typed: delete it there, and do not use it as a value"
    ))
}

fn is_value_spec(text: &str) -> bool {
    text.parse::<ValueSpec>().is_ok()
}

impl ValueArgs {
    fn newline(&self) -> Newline {
        match (self.keep_newline, self.trim) {
            (true, _) => Newline::Keep,
            (_, true) => Newline::Trim,
            _ => Newline::Refuse,
        }
    }

    /// Refuses a value on the command line, before anything is done.
    pub(crate) fn check(&self, command: &str) -> Result<(), Failure> {
        match (self.misplaced.as_slice(), &self.generate) {
            ([], _) => Ok(()),
            // `--generate 48`: clap takes 48 for a value of its own. A specification is no secret.
            ([typed], Some(_)) => match typed.to_str().filter(|text| is_value_spec(text)) {
                Some(_) => Err(Failure::usage(
                    "Write the specification with `=`: `--generate=48`. If you typed a value, the shell's \
                     history has it now: use another one",
                )),
                None => Err(misplaced(command)),
            },
            _ => Err(misplaced(command)),
        }
    }

    /// The value.
    pub(crate) fn read(
        &self,
        context: &Context,
        name: &SecretName,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if let Some(spec) = &self.generate {
            return spec
                .parse::<ValueSpec>()
                .map_err(Failure::usage)?
                .generate();
        }
        let value = if let Some(path) = &self.file {
            let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
            read_all(file).map_err(|error| Failure::file(path, &error))?
        } else if self.stdin {
            read_all(io::stdin().lock())
                .map_err(|error| Failure::local(format!("standard input: {error}")))?
        } else {
            prompt(context, name)?
        };
        check_value(value, self.newline())
    }
}

/// Reads without growing the buffer, which would leave copies behind.
fn read_all(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut value = Zeroizing::new(Vec::with_capacity(READ_BYTES + 1_024));
    from.take(READ_BYTES as u64).read_to_end(&mut value)?;
    Ok(value)
}

fn prompt(context: &Context, name: &SecretName) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if !context.may_ask() {
        return Err(Failure::usage(
            "there is no terminal to ask for the value at. Add --stdin, --file FILE or --generate",
        ));
    }
    let ask = |words: String| {
        let read = rpassword::prompt_password(words).map(Zeroizing::new);
        read.map_err(|error| Failure::local(format!("the terminal cannot be read: {error}")))
    };
    let first = ask(format!("Value of {name}: "))?;
    let second = ask("Repeat the value: ".to_owned())?;
    if *first != *second {
        return Err(Failure::usage(
            "the two values differ, so nothing was changed. Try again",
        ));
    }
    Ok(Zeroizing::new(first.as_bytes().to_vec()))
}

/// Checks a value, and treats its trailing newlines. Most of them come from editors and `echo`, and
/// nobody sees them, so the caller has to ask for them.
fn check_value(
    mut value: Zeroizing<Vec<u8>>,
    newline: Newline,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if value.ends_with(b"\n") {
        match newline {
            Newline::Keep => {}
            Newline::Trim => {
                let end = value.iter().rposition(|byte| !b"\r\n".contains(byte));
                value.truncate(end.map_or(0, |end| end + 1));
            }
            Newline::Refuse => {
                let message = "the value ends with a newline. Add --trim to remove it, or --keep-newline to keep it";
                return Err(Failure::coded(Code::InvalidValue, message));
            }
        }
    }
    if limits::VALUE_BYTES.contains(&value.len()) {
        return Ok(value);
    }
    let message = format!("a value has 1 to {} bytes", limits::VALUE_BYTES.end());
    Err(Failure::coded(Code::InvalidValue, message))
}

/// A question before something that is hard to undo.
pub(crate) struct Confirmation {
    pub(crate) question: String,
    /// What did not happen without a yes, such as "API_Key was not deleted".
    pub(crate) refusal: String,
}

/// Checks that [`confirm`] can ask, so that a command which needs an answer fails before it sends anything.
pub(crate) fn can_confirm(context: &Context, confirmation: &Confirmation) -> Result<(), Failure> {
    if context.global.yes || context.may_ask() {
        return Ok(());
    }
    let refusal = &confirmation.refusal;
    let message = format!("{refusal}: there is no terminal to confirm at. Add `--yes`");
    Err(Failure::usage(message))
}

/// Asks for confirmation of something that is hard to undo.
pub(crate) fn confirm(context: &Context, confirmation: &Confirmation) -> Result<(), Failure> {
    can_confirm(context, confirmation)?;
    if context.global.yes {
        return Ok(());
    }
    let failed = |error: io::Error| Failure::local(format!("the terminal cannot be read: {error}"));
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} [y/N] ", confirmation.question)
        .and_then(|()| stderr.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    let refusal = &confirmation.refusal;
    Err(Failure::local(format!("{refusal}: not confirmed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(value: &[u8], newline: Newline) -> Result<Vec<u8>, &'static str> {
        let checked = check_value(Zeroizing::new(value.to_vec()), newline);
        checked
            .map(|value| value.to_vec())
            .map_err(|failure| failure.code())
    }

    #[test]
    fn a_newline_at_the_end_is_somebodys_decision() {
        assert_eq!(checked(b"a\nb", Newline::Refuse), Ok(b"a\nb".to_vec()));
        assert_eq!(checked(b"a ", Newline::Refuse), Ok(b"a ".to_vec()));
        assert_eq!(checked(b"a\r", Newline::Refuse), Ok(b"a\r".to_vec()));
        for value in [&b"a\n"[..], b"a\r\n", b"\n"] {
            assert_eq!(checked(value, Newline::Refuse), Err("invalid_value"));
            assert_eq!(checked(value, Newline::Keep), Ok(value.to_vec()));
        }
        assert_eq!(checked(b"a\nb\r\n\n", Newline::Trim), Ok(b"a\nb".to_vec()));
        assert_eq!(checked(b"\r\n", Newline::Trim), Err("invalid_value"));
    }

    #[test]
    fn values_have_bounds() {
        assert_eq!(checked(b"", Newline::Refuse), Err("invalid_value"));
        assert!(checked(&vec![0; 65_535], Newline::Refuse).is_ok());
        assert_eq!(
            checked(&vec![0; 65_536], Newline::Refuse),
            Err("invalid_value")
        );
        let read = read_all(io::repeat(b'a')).expect("read");
        assert_eq!(read.len(), READ_BYTES);
        assert!(check_value(read, Newline::Trim).is_err());
    }

    #[test]
    fn a_value_beside_a_name_is_refused_and_not_repeated() {
        for text in ["NAME=hunter2", "=hunter2"] {
            let failure = secret_name(text, "create").expect_err("refused");
            assert_eq!(failure.code(), "usage");
            assert!(!failure.message().contains("hunter2"));
        }
        assert!(secret_name("NAME", "create").is_ok());
        let failure = secret_name("hunter-2", "create").expect_err("refused");
        assert!(!failure.message().contains("hunter"));
        assert_eq!(failure.code(), "invalid_name");
    }
}
