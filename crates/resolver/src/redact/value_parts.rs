//! The parts of a value that are masked on their own.

use serde_json::Value;

/// The shortest part of a value that is masked, in bytes. Shorter parts occur by chance.
pub(crate) const MIN_MASKED: usize = 8;

/// How deep JSON inside strings of JSON is parsed.
const MAX_NESTING: usize = 3;

/// The parts of a value, each once: the whole value, the value without blanks at its ends, each line, and in
/// JSON each string, with its lines.
pub(super) fn value_parts(value: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    collect(value, MAX_NESTING, &mut out);
    out.retain(|part| part.len() >= MIN_MASKED);
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
        strings(&json, nesting, out);
    }
}

/// Numbers, `true`, `false` and `null` are JSON too, but hold no string.
fn may_be_json(value: &[u8]) -> bool {
    matches!(value.trim_ascii().first(), Some(b'{' | b'[' | b'"'))
}

/// `-----BEGIN PRIVATE KEY-----`: all keys have the same.
fn is_pem_boundary(line: &[u8]) -> bool {
    let inside = line
        .strip_prefix(b"-----BEGIN ")
        .or_else(|| line.strip_prefix(b"-----END "));
    inside.is_some_and(|label| label.ends_with(b"-----"))
}

fn strings(json: &Value, nesting: usize, out: &mut Vec<Vec<u8>>) {
    match json {
        Value::String(text) if is_secret_by_itself(text) => collect(text.as_bytes(), nesting, out),
        Value::Array(items) => items.iter().for_each(|item| strings(item, nesting, out)),
        Value::Object(fields) => fields.values().for_each(|item| strings(item, nesting, out)),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Whether a string inside a JSON value is a secret by itself. The file of a service account also holds
/// public addresses and words, and masking those would mask ordinary text.
fn is_secret_by_itself(text: &str) -> bool {
    let word = text.chars().all(char::is_alphabetic);
    text.chars().count() >= MIN_MASKED && !word && !is_public_url(text) && !is_email(text)
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
        let parts = value_parts(value.as_bytes());
        parts
            .into_iter()
            .map(|part| String::from_utf8(part).unwrap())
            .collect()
    }

    #[test]
    fn lines_of_a_key_are_parts_but_not_its_boundaries() {
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
    fn secret_strings_of_json_are_parts() {
        let account = r#"{"type":"authorized","private_key":"-----BEGIN K-----\nMHcCAQEEIB0q\n-----END K-----\n",
            "client_email":"robot@proj-1.iam.example.com","token_uri":"https://oauth2.example.com/token",
            "database":"postgres://app:hunter2hunter2@db/x","word":"Unauffälligkeit","id":12345678901,
            "inner":"{\"nested\":\"abc-def-123\"}","list":["0123-4567", "short"]}"#;
        let found = texts(account);
        for secret in [
            "MHcCAQEEIB0q",
            "postgres://app:hunter2hunter2@db/x",
            "abc-def-123",
            "0123-4567",
        ] {
            assert!(found.iter().any(|piece| piece == secret), "{secret}");
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
