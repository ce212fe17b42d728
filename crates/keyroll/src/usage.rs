//! Errors of the command line itself.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::exit_code::{Exit, Status};

/// Reports an error of the command line, or prints the help.
pub(crate) fn report(mut error: clap::Error, arguments: &[String]) -> Status {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // The reader may have closed the pipe.
        let _ = error.print();
        return Exit::Ok.into();
    }
    if takes_a_value(arguments) {
        mask(&mut error);
    }
    if wants_json(arguments) {
        let line = serde_json::json!({"error": {"code": "usage", "message": message(&error)}});
        eprintln_quietly(&line.to_string());
    } else {
        let _ = error.print();
    }
    Exit::Usage.into()
}

fn eprintln_quietly(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn own(arguments: &[String]) -> impl Iterator<Item = &str> {
    arguments
        .iter()
        .map(String::as_str)
        .take_while(|argument| *argument != "--")
}

fn wants_json(arguments: &[String]) -> bool {
    own(arguments).any(|argument| argument == "--json")
}

/// Whether a value may have been typed by mistake as an argument of this command.
fn takes_a_value(arguments: &[String]) -> bool {
    own(arguments)
        .skip_while(|argument| *argument != "secret")
        .any(|argument| matches!(argument, "create" | "edit"))
}

/// Removes the typed text from the error, except options that are nearly right.
fn mask(error: &mut clap::Error) {
    let hidden = || ContextValue::String("…".to_owned());
    if error.get(ContextKind::InvalidValue).is_some() {
        error.insert(ContextKind::InvalidValue, hidden());
    }
    let unknown = error.kind() == ErrorKind::UnknownArgument;
    if unknown && error.get(ContextKind::SuggestedArg).is_none() {
        error.insert(ContextKind::InvalidArg, hidden());
        error.remove(ContextKind::Suggested);
        error.remove(ContextKind::TrailingArg);
    }
}

/// The error's first paragraph, as one line.
fn message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().take_while(|line| !line.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn reported(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let mut error = Cli::command()
            .try_get_matches_from(&arguments)
            .expect_err("refused");
        if takes_a_value(&arguments) {
            mask(&mut error);
        }
        format!("{} {error}", message(&error))
    }

    #[test]
    fn what_may_be_a_value_is_not_repeated() {
        for arguments in [
            ["keyroll", "secret", "create", "NAME", "--stdin=hunter2"],
            ["keyroll", "secret", "create", "NAME", "--hunter2"],
            ["keyroll", "secret", "edit", "NAME", "--value=hunter2"],
            [
                "keyroll",
                "secret",
                "edit",
                "NAME",
                "--keep-newline=hunter2",
            ],
            ["keyroll", "--json", "secret", "edit", "--hunter2"],
        ] {
            let reported = reported(&arguments);
            assert!(
                !reported.contains("hunter2") && reported.contains('…'),
                "{reported}"
            );
        }
    }

    #[test]
    fn other_mistakes_are_named() {
        assert!(reported(&["keyroll", "secret", "create", "NAME", "--stdn"]).contains("--stdin"));
        assert!(reported(&["keyroll", "secret", "delete", "NAME", "--nme"]).contains("--nme"));
    }
}
