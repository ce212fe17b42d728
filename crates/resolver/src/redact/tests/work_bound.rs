//! Texts that would take too long without a bound on the work.

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;

use super::*;

/// Each position of such a text begins a match of almost the whole value. Without a bound on the work this
/// takes hours.
#[test]
fn a_value_of_one_letter_takes_linear_time() {
    let value = [vec![b'a'; 20_000], b"b".to_vec()].concat();
    let redactor = redactor(&value);
    for spelled in ["a", "\\u0061", "%61"] {
        let text = spelled.repeat(50_000);
        let masked = redactor.redact(text.as_bytes());
        assert!(spelled != "a" || masked == text.as_bytes());
        assert!(masked.len() <= text.len());
    }
}

#[test]
fn the_end_of_a_periodic_value_is_masked() {
    let value = format!("{}Tail-Secret-0123456789-xyz", "A".repeat(2000));
    let redactor = redactor(value.as_bytes());
    for (before, cut) in [
        (0, 1500),
        (0, 2001),
        (5000, 100),
        (5000, 6900),
        (70_000, 70_000),
    ] {
        let text = format!("{}{value} and more", "A".repeat(before));
        let masked = in_two(&redactor, text.as_bytes(), cut);
        assert!(!contains(&masked, b"Tail-Sec"), "{before} {cut}");
    }
}

#[test]
fn text_after_a_periodic_value_is_not_masked() {
    let value: String = "correct-horse ".chars().cycle().take(30_000).collect();
    let redactor = redactor(value.as_bytes());
    let text = format!(
        "<{value}> and more than that: {}.\n",
        "plain text ".repeat(300)
    );
    let expected = text.replace(&value, LABEL);
    assert_eq!(redactor.redact(text.as_bytes()), expected.as_bytes());
    for cut in [1, 9_000, 29_990, 30_001] {
        assert_eq!(in_two(&redactor, text.as_bytes(), cut), expected.as_bytes());
    }
    let encoded = STANDARD.encode(&value);
    let masked = redactor.redact(format!("<{encoded}> and more").as_bytes());
    assert_eq!(masked, format!("<{LABEL}> and more").as_bytes());
}

/// Backslashes have so many decodings that a match may begin at every position.
#[test]
fn values_of_escapes_alone_take_linear_time() {
    for value in [
        "\\".repeat(12),
        "\\\"".repeat(8),
        "\"".repeat(10),
        "'".repeat(9),
        "%25".repeat(5),
    ] {
        let redactor = redactor(value.as_bytes());
        for text in [
            "\\".repeat(300),
            value.repeat(30),
            format!("{}x", value.repeat(3)),
        ] {
            let masked = redactor.redact(text.as_bytes());
            if text.contains(&value) {
                assert!(!contains(&masked, value.as_bytes()), "{value}");
            }
        }
    }
}
