//! Deterministic CBOR (RFC 8949 §4.2.1), as far as keyroll's forms use it: integers, byte and text
//! strings, arrays, maps, booleans. No floats, no null, no tags, no indefinite lengths.
//!
//! Every entry is decoded and encoded several times on its way, so both are written for this subset
//! and for memory; the tests hold them to `ciborium`.

mod de;
mod ser;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits;
use crate::rejection::{Code, Rejection};

pub(crate) use ser::push_head;

/// The canonical bytes of a form.
///
/// Map keys come out in declaration order, so every form declares its fields in canonical order;
/// `canonical` holds the tests to it.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = encode_row(value);
    debug_assert!(
        check(&bytes).is_ok(),
        "a form's fields are not in canonical order"
    );
    bytes
}

/// CBOR of a row of the read model: the same bytes for the same row, in declaration order. Rows
/// are never signed and never leave the process, so no canonical order is asked of them.
pub fn encode_row<T: Serialize>(value: &T) -> Vec<u8> {
    let mut writer = ser::Writer(Vec::with_capacity(256));
    // Our forms and rows hold nothing that has no encoding.
    let encoded = value.serialize(&mut writer);
    debug_assert!(encoded.is_ok(), "a form or row with a float");
    if encoded.is_err() {
        writer.0.clear();
    }
    writer.0
}

/// Decodes bytes from outside: bounded, canonical, and nothing in them that the form does not know.
///
/// # Errors
/// [`Code::Malformed`] when the bytes are not the canonical form of a `T`, [`Code::InvalidName`]
/// when all that is wrong is a name.
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

/// How many bytes a byte string takes with its length.
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

/// The byte string, its length in the shortest form, that `bytes` begin with, and what follows it.
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
/// [`Code::Malformed`], saying what and at which byte.
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

    /// Major type and argument, which must be in its shortest form.
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[test]
    fn canonical_items_pass() {
        for good in [
            "00", "17", "1818", "190100", "20", "40", "6161", "80", "a0", "f4", "f5",
        ] {
            assert!(check(&hex::decode(good).expect("hex")).is_ok(), "{good}");
        }
        // {"v": 1, "at": 2}: shorter keys first.
        assert!(check(&hex::decode("a2617601626174 02".replace(' ', "")).expect("hex")).is_ok());
    }

    #[test]
    fn byte_strings_that_follow_each_other_come_apart() {
        for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536] {
            let one = serde_bytes::ByteBuf::from(vec![7; length]);
            let mut bytes = encode(&one);
            assert_eq!(bytes.len(), bytes_len(&one), "{length}");
            bytes.extend([0x41, 0x09]);
            let (found, rest) = split_bytes(&bytes).expect("a byte string");
            assert_eq!((found.len(), rest), (length, [0x41, 0x09].as_slice()));
        }
        for none in [
            "",
            "58",
            "5801",
            "42 00",
            "58 17 00",
            "61 61",
            "5f 41 00 ff",
        ] {
            let bytes = hex::decode(none.replace(' ', "")).expect("hex");
            assert!(split_bytes(&bytes).is_none(), "{none}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (bad, why) in [
            ("", "empty"),
            ("1817", "long form of 23"),
            ("19 0018", "long form of 24"),
            ("1a 00000100", "long form of 256"),
            ("1b 0000000000000001", "long form of 1"),
            ("5f 41 00 ff", "indefinite bytes"),
            ("9f ff", "indefinite array"),
            ("bf ff", "indefinite map"),
            ("f6", "null"),
            ("f7", "undefined"),
            ("f818", "simple"),
            ("f814", "false in two bytes"),
            ("f9 3c00", "half float"),
            ("fb 3ff0000000000000", "float"),
            ("c0 00", "tag"),
            ("61 ff", "not UTF-8"),
            ("62 61", "cut text"),
            ("5b ffffffffffffffff", "huge bytes"),
            ("9a 00ffffff", "huge array"),
            ("a1 01 02", "integer key"),
            ("a2 6161 01 6161 02", "key twice"),
            ("a2 626174 01 6176 02", "longer key first"),
            ("00 00", "two items"),
        ] {
            let bytes = hex::decode(bad.replace(' ', "")).expect("hex");
            assert_eq!(
                check(&bytes).map_err(|r| r.code),
                Err(Code::Malformed),
                "{why}"
            );
        }
        let deep = [vec![0x81; 64], vec![0]].concat();
        assert!(check(&deep).is_err(), "deep nesting");
    }

    /// One of everything that forms and rows are made of.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    enum Sample {
        Alone,
        One(Box<Sample>),
        Two(u8, i64),
        Named {
            a: Option<u32>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            b: Option<String>,
            c: bool,
        },
        Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
        Text(String, char),
        Many(Vec<Sample>),
        Map(BTreeMap<String, u64>),
        Counter(crate::ids::TreeSize, crate::ids::Digest, crate::ids::Blob),
        Empty(()),
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let digest = any::<[u8; 32]>().prop_map(crate::ids::Digest);
        let blob = proptest::collection::vec(any::<u8>(), 0..300).prop_map(crate::ids::Blob);
        let leaf = prop_oneof![
            Just(Sample::Alone),
            Just(Sample::Empty(())),
            (any::<u8>(), any::<i64>()).prop_map(|(a, b)| Sample::Two(a, b)),
            (any::<Option<u32>>(), any::<Option<String>>(), any::<bool>())
                .prop_map(|(a, b, c)| Sample::Named { a, b, c }),
            proptest::collection::vec(any::<u8>(), 0..70_000).prop_map(Sample::Bytes),
            (any::<String>(), any::<char>()).prop_map(|(a, b)| Sample::Text(a, b)),
            proptest::collection::btree_map(any::<String>(), any::<u64>(), 0..30)
                .prop_map(Sample::Map),
            (any::<u64>(), digest, blob).prop_map(|(a, b, c)| Sample::Counter(
                crate::ids::TreeSize(a),
                b,
                c
            )),
        ];
        leaf.prop_recursive(4, 64, 30, |inner| {
            prop_oneof![
                inner.clone().prop_map(|one| Sample::One(Box::new(one))),
                proptest::collection::vec(inner, 0..30).prop_map(Sample::Many),
            ]
        })
    }

    fn by_ciborium<T: Serialize>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).expect("encoded");
        bytes
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = check(&bytes);
            let _ = decode_trusted::<Sample>(&bytes);
            let _ = decode_trusted::<serde::de::IgnoredAny>(&bytes);
        }

        #[test]
        fn bytes_are_those_of_another_implementation(sample in sample()) {
            let bytes = encode_row(&sample);
            prop_assert_eq!(&bytes, &by_ciborium(&sample));
            prop_assert_eq!(decode_trusted::<Sample>(&bytes).expect("decodes"), sample);
        }

        /// Whatever canonical bytes another implementation takes for a sample are taken here for the
        /// same one, and no others: broken bytes too.
        #[test]
        fn what_is_taken_is_what_another_implementation_takes(
            sample in sample(),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = encode_row(&sample);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let theirs = ciborium::from_reader::<Sample, _>(bytes.as_slice()).ok();
            let theirs = theirs.filter(|sample| check(&bytes).is_ok() && by_ciborium(sample) == bytes);
            prop_assert_eq!(decode::<Sample>(&bytes).ok(), theirs);
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let mut sample = Sample::Alone;
        for _ in 0..limits::CBOR_DEPTH {
            sample = Sample::One(Box::new(sample));
        }
        assert!(decode_trusted::<Sample>(&encode_row(&sample)).is_ok());
        let deep = [vec![0x81; 1_000_000], vec![0]].concat();
        assert!(decode_trusted::<serde::de::IgnoredAny>(&deep).is_err());
        let long = hex::decode("9b7fffffffffffffff00").expect("hex");
        assert!(decode_trusted::<Vec<u64>>(&long).is_err());
    }
}
