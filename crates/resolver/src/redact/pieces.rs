//! The parts of a value that are masked on their own.

use serde_json::Value;

/// The shortest part of a value that is masked, in bytes. Shorter ones occur by chance.
pub(crate) const MIN_MASKED: usize = 8;

/// JSON inside of strings of JSON is opened so many times.
const MAX_NESTING: usize = 3;

/// The parts of a value, each once: whole, without blanks at its ends, line by line, and where it is
/// JSON each string in it, which may again have lines.
pub(super) fn pieces(value: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    collect(value, MAX_NESTING, &mut out);
    out.retain(|piece| piece.len() >= MIN_MASKED);
    out.sort_unstable();
    out.dedup();
    out
}

fn collect(value: &[u8], nesting: usize, out: &mut Vec<Vec<u8>>) {
    out.push(value.to_vec());
    out.push(value.trim_ascii().to_vec());
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r'));
    for line in lines.filter(|line| !is_pem_boundary(line.trim_ascii())) {
        out.push(line.to_vec());
        out.push(line.trim_ascii().to_vec());
    }
    let json = nesting.checked_sub(1).filter(|_| may_be_json(value));
    if let Some(nesting) = json
        && let Ok(json) = serde_json::from_slice::<Value>(value)
    {
        leaves(&json, nesting, out);
    }
}

/// Numbers and words are JSON too, but have no string in them.
fn may_be_json(value: &[u8]) -> bool {
    matches!(value.trim_ascii().first(), Some(b'{' | b'[' | b'"'))
}

/// `-----BEGIN PRIVATE KEY-----`, which is the same in everybody's keys.
fn is_pem_boundary(line: &[u8]) -> bool {
    let inside = line
        .strip_prefix(b"-----BEGIN ")
        .or_else(|| line.strip_prefix(b"-----END "));
    inside.is_some_and(|label| label.ends_with(b"-----"))
}

fn leaves(json: &Value, nesting: usize, out: &mut Vec<Vec<u8>>) {
    match json {
        Value::String(text) if is_telling(text) => collect(text.as_bytes(), nesting, out),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, nesting, out)),
        Value::Object(fields) => fields.values().for_each(|item| leaves(item, nesting, out)),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Whether a string in a value of JSON is a secret by itself. A service account's file also holds
/// public addresses and words, which would be masked wherever they occur.
fn is_telling(text: &str) -> bool {
    let plain = text.chars().all(char::is_alphabetic);
    text.chars().count() >= MIN_MASKED && !plain && !is_public_url(text) && !is_email(text)
}

/// A URL without a user's password in it.
fn is_public_url(text: &str) -> bool {
    text.contains("://")
        && !text.contains(char::is_whitespace)
        && url::Url::parse(text).is_ok_and(|url| url.password().is_none())
}

fn is_email(text: &str) -> bool {
    let allowed = |char: char| char.is_ascii_alphanumeric() || "._%+-".contains(char);
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && user.chars().all(allowed)
            && host.contains('.')
            && host
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || ".-".contains(char))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &str) -> Vec<String> {
        let pieces = pieces(value.as_bytes());
        pieces
            .into_iter()
            .map(|piece| String::from_utf8(piece).unwrap())
            .collect()
    }

    #[test]
    fn a_key_is_known_by_its_lines_but_for_its_boundaries() {
        let pem =
            "-----BEGIN EC KEY-----\nMHcCAQEEIB0q\n  Zk81oAoGCCqG\nshort\n-----END EC KEY-----\n";
        assert_eq!(
            texts(pem),
            [
                pem.trim(),
                pem,
                "  Zk81oAoGCCqG",
                "MHcCAQEEIB0q",
                "Zk81oAoGCCqG",
            ]
            .map(str::to_owned)
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
        );
    }

    #[test]
    fn json_is_known_by_its_telling_strings() {
        let account = r#"{"type":"authorized","private_key":"-----BEGIN K-----\nMHcCAQEEIB0q\n-----END K-----\n",
            "client_email":"robot@proj-1.iam.example.com","token_uri":"https://oauth2.example.com/token",
            "database":"postgres://app:hunter2hunter2@db/x","word":"Unauffälligkeit","id":12345678901,
            "inner":"{\"nested\":\"abc-def-123\"}","list":["0123-4567", "short"]}"#;
        let found = texts(account);
        for telling in [
            "MHcCAQEEIB0q",
            "postgres://app:hunter2hunter2@db/x",
            "abc-def-123",
            "0123-4567",
        ] {
            assert!(found.iter().any(|piece| piece == telling), "{telling}");
        }
        for public in [
            "authorized",
            "robot@proj-1.iam.example.com",
            "https://oauth2.example.com/token",
            "Unauffälligkeit",
            "-----BEGIN K-----",
        ] {
            assert!(!found.iter().any(|piece| piece == public), "{public}");
        }
        assert_eq!(texts("\"a-string-of-json\"").len(), 2);
    }
}
