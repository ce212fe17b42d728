//! Masking that keeps JSON well-formed.

use super::*;

#[test]
fn json_stays_json() {
    let values = [
        ("NUMBER", "1234567890"),
        ("KEY", "nabcdefg-hijk"),
        ("DOC", r#"{"user":"hidden-user","n":17}"#),
    ];
    let pairs: Vec<(&str, &[u8])> = values
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    let redactor = Redactor::new(&pairs);
    for (text, expected) in [
        (
            r#"{"a": 1234567890, "b":[-1234567890.5e3,12]}"#,
            r#"{"a": "[REDACTED:NUMBER]", "b":["[REDACTED:NUMBER]",12]}"#,
        ),
        (
            r#"{"1234567890": "x\nabcdefg-hijk"}"#,
            r#"{"[REDACTED:NUMBER]": "x[REDACTED:KEY]"}"#,
        ),
        (
            r#"[{"user":"hidden-user","n":17}, true]"#,
            r#"[{"[REDACTED:DOC]":"[REDACTED:DOC]","[REDACTED:DOC]":"[REDACTED:DOC]"}, true]"#,
        ),
        (
            r#"{"plain": [1, null, "text"]}"#,
            r#"{"plain": [1, null, "text"]}"#,
        ),
    ] {
        let masked = String::from_utf8(redactor.redact_json(text.as_bytes())).unwrap();
        assert_eq!(masked, expected);
        serde_json::from_str::<serde_json::Value>(&masked).unwrap();
    }
    assert_eq!(
        redactor.redact_json(b"no JSON: 1234567890 {"),
        b"no JSON: [REDACTED:NUMBER] {"
    );
}
