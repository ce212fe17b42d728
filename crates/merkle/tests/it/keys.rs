//! Verifier keys read and write the text form of c2sp.org/signed-note.

use ed25519_dalek::{SigningKey, VerifyingKey};
use keyroll_merkle::{KeyError, VerifierKey, key_id};
use proptest::prelude::*;

/// The key of the example in the documentation of Go's `sumdb/note`.
const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// The key of the Go checksum database.
const SUMDB: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

fn some_key() -> VerifyingKey {
    SigningKey::from_bytes(&[7; 32]).verifying_key()
}

#[test]
fn published_keys_have_the_published_ids() {
    for (text, name, id) in [
        (NEUMANN, "PeterNeumann", 0xc74f_20a3),
        (SUMDB, "sum.golang.org", 0x033d_e0ae),
    ] {
        let key = VerifierKey::parse(text).unwrap();
        assert_eq!((key.name(), key.key_id()), (name, id));
        assert_eq!(key_id(name, key.key()), Ok(id));
        assert_eq!(key.to_string(), text);
        assert_eq!(VerifierKey::new(name, *key.key()), Ok(key));
    }
}

#[test]
fn the_id_depends_on_the_name_and_the_key() {
    let id = |name| key_id(name, &some_key()).unwrap();
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
    assert_ne!(id("a"), id("b"));
    assert_ne!(Ok(id("a")), key_id("a", &other));
}

#[test]
fn names_that_would_break_a_note_are_refused() {
    let names = [
        "",
        "a b",
        "a+b",
        "a\nb",
        "a\tb",
        "a\u{a0}b",
        "a\u{2003}b",
        "a\u{1}b",
    ];
    for name in names {
        assert_eq!(
            VerifierKey::new(name, some_key()),
            Err(KeyError::Name),
            "{name:?}"
        );
        assert_eq!(key_id(name, &some_key()), Err(KeyError::Name), "{name:?}");
    }
    for name in ["a", "example.com/log", "keyroll/abc/über"] {
        VerifierKey::new(name, some_key()).unwrap();
    }
}

#[test]
fn a_key_of_small_order_is_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let key = VerifyingKey::from_bytes(&identity).unwrap();
    assert_eq!(VerifierKey::new("a", key), Err(KeyError::Key));
}

#[test]
fn each_fault_of_the_text_has_its_own_error() {
    let (id, key) = ("c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    let parse = |text: String| VerifierKey::parse(&text).unwrap_err();
    assert_eq!(parse(String::new()), KeyError::Form);
    assert_eq!(parse(format!("PeterNeumann+{id}")), KeyError::Form);
    assert_eq!(
        parse(format!("PeterNeumann+C74F20A3+{key}")),
        KeyError::Form
    );
    assert_eq!(parse(format!("PeterNeumann+74f20a3+{key}")), KeyError::Form);
    assert_eq!(
        parse(format!("PeterNeumann++74f20a3+{key}")),
        KeyError::Form
    );
    assert_eq!(parse(format!("PeterNeumann+{id}+")), KeyError::Form);
    assert_eq!(parse(format!("PeterNeumann+{id}+?{key}")), KeyError::Form);
    assert_eq!(parse(format!("+{id}+{key}")), KeyError::Name);
    assert_eq!(parse(format!("PeterNeumann+{id}+AQ==")), KeyError::Key);
    let cosigner = key.replacen('A', "B", 1);
    assert_eq!(
        parse(format!("PeterNeumann+{id}+{cosigner}")),
        KeyError::SignatureType(5)
    );
    let (expected, found) = (0xc74f_20a3, 0xc74f_20a4);
    let wrong_id = KeyError::KeyId { expected, found };
    assert_eq!(parse(format!("PeterNeumann+c74f20a4+{key}")), wrong_id);
}

#[test]
fn no_character_of_a_key_can_be_changed() {
    for (position, old) in NEUMANN.char_indices() {
        for new in ['x', '0', '+', ' ', '\n'] {
            if new == old {
                continue;
            }
            let mut text = NEUMANN.to_owned();
            text.replace_range(position..=position, &new.to_string());
            VerifierKey::parse(&text).unwrap_err();
        }
    }
}

proptest! {
    #[test]
    fn keys_survive_their_text_form(seed: [u8; 32], name in "[a-zA-Z0-9./äß-]{1,40}") {
        let key = VerifierKey::new(name, SigningKey::from_bytes(&seed).verifying_key()).unwrap();
        prop_assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text: String, tail in "[a-z]\\+[0-9a-f]{8}\\+.*") {
        let _ = VerifierKey::parse(&text);
        let _ = VerifierKey::parse(&tail);
    }
}
