//! Signed notes and checkpoints: those of others are read, and none that was tampered with.

use ed25519_dalek::{Signature, SigningKey, Verifier as _};
use keyroll_merkle::{
    Checkpoint, Hash, KeyError, MAX_NOTE_BYTES, MAX_SIGNATURES, Note, NoteError, SignedCheckpoint,
    VerifierKey, sign_note,
};
use proptest::prelude::*;

/// The example in the documentation of Go's `sumdb/note`: its key, the seed of its private key
/// (also published there) and the note.
const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NEUMANN_SEED: &str = "810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173";
const NEUMANN_TEXT: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
const NEUMANN_SIGNATURE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuG\
    UgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

/// A checkpoint of the Go checksum database, with its key.
const SUMDB: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
const SUMDB_CHECKPOINT: &str = "go.sum database tree\n\
    6476701\n\
    mb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=\n\
    \n\
    — sum.golang.org Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWE\
    PWL+o3GeoWwOoAw=\n";

const NAME: &str = "example.com/log";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn verifier(seed: u8, name: &str) -> VerifierKey {
    VerifierKey::new(name, key(seed).verifying_key()).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: NAME.to_owned(),
        size: 109_482,
        root: Hash([0xfe; 32]),
        extensions: vec![],
    }
}

fn signed() -> String {
    checkpoint().sign(&key(1), NAME).unwrap()
}

fn signature_line(note: &str) -> &str {
    note.split_once("\n\n").unwrap().1
}

#[test]
fn the_published_note_verifies_and_is_signed_alike() {
    let note = format!("{NEUMANN_TEXT}\n{NEUMANN_SIGNATURE}");
    let parsed = Note::parse(&note).unwrap();
    assert_eq!(parsed.text(), NEUMANN_TEXT);
    parsed
        .verify(&VerifierKey::parse(NEUMANN).unwrap())
        .unwrap();

    let seed: [u8; 32] = hex::decode(NEUMANN_SEED).unwrap().try_into().unwrap();
    let again = sign_note(NEUMANN_TEXT, &SigningKey::from_bytes(&seed), "PeterNeumann");
    assert_eq!(again.unwrap(), note);
}

#[test]
fn a_published_checkpoint_verifies() {
    let key = VerifierKey::parse(SUMDB).unwrap();
    let parsed = SignedCheckpoint::parse(SUMDB_CHECKPOINT).unwrap();
    let checkpoint = parsed.verify(&key).unwrap();
    assert_eq!(checkpoint.origin, "go.sum database tree");
    assert_eq!(checkpoint.size, 6_476_701);
    let body = SUMDB_CHECKPOINT.split_once("\n\n").unwrap().0;
    assert_eq!(checkpoint.body().unwrap(), format!("{body}\n"));

    let lie = SUMDB_CHECKPOINT.replace("6476701", "6476702");
    let refused = SignedCheckpoint::parse(&lie).unwrap().verify(&key);
    assert!(matches!(refused, Err(NoteError::FalseSignature { .. })));
}

#[test]
fn a_checkpoint_has_the_form_of_the_specification() {
    let mut checkpoint = checkpoint();
    checkpoint.extensions = vec!["one".to_owned(), "two more".to_owned()];
    assert_eq!(
        checkpoint.body().unwrap(),
        "example.com/log\n\
         109482\n\
         /v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v4=\n\
         one\n\
         two more\n"
    );
    let note = checkpoint.sign(&key(1), NAME).unwrap();
    assert!(signature_line(&note).starts_with("\u{2014} example.com/log "));
    let opened = SignedCheckpoint::open(&note, &verifier(1, NAME));
    assert_eq!(opened, Ok(checkpoint));
}

#[test]
fn no_character_of_a_signed_checkpoint_can_be_changed() {
    let (note, key) = (signed(), verifier(1, NAME));
    SignedCheckpoint::open(&note, &key).unwrap();
    for (position, old) in note.char_indices() {
        let after = position + old.len_utf8();
        for new in ["", "x", "0", "=", " ", "\n", "\r", "\u{2014}"] {
            let changed = [&note[..position], new, &note[after..]].concat();
            if changed != note {
                SignedCheckpoint::open(&changed, &key).unwrap_err();
            }
            let longer = [&note[..after], new, &note[after..]].concat();
            if longer != note {
                SignedCheckpoint::open(&longer, &key).unwrap_err();
            }
        }
        SignedCheckpoint::open(&note[..position], &key).unwrap_err();
    }
}

#[test]
fn only_the_right_key_opens_a_checkpoint() {
    let note = signed();
    for stranger in [verifier(2, NAME), verifier(1, "example.com/other")] {
        let (name, key_id) = (stranger.name().to_owned(), stranger.key_id());
        assert_eq!(
            SignedCheckpoint::open(&note, &stranger),
            Err(NoteError::NotSigned { name, key_id })
        );
    }
}

#[test]
fn lines_by_unknown_keys_are_ignored() {
    let note = signed();
    let (body, ours) = note.split_once("\n\n").unwrap();
    let witness = checkpoint().sign(&key(3), "witness.example").unwrap();
    let witness = signature_line(&witness);
    // Shares the name, or the id, but not both; the signature is no Ed25519 signature at all.
    let id = verifier(1, NAME).key_id().to_be_bytes();
    let namesake = "\u{2014} example.com/log AAAAAAA=\n";
    let id_only = format!(
        "\u{2014} someone {}\n",
        base64(&[&id[..], &[9; 5000]].concat())
    );
    for lines in [
        format!("{witness}{ours}"),
        format!("{ours}{witness}"),
        format!("{namesake}{ours}{id_only}"),
        format!("{ours}{ours}"),
    ] {
        let note = format!("{body}\n\n{lines}");
        let opened = SignedCheckpoint::open(&note, &verifier(1, NAME));
        assert_eq!(opened, Ok(checkpoint()), "{lines}");
    }
}

#[test]
fn a_false_signature_beside_a_good_one_spoils_the_note() {
    let note = signed();
    let id = verifier(1, NAME).key_id().to_be_bytes();
    for forged in [&[0; 64][..], &[0; 63], &[0; 65]] {
        let line = format!("\u{2014} {NAME} {}\n", base64(&[&id, forged].concat()));
        let refused = SignedCheckpoint::open(&format!("{note}{line}"), &verifier(1, NAME));
        let (name, key_id) = (NAME.to_owned(), verifier(1, NAME).key_id());
        assert_eq!(refused, Err(NoteError::FalseSignature { name, key_id }));
    }
}

#[test]
fn a_signature_that_only_lax_verifiers_accept_is_refused() {
    // The first half is a point of small order, the second was made for it with the private key.
    // Verifiers disagree about such signatures; the strict ones refuse them.
    let mut forged = [0; 64];
    forged[0] = 1;
    let half = "3e07314831def3fade30e7cc0338e407b81d9c53ffb4c67a6a03bcad215e050d";
    hex::decode_to_slice(half, &mut forged[32..]).unwrap();
    let (body, signature) = (checkpoint().body().unwrap(), Signature::from_bytes(&forged));
    key(1)
        .verifying_key()
        .verify(body.as_bytes(), &signature)
        .unwrap();

    let id = verifier(1, NAME).key_id().to_be_bytes();
    let line = base64(&[&id[..], &forged].concat());
    let note = format!("{body}\n\u{2014} {NAME} {line}\n");
    let refused = SignedCheckpoint::open(&note, &verifier(1, NAME));
    assert!(matches!(refused, Err(NoteError::FalseSignature { .. })));
}

#[test]
fn a_checkpoint_of_another_log_under_the_same_key_is_refused() {
    let (ours, theirs) = (verifier(1, NAME), "example.com/other");
    let mut other = checkpoint();
    other.origin = theirs.to_owned();
    // Whoever signs for both logs signed this; the line then gets the name and id of ours.
    let relabelled = other.sign(&key(1), NAME).unwrap();
    let parsed = SignedCheckpoint::parse(&relabelled).unwrap();
    assert_eq!(parsed.verify(&ours), Ok(other));
    assert_eq!(
        SignedCheckpoint::open(&relabelled, &ours),
        Err(NoteError::Origin {
            expected: NAME.to_owned(),
            found: theirs.to_owned()
        })
    );
}

#[test]
fn malformed_notes_are_refused() {
    let parse = |note: &str| Note::parse(note).unwrap_err();
    let line = "\u{2014} a AAAAAAA=\n";
    Note::parse(&format!("text\n\n{line}")).unwrap();
    let with_blank_lines = format!("text\n\nmore\n\n{line}");
    assert_eq!(
        Note::parse(&with_blank_lines).unwrap().text(),
        "text\n\nmore\n"
    );

    for form in ["", "\n", "text", "text\n", "text\n\n", line] {
        assert_eq!(parse(form), NoteError::Form, "{form:?}");
    }
    assert_eq!(parse(&format!("text\n{line}")), NoteError::Form);
    assert_eq!(
        parse(&format!("text\n\n{}", line.trim_end())),
        NoteError::Form
    );
    for control in ["\t", "\r", "\u{0}", "\u{1f}"] {
        let note = format!("te{control}xt\n\n{line}");
        assert_eq!(parse(&note), NoteError::ControlCharacter { at: 2 });
    }
    let spaced = format!("te\u{2003}\u{7f}xt\n\n{line}");
    Note::parse(&spaced).unwrap();
    for bad in [
        "- a AAAAAAA=",
        "\u{2014}a AAAAAAA=",
        "\u{2014}  AAAAAAA=",
        "\u{2014} a+b AAAAAAA=",
        "\u{2014} a\u{a0}b AAAAAAA=",
        "\u{2014} a",
        "\u{2014} a AAAAAA",
        "\u{2014} a AAAAAA==",
        "\u{2014} a AAAAAAB=",
        "\u{2014} a AAAAAAA= ",
    ] {
        let note = format!("text\n\n{line}{bad}\n");
        assert_eq!(
            parse(&note),
            NoteError::SignatureLine { line: 2 },
            "{bad:?}"
        );
    }
}

#[test]
fn limits_are_met_exactly() {
    let line = "\u{2014} a AAAAAAA=\n";
    let lines = |count| format!("text\n\n{}", line.repeat(count));
    Note::parse(&lines(MAX_SIGNATURES)).unwrap();
    let found = MAX_SIGNATURES + 1;
    assert_eq!(
        Note::parse(&lines(found)),
        Err(NoteError::TooManySignatures { found })
    );

    let text = |bytes: usize| format!("{}\n", "x".repeat(bytes - 1));
    let rest = sign_note("\n", &key(1), NAME).unwrap().len() - 1;
    let largest = sign_note(&text(MAX_NOTE_BYTES - rest), &key(1), NAME).unwrap();
    assert_eq!(largest.len(), MAX_NOTE_BYTES);
    Note::parse(&largest).unwrap();
    let bytes = MAX_NOTE_BYTES + 1;
    let refused = sign_note(&text(bytes - rest), &key(1), NAME);
    assert_eq!(refused, Err(NoteError::TooLarge { bytes }));
    assert_eq!(
        Note::parse(&format!("x{largest}")),
        Err(NoteError::TooLarge { bytes })
    );
}

#[test]
fn malformed_checkpoints_are_refused_with_the_line() {
    let root = "/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v4=";
    for (body, at) in [
        (String::new(), 1),
        (format!("\n1\n{root}\n"), 1),
        (format!("o\to\n1\n{root}\n"), 1),
        ("o\n".to_owned(), 2),
        (format!("o\n\n{root}\n"), 2),
        (format!("o\n01\n{root}\n"), 2),
        (format!("o\n00\n{root}\n"), 2),
        (format!("o\n+1\n{root}\n"), 2),
        (format!("o\n-1\n{root}\n"), 2),
        (format!("o\n1 \n{root}\n"), 2),
        (format!("o\n0x1\n{root}\n"), 2),
        (format!("o\n18446744073709551616\n{root}\n"), 2),
        ("o\n1\n".to_owned(), 3),
        (format!("o\n1\n{root}"), 3),
        (format!("o\n1\n{}\n", &root[..43]), 3),
        (format!("o\n1\n{}5=\n", &root[..42]), 3),
        (format!("o\n1\n{}\n", base64(&[0; 31])), 3),
        (format!("o\n1\n{}\n", base64(&[0; 33])), 3),
        (format!("o\n1\n{root}\n\n"), 4),
        (format!("o\n1\n{root}\nx\n\ny\n"), 5),
        (format!("o\n1\n{root}\nx"), 4),
    ] {
        match Checkpoint::parse_body(&body) {
            Err(NoteError::Checkpoint { line, .. }) => assert_eq!(line, at, "{body:?}"),
            other => panic!("{body:?} gives {other:?}"),
        }
    }
    for size in [0, 1, u64::MAX] {
        let parsed = Checkpoint::parse_body(&format!("o\n{size}\n{root}\n"));
        assert_eq!(parsed.unwrap().size, size);
    }
}

#[test]
fn nothing_is_signed_that_could_not_be_read() {
    let with = |origin: &str, extension: &str| Checkpoint {
        origin: origin.to_owned(),
        extensions: vec![extension.to_owned()],
        ..checkpoint()
    };
    for (bad, at) in [
        (with("", "x"), 1),
        (with("a\nb", "x"), 1),
        (with("a\u{0}", "x"), 1),
        (with("a", ""), 4),
        (with("a", "x\ny"), 4),
    ] {
        let refused = bad.sign(&key(1), NAME).unwrap_err();
        assert!(matches!(refused, NoteError::Checkpoint { line, .. } if line == at));
    }
    let refused = checkpoint().sign(&key(1), "a name");
    assert_eq!(refused, Err(NoteError::Key(KeyError::Name)));
    for text in ["", "no newline"] {
        assert_eq!(sign_note(text, &key(1), NAME), Err(NoteError::Form));
    }
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
    let line = "[^\\x00-\\x1f]{1,20}";
    let extensions = prop::collection::vec(line, 0..4);
    (line, any::<u64>(), any::<[u8; 32]>(), extensions).prop_map(
        |(origin, size, root, extensions)| Checkpoint {
            origin,
            size,
            root: Hash(root),
            extensions,
        },
    )
}

proptest! {
    #[test]
    fn checkpoints_survive_their_text_form(checkpoint in any_checkpoint(), seed: u8) {
        let body = checkpoint.body().unwrap();
        prop_assert_eq!(&Checkpoint::parse_body(&body).unwrap(), &checkpoint);
        let note = checkpoint.sign(&key(seed), NAME).unwrap();
        let verified = SignedCheckpoint::parse(&note).unwrap().verify(&verifier(seed, NAME));
        prop_assert_eq!(verified.unwrap(), checkpoint);
    }

    #[test]
    fn whatever_is_read_is_written_the_same(body in "(\\PC{0,4}|[0-9]{1,3}|[A-Za-z+/]{42}[AEQ]=|\n){0,9}") {
        if let Ok(checkpoint) = Checkpoint::parse_body(&body) {
            prop_assert_eq!(checkpoint.body().unwrap(), body);
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "([ab]|\n|\u{2014} |\\PC|=){0,60}", any: String) {
        let _ = Note::parse(&text);
        let _ = SignedCheckpoint::parse(&any);
        let _ = Checkpoint::parse_body(&any);
    }
}
