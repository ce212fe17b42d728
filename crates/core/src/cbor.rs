//! Deterministic CBOR (RFC 8949 §4.2.1), as far as keyroll's forms use it: integers, byte and text
//! strings, arrays, maps, booleans. No floats, no null, no tags, no indefinite lengths.
//!
//! Every entry is decoded and encoded several times on its way, so both are written for this subset
//! and for memory; the tests compare them with `ciborium`.

mod de;
mod ser;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits;
use crate::rejection::{Code, Rejection};
use crate::union::UPGRADE;

pub(crate) use ser::push_head;

/// The canonical bytes of a form.
///
/// Map keys come out in declaration order, so every form declares its fields in canonical order;
/// debug builds check it.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = encode_row(value);
    debug_assert!(
        check(&bytes).is_ok(),
        "a form's fields are not in canonical order"
    );
    bytes
}

/// CBOR of a row of the read model: the same bytes for the same row, in declaration order. Rows are
/// never signed and never leave the process, so they need no canonical order.
pub fn encode_row<T: Serialize>(value: &T) -> Vec<u8> {
    let mut writer = ser::Writer(Vec::with_capacity(256));
    // Everything in our forms and rows has an encoding.
    let encoded = value.serialize(&mut writer);
    debug_assert!(encoded.is_ok(), "a form or row with a float");
    if encoded.is_err() {
        writer.0.clear();
    }
    writer.0
}

/// Decodes untrusted bytes: they must be bounded, canonical, and hold only what the form knows.
///
/// # Errors
/// [`Code::Malformed`] when the bytes are not the canonical form of a `T`, [`Code::InvalidName`]
/// when only a name is invalid, [`Code::UpgradeNeeded`] for an unknown variant of a union.
pub fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, Rejection> {
    check(bytes)?;
    let value: T = decode_trusted(bytes)?;
    if encode(&value) == bytes {
        return Ok(value);
    }
    Err(malformed("it holds something this form does not have"))
}

/// Decodes bytes that a checked signature of the ledger already covers.
///
/// # Errors
/// As [`decode`], without the check of the canonical form.
pub fn decode_trusted<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Rejection> {
    let mut reader = de::Reader::new(bytes);
    let value = T::deserialize(&mut reader).map_err(|de::Error(message)| {
        if let Some(why) = message.strip_prefix(UPGRADE) {
            return Rejection::new(Code::UpgradeNeeded, why);
        }
        match message.strip_prefix("invalid_name: ") {
            Some(rule) => Rejection::new(Code::InvalidName, rule),
            None => malformed(&message),
        }
    })?;
    if reader.is_at_end() {
        return Ok(value);
    }
    Err(malformed("bytes after the end"))
}

/// The head of a byte string of this length: it has one encoding.
pub fn bytes_head(length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(9);
    push_head(&mut head, 2, length as u64);
    head
}

/// The size of a byte string with its head.
pub const fn bytes_len(bytes: &[u8]) -> usize {
    let head = match bytes.len() as u64 {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    };
    head + bytes.len()
}

/// Splits off the byte string at the start of `bytes`, its length in the shortest form. Returns it
/// and the rest.
pub fn split_bytes(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut scan = Scan { bytes, at: 0 };
    let (2, length) = scan.head().ok()? else {
        return None;
    };
    let found = scan.string(length).ok()?;
    Some((found, bytes.get(scan.at..)?))
}

fn malformed(why: &str) -> Rejection {
    Rejection::new(Code::Malformed, format!("not a canonical CBOR form: {why}"))
}

/// Checks that `bytes` are exactly one item in the allowed subset, in canonical form and within
/// the limits on depth and length.
///
/// # Errors
/// [`Code::Malformed`], with the problem and the byte where it is.
pub fn check(bytes: &[u8]) -> Result<(), Rejection> {
    let mut scan = Scan { bytes, at: 0 };
    scan.item(0)?;
    if scan.at == bytes.len() {
        return Ok(());
    }
    Err(scan.fail("bytes after the end"))
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn fail(&self, why: &str) -> Rejection {
        malformed(&format!("{why}, at byte {}", self.at))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Rejection> {
        let end = self
            .at
            .checked_add(count)
            .filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.fail("cut short"));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Reads a major type and its argument, which must be in its shortest form.
    fn head(&mut self) -> Result<(u8, u64), Rejection> {
        let first = self.take(1)?[0];
        let (major, short) = (first >> 5, first & 0x1f);
        let (value, least) = match short {
            0..=23 => (u64::from(short), 0),
            24 => (u64::from(self.take(1)?[0]), 24),
            25 => (
                self.take(2)?
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
                1 << 8,
            ),
            26 => (
                self.take(4)?
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
                1 << 16,
            ),
            27 => (
                self.take(8)?
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
                1 << 32,
            ),
            _ => return Err(self.fail("an indefinite or reserved length")),
        };
        if value < least && major != 7 {
            return Err(self.fail("a number not in its shortest form"));
        }
        Ok((major, value))
    }

    fn item(&mut self, depth: usize) -> Result<(), Rejection> {
        if depth > limits::CBOR_DEPTH {
            return Err(self.fail("nested too deeply"));
        }
        let start = self.at;
        let (major, value) = self.head()?;
        match major {
            0 | 1 => Ok(()),
            2 => self.string(value).map(drop),
            3 => {
                let text = self.string(value)?;
                std::str::from_utf8(text)
                    .map(drop)
                    .map_err(|_| self.fail("text that is not UTF-8"))
            }
            4 => (0..self.count(value)?).try_for_each(|_| self.item(depth + 1)),
            5 => self.map(value, depth),
            7 if self.at == start + 1 && (value == 20 || value == 21) => Ok(()),
            _ => Err(self.fail("a tag, float, null or simple value")),
        }
    }

    fn map(&mut self, pairs: u64, depth: usize) -> Result<(), Rejection> {
        let mut previous: Option<&[u8]> = None;
        for _ in 0..self.count(pairs)? {
            let start = self.at;
            if self.bytes.get(start).is_none_or(|byte| byte >> 5 != 3) {
                return Err(self.fail("a key that is not text"));
            }
            self.item(depth + 1)?;
            let key = &self.bytes[start..self.at];
            if previous.is_some_and(|previous| previous >= key) {
                return Err(self.fail("keys out of order or twice"));
            }
            previous = Some(key);
            self.item(depth + 1)?;
        }
        Ok(())
    }

    fn count(&self, value: u64) -> Result<u64, Rejection> {
        if value > limits::CBOR_ITEMS {
            return Err(self.fail("too many items"));
        }
        Ok(value)
    }

    fn string(&mut self, length: u64) -> Result<&'a [u8], Rejection> {
        let length = usize::try_from(length).map_err(|_| self.fail("cut short"))?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests;
