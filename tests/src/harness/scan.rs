//! Searching for a value in places where it must not be.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A planted value, and every form of it that is searched for.
pub struct Canary {
    /// The value.
    pub value: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    /// A fresh one that occurs nowhere else.
    pub fn new() -> Self {
        let random: [u8; 24] = rand::random();
        let value = format!("canary-{}", hex::encode(random));
        let bytes = value.as_bytes();
        let mut forms = vec![
            ("as it is", bytes.to_vec()),
            ("backwards", bytes.iter().rev().copied().collect()),
            ("in hex", hex::encode(bytes).into_bytes()),
            ("in upper-case hex", hex::encode_upper(bytes).into_bytes()),
            ("as numbers", numbers(bytes).into_bytes()),
        ];
        // Base64 of a text around it contains one of three forms, depending on its offset.
        for (what, skipped) in [
            ("in base64", 0),
            ("in base64, after 1", 2),
            ("in base64, after 2", 1),
        ] {
            let part = &bytes[skipped..];
            let whole = &part[..part.len() / 3 * 3];
            forms.push((what, STANDARD_NO_PAD.encode(whole).into_bytes()));
            forms.push((what, URL_SAFE_NO_PAD.encode(whole).into_bytes()));
        }
        Self { value, forms }
    }

    /// The form in which `bytes` hold it, if they do. Any half of it counts.
    pub fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let held = |form: &Vec<u8>| {
            // Longer than the common part of all canaries.
            let half = form.len() / 2;
            let (start, end) = (&form[..half.max(24)], &form[half..]);
            contains(bytes, start) || contains(bytes, end)
        };
        self.forms
            .iter()
            .find(|(_, form)| held(form))
            .map(|(what, _)| *what)
    }
}

impl Default for Canary {
    fn default() -> Self {
        Self::new()
    }
}

/// As JSON or a debug print shows bytes.
fn numbers(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether `bytes` hold `part`. Looks at the first byte with a fast search before it compares.
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else {
        return true;
    };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(part) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn every_form_is_found_and_nothing_else() {
        let canary = Canary::new();
        let value = canary.value.as_bytes();
        for before in ["", "x", "xy", "xyz"] {
            let text = [before.as_bytes(), value, b"!"].concat();
            assert!(canary.found_in(&text).is_some());
            assert!(
                canary.found_in(STANDARD.encode(&text).as_bytes()).is_some(),
                "{before}"
            );
            assert!(
                canary
                    .found_in(URL_SAFE_NO_PAD.encode(&text).as_bytes())
                    .is_some(),
                "{before}"
            );
            assert!(canary.found_in(hex::encode(&text).as_bytes()).is_some());
            assert!(canary.found_in(format!("{text:?}").as_bytes()).is_some());
        }
        assert!(canary.found_in(&value[..value.len() - 3]).is_some());
        assert_eq!(canary.found_in(Canary::new().value.as_bytes()), None);
        assert_eq!(
            canary.found_in(format!("{:?}", Canary::new().value.as_bytes()).as_bytes()),
            None
        );
    }
}
