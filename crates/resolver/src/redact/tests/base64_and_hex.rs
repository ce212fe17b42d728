//! Values in Base64 and hex.

use ::base64::Engine;
use ::base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn base64_is_masked_at_every_alignment(
        value in prop::collection::vec(any::<u8>(), 8..40),
        before in prop::collection::vec(any::<u8>(), 0..7),
        after in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let redactor = redactor(&value);
        let whole = [before.as_slice(), &value, &after].concat();
        for encoded in [
            STANDARD.encode(&whole),
            STANDARD_NO_PAD.encode(&whole),
            URL_SAFE.encode(&whole),
            URL_SAFE_NO_PAD.encode(&whole),
        ] {
            let text = format!("<{encoded}>");
            let masked = String::from_utf8(everywhere(&redactor, text.as_bytes())).unwrap();
            let start = masked.find(LABEL).expect("masked");
            prop_assert_eq!(masked.matches(LABEL).count(), 1);
            // No character is left that holds a bit of the value.
            prop_assert!(start - 1 <= before.len() * 8 / 6);
            let rest = masked.len() - start - LABEL.len() - 1;
            prop_assert!(rest <= after.len() * 8 / 6 + 3, "{} {}", encoded, masked);
            if after.is_empty() {
                prop_assert_eq!(rest, 0);
            }
        }
    }

    #[test]
    fn bytes_are_masked_raw_and_as_python_and_hex(
        value in prop::collection::vec(any::<u8>(), 8..40),
    ) {
        let redactor = redactor(&value);
        let text = [b"<", value.as_slice(), b">"].concat();
        prop_assert!(!contains(&everywhere(&redactor, &text), value.trim_ascii())
            || value.trim_ascii().len() < MIN_MASKED);
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let masked = everywhere(&redactor, hex.as_bytes());
        prop_assert!(!contains(&masked, hex.as_bytes()));
    }
}

#[test]
fn line_ends_may_stand_in_base64_and_hex() {
    let redactor = redactor(b"wJalrXUtnFEMI-K7MDENG-bPxRfiCYzEXAMPLEKEY");
    let encoded = STANDARD.encode("wJalrXUtnFEMI-K7MDENG-bPxRfiCYzEXAMPLEKEY");
    let hex: String = b"wJalrXUtnFEMI-K7MDENG-bPxRfiCYzEXAMPLEKEY"
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    for width in [10, 16, 20, 64] {
        for end in ["\n", "\r\n", "\n    ", "\\n", "%0A", "\\r\\n", "&#10;"] {
            for text in [&encoded, &hex] {
                let lines: Vec<&str> = (0..text.len())
                    .step_by(width)
                    .map(|at| &text[at..text.len().min(at + width)])
                    .collect();
                assert_masked(&redactor, &lines.join(end));
            }
        }
    }
}

/// With any number of bytes before the value in its line, and with a second encoder.
#[test]
fn a_line_end_may_follow_any_character() {
    let value = ">>>???>>>???abcdefgh-1234";
    let redactor = redactor(value.as_bytes());
    for before in 0..20 {
        let whole = format!("{}{value}", &"xyzxyzxyzxyzxyzxyzxyz"[..before]);
        let dump: Vec<String> = whole.bytes().map(|byte| format!("{byte:02x}")).collect();
        let lines = |separator: &str, end: &str, width: usize| -> String {
            let lines: Vec<String> = dump
                .chunks(width)
                .map(|line| line.join(separator))
                .collect();
            lines.join(end)
        };
        let by_two = |width: usize| -> String {
            let groups: Vec<String> = dump.chunks(2).map(<[String]>::concat).collect();
            let lines: Vec<String> = groups
                .chunks(width / 2)
                .map(|line| line.join(" "))
                .collect();
            lines.join("\n")
        };
        let base64 = STANDARD.encode(&whole);
        let wrapped = |width: usize, end: &str| -> String {
            let lines: Vec<String> = base64
                .as_bytes()
                .chunks(width)
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect();
            lines.join(end)
        };
        for text in [
            lines(" ", "\n", 4),
            lines(":", ":\n    ", 5),
            lines(":", ":\n    ", 15),
            lines("", "\r\n", 8),
            by_two(8),
            by_two(16),
            lines(":", "%0A", 15),
            wrapped(11, "\n").replace('/', "\\/"),
            wrapped(12, "\\n").replace('/', "\\/"),
            wrapped(11, "%0A").replace('+', "%2B").replace('/', "%2F"),
            wrapped(12, "\n")
                .replace('+', "&#43;")
                .replace('/', "&#x2f;"),
        ] {
            let masked = String::from_utf8(everywhere(&redactor, text.as_bytes())).unwrap();
            let (kept, rest) = masked.split_once(LABEL).unwrap_or_else(|| panic!("{text}"));
            // The text before the value, and the part of the value before its first line end, may stay.
            let free = text.len() * before / whole.len();
            assert!(
                kept.len() <= free + 14 && rest.len() <= 8,
                "{text}\n{masked}"
            );
        }
    }
}
