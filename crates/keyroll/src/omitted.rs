//! Secrets that a command leaves out, and the reasons.

use keyroll_core::{Code, SecretName};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;

/// Why a secret is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Only blocks that a runner runs get it.
    Restricted,
    /// Its current version is destroyed.
    Destroyed,
    /// Its current version is lost.
    Lost,
    /// It was deleted or renamed before its turn came.
    Gone,
    /// It does not fit into a reply or the environment.
    TooLarge,
    /// A variable and a dotenv file hold UTF-8 text without NUL.
    NotText,
    /// Programs that read dotenv files disagree about every way of quoting it.
    NoDotenvForm,
    /// A variable of its name controls other programs.
    ControlsPrograms,
    /// The environment has a variable of its name already.
    AlreadySet,
}

impl Reason {
    const ALL: [Self; 9] = [
        Self::Restricted,
        Self::Destroyed,
        Self::Lost,
        Self::Gone,
        Self::TooLarge,
        Self::NotText,
        Self::NoDotenvForm,
        Self::ControlsPrograms,
        Self::AlreadySet,
    ];

    /// For programs.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Destroyed => "destroyed",
            Self::Lost => "lost",
            Self::Gone => "gone",
            Self::TooLarge => "too_large",
            Self::NotText => "not_text",
            Self::NoDotenvForm => "no_dotenv_form",
            Self::ControlsPrograms => "steers_programs",
            Self::AlreadySet => "already_set",
        }
    }

    /// For people: the reason, and what to do.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Restricted => (
                "restricted secrets go only to blocks that a runner runs",
                "",
            ),
            Self::Destroyed => (
                "their current version is destroyed",
                "; give them a new value with `secret edit`, or an earlier one with `secret rollback`",
            ),
            Self::Lost => (
                "their current version is lost",
                "; give them a new value with `secret edit`, or an earlier one with `secret rollback`",
            ),
            Self::Gone => ("they were deleted or renamed just now", ""),
            Self::TooLarge => ("their values are too large", ""),
            Self::NotText => ("their values are not UTF-8 text without NUL", ""),
            Self::NoDotenvForm => (
                "bash, python-dotenv and npm's dotenv would read their values differently",
                "; use --format json or --format yaml",
            ),
            Self::ControlsPrograms => (
                "variables of these names can control other programs",
                "; to include them, name them with --only",
            ),
            Self::AlreadySet => (
                "the environment already has variables of these names",
                "; to include them, name them with --only",
            ),
        }
    }

    /// The code of a failure with `--strict`. `None` where a rule about the secret or its name is the reason, and
    /// not a problem with its value.
    const fn code(self) -> Option<Code> {
        match self {
            Self::Destroyed => Some(Code::Destroyed),
            Self::Lost => Some(Code::ValueLost),
            Self::Gone => Some(Code::NotFound),
            Self::TooLarge => Some(Code::TooLarge),
            Self::NotText | Self::NoDotenvForm => Some(Code::InvalidValue),
            Self::Restricted | Self::ControlsPrograms | Self::AlreadySet => None,
        }
    }
}

/// Secrets that are left out.
#[derive(Debug, Default)]
pub(crate) struct Omitted(Vec<(SecretName, Reason)>);

impl Omitted {
    pub(crate) fn add(&mut self, name: SecretName, reason: Reason) {
        self.0.push((name, reason));
    }

    fn named(&self, reason: Reason) -> Vec<&str> {
        let of = self.0.iter().filter(|(_, why)| *why == reason);
        of.map(|(name, _)| name.as_str()).collect()
    }

    /// Names each secret once on stderr, with the reason.
    pub(crate) fn note(&self, context: &Context, what: &str) {
        for reason in Reason::ALL {
            let names = self.named(reason);
            if !names.is_empty() {
                let (names, (why, advice)) = (names.join(", "), reason.words());
                context
                    .out
                    .note(&format!("{what}, because {why}: {names}{advice}"));
            }
        }
    }

    /// A failure that names the secrets whose values have a problem, if there are any.
    pub(crate) fn failure(&self, what: &str) -> Option<Failure> {
        let wrong: Vec<Reason> = Reason::ALL
            .into_iter()
            .filter(|reason| reason.code().is_some() && !self.named(*reason).is_empty())
            .collect();
        let code = wrong.first()?.code()?;
        let each = wrong.iter().map(|reason| {
            let names = self.named(*reason).join(", ");
            let (why, advice) = reason.words();
            format!("{names} (because {why}{advice})")
        });
        let each: Vec<String> = each.collect();
        let message = format!(
            "{what}. Exclude these with --except, or repair them: {}",
            each.join("; ")
        );
        Some(Failure::coded(code, message))
    }

    /// The names, for programs.
    pub(crate) fn names(&self) -> Vec<&SecretName> {
        self.0.iter().map(|(name, _)| name).collect()
    }

    /// Names and reasons, for programs.
    pub(crate) fn reasons(&self) -> Value {
        let each = self.0.iter();
        each.map(|(name, reason)| json!({"name": name, "reason": reason.as_str()}))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_what_is_wrong_and_not_what_a_rule_leaves_out() {
        let name = |text: &str| text.parse::<SecretName>().expect("a name");
        let mut omitted = Omitted::default();
        for (text, reason) in [
            ("Closed", Reason::Restricted),
            ("PATH", Reason::ControlsPrograms),
            ("SHLVL", Reason::AlreadySet),
        ] {
            omitted.add(name(text), reason);
        }
        assert!(omitted.failure("nothing was done").is_none());
        omitted.add(name("Binary"), Reason::NotText);
        omitted.add(name("Old"), Reason::Destroyed);
        let failure = omitted.failure("nothing was done").expect("a failure");
        assert_eq!(failure.code(), "destroyed");
        let message = failure.message();
        assert!(message.contains("Binary") && message.contains("Old"));
        assert!(!message.contains("PATH") && !message.contains("Closed"));
        assert_eq!(omitted.names().len(), 5);
        assert_eq!(omitted.reasons()[3]["reason"], "not_text");
    }
}
