//! Generates values from the system's randomness.

use std::str::FromStr;

use bip39::Language;
use rand::TryRng as _;
use rand::rngs::SysRng;
use uuid::{Builder, Uuid};
use zeroize::Zeroizing;

use crate::error::Failure;

/// Lengths of generated values. Shorter ones are easy to guess, and output is not masked for them.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=1_024;
/// Words of a passphrase: each of the 2,048 of the list adds 11 bits.
const WORDS: std::ops::RangeInclusive<usize> = 5..=64;
const HEX_LENGTH: usize = 64;
const WORD_COUNT: usize = 8;

const FORMS: &str = "LENGTH, LENGTH,CHARSET (alnum, alpha, lower, upper, digits, symbols), hex, hex,LENGTH, \
     uuid, passphrase or passphrase,WORDS";

/// A specification of a value to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueSpec {
    Characters(usize, Charset),
    Uuid,
    Passphrase(usize),
}

/// Characters to draw from, each as likely as any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Alnum,
    Alpha,
    Lower,
    Upper,
    Digits,
    /// Letters, digits and signs: all visible characters of ASCII.
    Symbols,
    Hex,
}

impl Charset {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "alnum" => Self::Alnum,
            "alpha" => Self::Alpha,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "digits" => Self::Digits,
            "symbols" => Self::Symbols,
            _ => return None,
        })
    }

    fn holds(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Alpha => byte.is_ascii_alphabetic(),
            Self::Lower => byte.is_ascii_lowercase(),
            Self::Upper => byte.is_ascii_uppercase(),
            Self::Digits => byte.is_ascii_digit(),
            Self::Symbols => byte.is_ascii_graphic(),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        }
    }
}

impl FromStr for ValueSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, more) = match text.split_once(',') {
            Some((what, more)) => (what.trim(), Some(more.trim())),
            None => (text.trim(), None),
        };
        let number = |text: &str| text.parse::<usize>().map_err(|_| unknown());
        let spec = match (what, more) {
            ("uuid", None) => Self::Uuid,
            ("hex", None) => Self::Characters(HEX_LENGTH, Charset::Hex),
            ("hex", Some(length)) => Self::Characters(number(length)?, Charset::Hex),
            ("passphrase", None) => Self::Passphrase(WORD_COUNT),
            ("passphrase", Some(words)) => Self::Passphrase(number(words)?),
            (length, None) => Self::Characters(number(length)?, Charset::Alnum),
            (length, Some(charset)) => {
                let charset = Charset::named(charset).ok_or_else(unknown)?;
                Self::Characters(number(length)?, charset)
            }
        };
        spec.check().map(|()| spec)
    }
}

fn unknown() -> String {
    format!("this is not a specification of a value. Write {FORMS}")
}

impl ValueSpec {
    fn check(self) -> Result<(), String> {
        let bounded =
            |what: &str, unit: &str, found: usize, bounds: std::ops::RangeInclusive<usize>| {
                if bounds.contains(&found) {
                    return Ok(());
                }
                let (least, most) = (bounds.start(), bounds.end());
                Err(format!(
                    "a generated {what} must have {least} to {most} {unit}"
                ))
            };
        match self {
            Self::Characters(length, _) => bounded("value", "characters", length, LENGTHS),
            Self::Passphrase(words) => bounded("passphrase", "words", words, WORDS),
            Self::Uuid => Ok(()),
        }
    }

    /// A fresh value.
    pub(crate) fn generate(self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match self {
            Self::Characters(length, charset) => characters(length, charset),
            Self::Uuid => uuid(),
            Self::Passphrase(words) => passphrase(words),
        }
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    SysRng
        .try_fill_bytes(bytes)
        .map_err(|error| Failure::local(format!("the system gives no randomness: {error}")))
}

fn characters(length: usize, charset: Charset) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut value = Zeroizing::new(Vec::with_capacity(length));
    let mut random = Zeroizing::new([0_u8; 64]);
    while value.len() < length {
        fill(random.as_mut())?;
        // Seven bits cover ASCII; characters outside the set are drawn again.
        let drawn = random.iter().map(|byte| byte & 0x7f);
        let missing = length - value.len();
        value.extend(drawn.filter(|byte| charset.holds(*byte)).take(missing));
    }
    Ok(value)
}

fn uuid() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut random = Zeroizing::new([0_u8; 16]);
    fill(random.as_mut())?;
    let mut value = Zeroizing::new(vec![0; uuid::fmt::Hyphenated::LENGTH]);
    let made: Uuid = Builder::from_random_bytes(*random).into_uuid();
    made.hyphenated().encode_lower(&mut value);
    Ok(value)
}

fn passphrase(words: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let list = Language::English.word_list();
    // The longest word has eight letters.
    let mut value = Zeroizing::new(Vec::with_capacity(words * 9));
    let mut random = Zeroizing::new([0_u8; 2]);
    for _ in 0..words {
        fill(random.as_mut())?;
        // 2,048 divides 65,536: each word is as likely as any other.
        let drawn = usize::from(u16::from_le_bytes(*random)) % list.len();
        if !value.is_empty() {
            value.push(b'-');
        }
        value.extend_from_slice(list[drawn].as_bytes());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(spec: &str) -> String {
        let spec: ValueSpec = spec.parse().expect("a form");
        let value = spec.generate().expect("randomness");
        String::from_utf8(value.to_vec()).expect("text")
    }

    #[test]
    fn values_have_their_length_and_characters() {
        for (spec, length, charset) in [
            ("8", 8, Charset::Alnum),
            ("32", 32, Charset::Alnum),
            ("1024,alnum", 1_024, Charset::Alnum),
            ("40,alpha", 40, Charset::Alpha),
            ("40,lower", 40, Charset::Lower),
            ("40,upper", 40, Charset::Upper),
            ("40,digits", 40, Charset::Digits),
            ("1024, symbols", 1_024, Charset::Symbols),
            ("hex", 64, Charset::Hex),
            ("hex,32", 32, Charset::Hex),
        ] {
            let value = made(spec);
            assert_eq!(value.len(), length, "{spec}");
            assert!(value.bytes().all(|byte| charset.holds(byte)), "{spec}");
            assert_ne!(value, made(spec));
        }
        // All occur: in 1,024 draws each of 62 is missing with a chance of 6 in a hundred million.
        let value = made("1024");
        let all = (0..=127).filter(|byte| Charset::Alnum.holds(*byte));
        assert!(all.clone().all(|byte| value.as_bytes().contains(&byte)));
        assert_eq!(all.count(), 62);
        assert!(
            made("1024,symbols")
                .bytes()
                .any(|byte| !byte.is_ascii_alphanumeric())
        );
    }

    #[test]
    fn identifiers_and_passphrases_have_their_form() {
        let value = made("uuid");
        let uuid: Uuid = value.parse().expect("a UUID");
        assert_eq!((uuid.get_version_num(), value.len()), (4, 36));
        for (spec, count) in [
            ("passphrase", 8),
            ("passphrase,5", 5),
            ("passphrase, 64", 64),
        ] {
            let value = made(spec);
            let words: Vec<&str> = value.split('-').collect();
            assert_eq!(words.len(), count);
            let known = |word: &&str| Language::English.word_list().contains(word);
            assert!(words.iter().all(known), "{value}");
            assert!(value.len() < count * 9);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for spec in [
            "",
            "7",
            "1025",
            "-8",
            "x",
            "32,",
            "32,roman",
            "32,hex,4",
            "uuid,4",
            "hex,x",
            "hex,7",
            "passphrase,4",
            "passphrase,65",
            "passphrase,x",
            ",alnum",
        ] {
            assert!(spec.parse::<ValueSpec>().is_err(), "{spec}");
        }
    }
}
