//! Patterns of the credentials of well-known services.

/// A kind of key: how it begins, which bytes follow, and at least how many.
struct CredentialPattern {
    what: &'static str,
    starts: &'static [&'static str],
    rest: fn(u8) -> bool,
    min: usize,
}

fn capitals(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn path(byte: u8) -> bool {
    word(byte) || byte == b'/'
}

const PATTERNS: [CredentialPattern; 12] = [
    CredentialPattern {
        what: "an AWS access key id",
        starts: &["AKIA", "ASIA"],
        rest: capitals,
        min: 16,
    },
    CredentialPattern {
        what: "a GitHub token",
        starts: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        rest: alphanumeric,
        min: 36,
    },
    CredentialPattern {
        what: "a GitHub token",
        starts: &["github_pat_"],
        rest: word,
        min: 22,
    },
    CredentialPattern {
        what: "a GitLab token",
        starts: &["glpat-"],
        rest: word,
        min: 20,
    },
    CredentialPattern {
        what: "a Stripe key",
        starts: &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"],
        rest: alphanumeric,
        min: 16,
    },
    CredentialPattern {
        what: "a Slack token",
        starts: &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-"],
        rest: word,
        min: 10,
    },
    CredentialPattern {
        what: "a Slack webhook",
        starts: &["https://hooks.slack.com/services/"],
        rest: path,
        min: 20,
    },
    CredentialPattern {
        what: "a Google API key",
        starts: &["AIza"],
        rest: word,
        min: 35,
    },
    CredentialPattern {
        what: "an npm token",
        starts: &["npm_"],
        rest: alphanumeric,
        min: 36,
    },
    CredentialPattern {
        what: "a PyPI token",
        starts: &["pypi-"],
        rest: word,
        min: 50,
    },
    CredentialPattern {
        what: "an API key",
        starts: &["sk-ant-", "sk-proj-", "sk-"],
        rest: word,
        min: 32,
    },
    CredentialPattern {
        what: "a SendGrid key",
        starts: &["SG."],
        rest: |byte| word(byte) || byte == b'.',
        min: 60,
    },
];

/// Text that looks like a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialMatch {
    /// The kind of key.
    pub what: &'static str,
    /// Bytes from the start of the text.
    pub offset: usize,
}

/// Finds text that looks like a key of a well-known service, a private key in PEM, or a JSON web token. The
/// result contains no part of it.
///
/// ```
/// let found = keyroll_resolver::find_credentials("token = 'AKIAIOSFODNN7EXAMPLE'");
/// assert_eq!(found[0].what, "an AWS access key id");
/// assert_eq!(found[0].offset, 9);
/// assert!(keyroll_resolver::find_credentials("{{secrets.AWS_Key}}").is_empty());
/// ```
pub fn find_credentials(text: &str) -> Vec<CredentialMatch> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        let inside = at > 0 && text.as_bytes()[at - 1].is_ascii_alphanumeric();
        let hit = if inside { None } else { match_at(rest) };
        match hit {
            Some((what, len)) => {
                found.push(CredentialMatch { what, offset: at });
                at += len;
            }
            None => at += 1,
        }
    }
    found
}

fn match_at(rest: &[u8]) -> Option<(&'static str, usize)> {
    if rest.starts_with(b"-----BEGIN ") {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or(rest);
        let end = 64.min(line.len());
        let header = &line[..end];
        return header
            .windows(b"PRIVATE KEY-----".len())
            .any(|window| window == b"PRIVATE KEY-----")
            .then_some(("a private key", end));
    }
    if rest.starts_with(b"eyJ") {
        let run = |rest: &[u8]| rest.iter().take_while(|byte| word(**byte)).count();
        let first = run(rest);
        let second = rest
            .get(first + 1..)
            .filter(|_| rest.get(first) == Some(&b'.'))?;
        let count = run(second);
        return (second.starts_with(b"eyJ") && second.get(count) == Some(&b'.'))
            .then_some(("a JSON web token", first + 1 + count));
    }
    PATTERNS.iter().find_map(|pattern| {
        let start = pattern
            .starts
            .iter()
            .find(|start| rest.starts_with(start.as_bytes()))?;
        let count = rest[start.len()..]
            .iter()
            .take_while(|byte| (pattern.rest)(**byte))
            .count();
        (count >= pattern.min).then_some((pattern.what, start.len() + count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_keys_are_found_where_they_stand() {
        let key = |start: &str, count: usize| format!("{start}{}", "A1".repeat(count / 2 + 1));
        for (text, what) in [
            (key("AKIA", 16), "an AWS access key id"),
            (key("ghp_", 36), "a GitHub token"),
            (key("github_pat_", 30), "a GitHub token"),
            (key("glpat-", 20), "a GitLab token"),
            (key("sk_live_", 24), "a Stripe key"),
            (key("xoxb-", 20), "a Slack token"),
            (
                key("https://hooks.slack.com/services/", 30),
                "a Slack webhook",
            ),
            (key("AIza", 35), "a Google API key"),
            (key("npm_", 36), "an npm token"),
            (key("sk-proj-", 40), "an API key"),
            (
                "-----BEGIN EC PRIVATE KEY-----\nMHc".to_owned(),
                "a private key",
            ),
            (
                format!(
                    "{}.{}.{}",
                    "eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxIn0", "c2ln"
                ),
                "a JSON web token",
            ),
        ] {
            let text = format!("x = '{text}' # é");
            let found = find_credentials(&text);
            let expected = CredentialMatch { what, offset: 5 };
            assert_eq!(found, [expected], "{what}");
        }
    }

    #[test]
    fn ordinary_text_has_no_keys() {
        for text in [
            "",
            "{{secrets.Stripe_Key}}",
            "AKIA",
            "sk_live_ is a prefix",
            "task-force-of-the-northern-hemisphere-and-more",
            "-----BEGIN CERTIFICATE-----",
            "eyJhbGciOiJIUzI1NiJ9 and eyJ",
            "https://hooks.slack.com/services/{{secrets.Hook}}",
        ] {
            assert_eq!(find_credentials(text), [], "{text}");
        }
    }
}
