//! Names that people choose. Each type holds only valid names, so no other code checks them.

mod visible;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits;

/// A name that breaks its rule. The message names the rule and starts with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid_name: {0}")]
pub struct InvalidName(pub String);

/// Keywords of Python 3, for which `secrets.NAME` cannot be written.
const PYTHON_KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// Names of Python's own `secrets` module, which blocks see under the same name.
const PYTHON_SECRETS: [&str; 11] = [
    "choice",
    "randbelow",
    "randbits",
    "SystemRandom",
    "token_bytes",
    "token_hex",
    "token_urlsafe",
    "compare_digest",
    "DEFAULT_ENTROPY",
    "base64",
    "binascii",
];

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                $check(text).map_err(InvalidName)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

mod glob;
pub use glob::Glob;

text_type!(
    /// A secret's name: `[A-Za-z][A-Za-z0-9_]{0,127}`, no Python keyword and no name of Python's
    /// own `secrets` module. Case is kept, and ignored when names are compared.
    SecretName, check_secret_name
);
text_type!(
    /// A workspace's name: `[a-z0-9][a-z0-9-]{0,62}`.
    WorkspaceName, check_workspace_name
);
text_type!(
    /// A member's display name: 1 to 128 bytes of text without control characters and without
    /// leading or trailing space. New ones are also checked by [`MemberName::check_visible`].
    MemberName, check_member_name
);

impl SecretName {
    /// The form in which names are compared.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn check_secret_name(text: &str) -> Result<(), String> {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !first || !rest || text.len() > limits::NAME_BYTES {
        return Err(format!(
            "a secret's name is a letter, then letters, digits or underscores, {} at most",
            limits::NAME_BYTES
        ));
    }
    if PYTHON_KEYWORDS.contains(&text) {
        return Err(format!(
            "{text} is a Python keyword: blocks could not write secrets.{text}"
        ));
    }
    if PYTHON_SECRETS.contains(&text) {
        return Err(format!("{text} belongs to Python's own secrets module"));
    }
    Ok(())
}

fn check_workspace_name(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    let ok = bytes.next().is_some_and(plain) && bytes.all(|byte| plain(byte) || byte == b'-');
    if ok && text.len() <= limits::WORKSPACE_BYTES {
        return Ok(());
    }
    Err(format!(
        "a workspace's name is lower-case letters, digits and hyphens, {} at most, not starting with a hyphen",
        limits::WORKSPACE_BYTES
    ))
}

fn check_member_name(text: &str) -> Result<(), String> {
    check_label(text, "a member's name")
}

/// The rule for short labels that people read: member, workflow, block and run.
pub(crate) fn check_label(text: &str, what: &str) -> Result<(), String> {
    let ok = !text.is_empty()
        && text.len() <= limits::LABEL_BYTES
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if ok {
        return Ok(());
    }
    Err(format!(
        "{what} is 1 to {} bytes of printable text without space at its ends",
        limits::LABEL_BYTES
    ))
}

text_type!(
    /// A workflow's, block's or run's label: 1 to 128 bytes of printable text.
    Label, check_any_label
);

text_type!(
    /// Where a sign-in is used, as its user claims: 1 to 128 printable ASCII characters.
    ClaimedOrigin, check_claimed_origin
);

fn check_claimed_origin(text: &str) -> Result<(), String> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if printable && !text.is_empty() && text.len() <= limits::LABEL_BYTES {
        return Ok(());
    }
    Err(format!(
        "where a sign-in is used is 1 to {} printable ASCII characters",
        limits::LABEL_BYTES
    ))
}

fn check_any_label(text: &str) -> Result<(), String> {
    check_label(text, "a label")
}

text_type!(
    /// Free text kept in the log, at most 1 KiB: a description or a reason.
    Text, check_text
);

fn check_text(text: &str) -> Result<(), String> {
    let ok = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if text.len() <= limits::TEXT_BYTES && text.chars().all(ok) {
        return Ok(());
    }
    Err(format!(
        "text is at most {} bytes, without control characters",
        limits::TEXT_BYTES
    ))
}

text_type!(
    /// A host that a secret may be sent to: `api.example.com`, `*.example.com`, with an optional
    /// scheme and port. The resolver matches hosts; this type checks only the form.
    HostPattern, check_host
);

fn check_host(text: &str) -> Result<(), String> {
    if text.len() <= limits::HOST_BYTES && is_host_pattern(text) {
        return Ok(());
    }
    Err(
        "a host is a DNS name such as api.example.com or *.example.com, or an address, with an optional scheme (https://) and port"
            .to_owned(),
    )
}

/// `[http[s]://] ( address | [*.]name ) [:port]`
fn is_host_pattern(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or(text);
    if let Some(address) = rest.strip_prefix('[') {
        let Some((address, port)) = address.split_once(']') else {
            return false;
        };
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port_fits;
    }
    let (host, port) = rest
        .split_once(':')
        .map_or((rest, None), |(host, port)| (host, Some(port)));
    let name = host.strip_prefix("*.").unwrap_or(host);
    name.len() <= 253 && name.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0) && !text.starts_with('+')
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names_follow_the_rule() {
        let long = "a".repeat(128);
        for good in ["API_Key", "a", "Z9_", long.as_str(), "none", "Class"] {
            assert!(good.parse::<SecretName>().is_ok(), "{good}");
        }
        let longer = "a".repeat(129);
        for bad in [
            "",
            "a b",
            "1x",
            "_x",
            "é",
            "../x",
            "a\n",
            "a-b",
            longer.as_str(),
            "class",
            "None",
            "token_hex",
            "base64",
        ] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for good in [
            "api.example.com",
            "*.example.com",
            "https://api.example.com:8443",
            "localhost",
            "127.0.0.1:80",
            "[::1]:80",
        ] {
            assert!(good.parse::<HostPattern>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "a b",
            "https://",
            "a.*.b",
            "a..b",
            "/path",
            "a/b",
            "-a",
            "a:",
            "a:0",
            "a:99999",
            "[::1",
            "ftp://a",
            "a@b",
            "*.",
            "user:pw@a",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn workspace_names_are_nats_tokens() {
        for good in ["demo", "0", "team-a"] {
            assert!(good.parse::<WorkspaceName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a.b", "a*", "_ledger", &"a".repeat(64)] {
            assert!(bad.parse::<WorkspaceName>().is_err(), "{bad}");
        }
    }
}
