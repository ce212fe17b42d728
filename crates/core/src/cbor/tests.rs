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

/// One value of each type that forms and rows use.
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
        proptest::collection::btree_map(any::<String>(), any::<u64>(), 0..30).prop_map(Sample::Map),
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

    /// This decoder accepts exactly the canonical bytes that another implementation accepts, and
    /// returns the same sample. Broken bytes are compared too.
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
