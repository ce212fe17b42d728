//! Values whose characters are escaped.

use proptest::prelude::*;

use super::*;

/// Values that need escaping often. No `#` around: the frame is `<…>`, which no value touches.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9]{8,40}",
        "[ -~]{8,40}",
        "[a-z+/ '\"\\\\<>&%\t]{8,24}",
        "[a-c/é€𝄞\u{7f} ]{8,16}",
    ]
    // A value with blanks at its ends is also masked without them.
    .prop_map(|value| value.trim().to_owned())
    .prop_filter("long enough", |value| value.len() >= MIN_MASKED)
    // A value that overlaps the frame has no single right result.
    .prop_filter("no overlap with the frame", |value| {
        !value.starts_with('>') && !value.ends_with('<')
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_spelling_is_masked_at_every_split(value in values()) {
        let redactor = redactor(value.as_bytes());
        for form in spellings(&value) {
            assert_masked(&redactor, &form);
        }
    }
}

#[test]
fn python_reprs_are_masked() {
    let redactor = redactor("it's\u{1} \"ü\"\u{a0}\\".as_bytes());
    assert_masked(&redactor, r#"it\'s\x01 "ü"\xa0\\"#);
    assert_masked(&redactor, r#"it\'s\x01 "\xfc"\xa0\\"#);
    assert_masked(&redactor, r#"it\'s\x01 "\xc3\xbc"\xc2\xa0\\"#);
    assert_masked(&redactor, r#"it's\x01 "ü"\xa0\\"#);
}

#[test]
fn each_character_may_be_escaped_in_its_own_way() {
    let redactor = redactor(b"say\"hello\"to\\my-friend");
    for spelled in [
        r#"say\\\"hello\\\"to\\\\my-friend"#,
        r"say&amp;amp;quot;hello%252522to%25255Cmy-friend",
        r"say&quot;hello\u0022to\\my-friend",
        r"%73ay\x22h&#101;llo%22to%5Cmy-friend",
        r#"s\141y"hello""to\my-fri&#x00065;nd"#,
        r#"\u0073\u0061%79&amp;quot;hello\"to%255Cmy-friend"#,
    ] {
        assert_masked(&redactor, spelled);
    }
}

#[test]
fn a_value_that_begins_with_a_backslash_is_masked_at_every_split() {
    for value in [
        "\\r\t\t<  a",
        "\\name\\there",
        "\\t12345678",
        "\\n\\n\\n\\n\\n",
    ] {
        let redactor = redactor(value.as_bytes());
        for form in spellings(value) {
            assert_masked(&redactor, &form);
        }
    }
}
