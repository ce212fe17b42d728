//! Patterns over secret names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{InvalidName, SecretName};
use crate::limits;

text_type!(
    /// A pattern over secret names, without regard to case: `*` any run, `?` any one character.
    Glob, check_glob
);

impl Glob {
    /// The pattern that allows every name.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Whether the whole `name` matches, case ignored.
    pub fn matches(&self, name: &SecretName) -> bool {
        glob_matches(self.0.as_bytes(), name.as_str().as_bytes())
    }
}

/// Remembers the last `*` only: each byte of the name is looked at once per star at most.
fn glob_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

fn check_glob(text: &str) -> Result<(), String> {
    let ok = |byte: u8| byte.is_ascii_alphanumeric() || b"_*?".contains(&byte);
    if !text.is_empty() && text.len() <= limits::NAME_BYTES && text.bytes().all(ok) {
        return Ok(());
    }
    Err(format!(
        "a name pattern is letters, digits, underscores, * and ?, 1 to {} of them",
        limits::NAME_BYTES
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names_without_case() {
        let case = |pattern: &str, name: &str| {
            let glob: Glob = pattern.parse().expect("pattern");
            glob.matches(&name.parse().expect("name"))
        };
        assert!(case("*", "Anything"));
        assert!(case("stripe_*", "STRIPE_live"));
        assert!(case("*_key", "API_Key"));
        assert!(case("a*b*c", "aXbYbZc"));
        assert!(case("k?y", "Key"));
        assert!(!case("stripe_*", "xstripe_live"));
        assert!(!case("k?y", "Keey"));
        assert!(!case("a*b", "abc"));
        assert!("".parse::<Glob>().is_err());
        assert!("a b".parse::<Glob>().is_err());
    }
}
