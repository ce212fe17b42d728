#![expect(
    clippy::format_collect,
    reason = "an oracle is easier to trust when it is short"
)]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use url::form_urlencoded;

use super::*;

const LABEL: &str = "[REDACTED:KEY]";

fn redactor(value: &[u8]) -> Redactor {
    Redactor::new(&[("KEY", value)])
}

fn in_two(redactor: &Redactor, text: &[u8], split: usize) -> Vec<u8> {
    let mut stream = redactor.stream();
    let mut out = stream.push(&text[..split]);
    out.extend(stream.push(&text[split..]));
    out.extend(stream.finish());
    out
}

/// Masks at every split and in single bytes, which must all agree.
fn everywhere(redactor: &Redactor, text: &[u8]) -> Vec<u8> {
    let whole = redactor.redact(text);
    for split in 0..=text.len() {
        assert_eq!(in_two(redactor, text, split), whole, "split at {split}");
    }
    let mut stream = redactor.stream();
    let mut out: Vec<u8> = text.iter().flat_map(|byte| stream.push(&[*byte])).collect();
    out.extend(stream.finish());
    assert_eq!(out, whole, "in single bytes");
    whole
}

fn assert_masked(redactor: &Redactor, form: &str) {
    let text = format!("<{form}> and <{form}>");
    let expected = format!("<{LABEL}> and <{LABEL}>");
    let masked = String::from_utf8(everywhere(redactor, text.as_bytes())).unwrap();
    assert_eq!(masked, expected, "form {form}");
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Written apart from the code under test: by other libraries, or one character at a time.
fn spellings(value: &str) -> Vec<String> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let json = serde_json::to_string(value).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    let unicode = |format: fn(u16) -> String| value.encode_utf16().map(format).collect::<String>();
    let ascii: String = json
        .chars()
        .map(|char| match char {
            ' '..='~' => char.to_string(),
            char => char
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|u| format!("\\u{u:04x}"))
                .collect(),
        })
        .collect();
    let percent = form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
    let xml = value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let attribute = xml.replace('"', "&quot;");
    vec![
        value.to_owned(),
        hex.to_uppercase(),
        hex,
        json.replace('/', "\\/"),
        json,
        ascii,
        unicode(|unit| format!("\\u{unit:04x}")),
        unicode(|unit| format!("\\u{unit:04X}")),
        percent.replace('+', "%20"),
        percent,
        value.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        attribute.replace('\'', "&apos;"),
        attribute.replace('\'', "&#39;"),
        attribute,
        xml,
    ]
}

/// Values that need escaping often. No `#` around: the frame is `<…>`, which no value touches.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9]{8,40}",
        "[ -~]{8,40}",
        "[a-z+/ '\"\\\\<>&%\t]{8,24}",
        "[a-c/é€𝄞\u{7f} ]{8,16}",
    ]
    // A value with blanks at its ends is masked without them in places where they were cut off.
    .prop_map(|value| value.trim().to_owned())
    .prop_filter("long enough", |value| value.len() >= MIN_MASKED)
    // A value that overlaps itself or the frame has no single right result.
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

    #[test]
    fn several_values_that_share_letters(
        values in prop::collection::vec("[ab]{8,12}", 1..4),
        text in "[ab]{0,120}",
        cuts in prop::collection::vec(0usize..120, 0..6),
    ) {
        let pairs: Vec<(&str, &[u8])> = values.iter().map(|v| ("KEY", v.as_bytes())).collect();
        let redactor = Redactor::new(&pairs);
        let masked = everywhere(&redactor, text.as_bytes());
        let expected = mask_naively(&text, &values);
        prop_assert_eq!(String::from_utf8(masked.clone()).unwrap(), expected);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut stream = redactor.stream();
        let mut out: Vec<u8> =
            cuts.windows(2).flat_map(|cut| stream.push(&text.as_bytes()[cut[0]..cut[1]])).collect();
        out.extend(stream.finish());
        prop_assert_eq!(out, masked);
    }
}

/// Overlapping occurrences become one label, by comparing at every position.
fn mask_naively(text: &str, values: &[String]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for start in 0..text.len() {
        for value in values
            .iter()
            .filter(|value| text[start..].starts_with(value.as_str()))
        {
            ranges.push((start, start + value.len()));
        }
    }
    ranges.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    let (mut out, mut at) = (String::new(), 0);
    for (start, end) in merged {
        out.push_str(&text[at..start]);
        out.push_str(LABEL);
        at = end;
    }
    out + &text[at..]
}

#[test]
fn lines_of_a_long_value_are_masked_one_by_one() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nend\n";
    let redactor = redactor(key.as_bytes());
    for line in ["MIIEvQIBADANBgkq", "hkiG9w0BAQEFAASC"] {
        assert_masked(&redactor, line);
    }
    assert_masked(&redactor, key.trim());
    assert_masked(&redactor, key);
    for other in ["the end", "-----BEGIN KEY-----"] {
        assert_eq!(redactor.redact(other.as_bytes()), other.as_bytes());
    }
}

#[test]
fn python_spells_quotes_and_controls_its_own_way() {
    let redactor = redactor("it's\u{1} \"ü\"\u{a0}\\".as_bytes());
    assert_masked(&redactor, r#"it\'s\x01 "ü"\xa0\\"#);
    assert_masked(&redactor, r#"it\'s\x01 "\xfc"\xa0\\"#);
    assert_masked(&redactor, r#"it\'s\x01 "\xc3\xbc"\xc2\xa0\\"#);
    assert_masked(&redactor, r#"it's\x01 "ü"\xa0\\"#);
}

#[test]
fn short_values_are_named_and_left() {
    let redactor = Redactor::new(&[("PIN", b"1234567"), ("KEY", b"12345678")]);
    assert_eq!(redactor.unmasked(), ["PIN"]);
    assert_eq!(
        redactor.redact(b"1234567 12345678"),
        b"1234567 [REDACTED:KEY]"
    );
}

#[test]
fn without_values_everything_passes_at_once() {
    let redactor = Redactor::new(&[]);
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"as it is"), b"as it is");
    assert_eq!(stream.finish(), b"");
}

#[test]
fn only_what_may_be_a_match_is_held_back() {
    let redactor = redactor(b"correct horse");
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"a whole line\n"), b"a whole line\n");
    assert_eq!(stream.push(b"; correct h"), b"; ");
    assert_eq!(stream.push(b"! "), b"correct h! ");
    assert_eq!(stream.push(b"correct horse!"), b"[REDACTED:KEY]!");
}

#[test]
fn a_long_run_of_overlaps_is_one_label_and_is_not_kept() {
    let redactor = redactor(b"aaaaaaaa");
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for _ in 0..1000 {
        out.extend(stream.push(&[b'a'; 100]));
        assert!(stream.held_back() < 200);
    }
    out.extend(stream.finish());
    assert_eq!(out, LABEL.as_bytes());
}

/// Numbers that look random and are the same every time.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// Values of every sort: letters, all of printable ASCII, text of other scripts, and several lines.
fn value_of(number: usize, next: &mut impl FnMut() -> u64) -> String {
    let alphabet: Vec<char> = match number % 4 {
        0 => ('a'..='z').chain('0'..='9').collect(),
        1 => ('!'..='~').collect(),
        2 => "aZ9é€𝄞\u{7f}\u{a0}<&\"'\\/+% ".chars().collect(),
        _ => ('A'..='z').chain(['\n', '\t', ' ']).collect(),
    };
    let len = 9 + next() % 40;
    let mut one = || alphabet[usize::try_from(next()).unwrap() % alphabet.len()];
    let inner: String = (0..len).map(|_| one()).collect();
    // Blanks at an end would be masked or not by what stands beside them.
    format!("x{inner}x")
}

/// Base64 and base64url of a value behind no, one or two other bytes, and how many characters of it
/// hold nothing of the value.
fn base64_of(value: &str) -> Vec<(String, usize)> {
    ["", "a", "ab"]
        .into_iter()
        .flat_map(|before| {
            let whole = format!("{before}{value}");
            [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)]
                .map(|encoded| (encoded, before.len() * 8 / 6))
        })
        .collect()
}

#[test]
fn of_ten_thousand_cases_none_gets_through() {
    let (mut next, mut cases, mut values) = (numbers(7), 0, 0);
    while cases < 10_000 {
        let value = value_of(values, &mut next);
        values += 1;
        let redactor = redactor(value.as_bytes());
        let spelled = spellings(&value).into_iter().map(|form| (form, 0));
        for (form, free) in spelled.chain(base64_of(&value)) {
            let text = format!(" {form} ");
            let expected = format!(" {}{LABEL} ", &form[..free]);
            for _ in 0..8 {
                let split = usize::try_from(next()).unwrap() % (text.len() + 1);
                let masked = in_two(&redactor, text.as_bytes(), split);
                assert_eq!(
                    String::from_utf8_lossy(&masked),
                    expected,
                    "{value:?} as {form:?}, split at {split}"
                );
                cases += 1;
            }
        }
    }
    assert!(values > 40, "{values}");
}

/// Among them are spellings with one byte changed: nearly a secret is none.
#[test]
fn ten_thousand_texts_without_a_value_stay_as_they_are() {
    let (mut next, mut cases, mut values) = (numbers(13), 0, 0);
    while cases < 10_000 {
        // Of several lines each is masked on its own.
        let value = value_of(values, &mut next).replace('\n', "-");
        let other = value_of(values + 1, &mut next);
        values += 1;
        let redactor = redactor(value.as_bytes());
        let mut texts = spellings(&other);
        texts.extend(base64_of(&other).into_iter().map(|(text, _)| text));
        for form in spellings(&value) {
            let mut near = form.into_bytes();
            // Not at its ends, where Base64 and hex may be cut off by a line end.
            let at = near.len() / 4 + usize::try_from(next()).unwrap() % (near.len() / 2);
            near[at] = if near[at] == b'~' { b'^' } else { b'~' };
            texts.push(String::from_utf8_lossy(&near).into_owned());
        }
        for text in texts {
            for _ in 0..6 {
                let split = usize::try_from(next()).unwrap() % (text.len() + 1);
                let masked = in_two(&redactor, text.as_bytes(), split);
                assert_eq!(masked, text.as_bytes(), "{value:?} in {text:?}");
                cases += 1;
            }
        }
    }
}

#[test]
fn characters_may_be_spelled_each_in_its_own_way() {
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
fn base64_and_hex_go_on_behind_line_ends() {
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

/// Every place of such a text begins a match of almost the whole value. Without a bound on the work this
/// takes hours.
#[test]
fn a_value_of_one_letter_takes_no_longer_than_its_text() {
    let value = [vec![b'a'; 20_000], b"b".to_vec()].concat();
    let redactor = redactor(&value);
    for spelled in ["a", "\\u0061", "%61"] {
        let text = spelled.repeat(50_000);
        let masked = redactor.redact(text.as_bytes());
        assert!(spelled != "a" || masked == text.as_bytes());
        assert!(masked.len() <= text.len());
    }
}

/// Whatever stands before the value in a line, and whatever encoder comes after.
#[test]
fn a_line_end_may_stand_behind_any_character() {
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
            // What stands before the value, and what stands of it before its first line end.
            let free = text.len() * before / whole.len();
            assert!(
                kept.len() <= free + 14 && rest.len() <= 8,
                "{text}\n{masked}"
            );
        }
    }
}

#[test]
fn the_end_of_a_value_that_repeats_itself_is_masked_too() {
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

/// Backslashes can be read in so many ways that every place is a beginning.
#[test]
fn values_of_nothing_but_escapes_take_no_longer_than_their_text() {
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

#[test]
fn what_is_held_back_is_the_beginning_of_a_value() {
    let mut next = numbers(5);
    let values: Vec<String> = (0..40).map(|_| value_of(0, &mut next)).collect();
    let pairs: Vec<(&str, &[u8])> = values.iter().map(|v| ("KEY", v.as_bytes())).collect();
    let redactor = Redactor::new(&pairs);
    for prompt in [
        "Password: ",
        "OTP code: ",
        "Continue? [y/N] ",
        "spinner |",
        "mysql> ",
        "42% ",
    ] {
        assert_eq!(redactor.stream().push(prompt.as_bytes()), prompt.as_bytes());
    }
}

/// In pieces, with a pause behind each.
fn with_pauses<'a>(redactor: &Redactor, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(stream.push(piece));
        out.extend(stream.pause());
        assert_eq!(stream.pause(), b"", "shown once");
    }
    out.extend(stream.finish());
    String::from_utf8(out).unwrap()
}

#[test]
fn a_prompt_is_shown_in_a_pause_whatever_its_end_may_begin() {
    let values: Vec<String> = [
        "n-and-more",
        "e> and more",
        "?\\\"&$%'+ and so on",
        "ord: and more",
    ]
    .map(str::to_owned)
    .into();
    let pairs: Vec<(&str, &[u8])> = values.iter().map(|v| ("KEY", v.as_bytes())).collect();
    let redactor = Redactor::new(&pairs);
    for prompt in [
        "Continue? y/n",
        "name> ",
        "name>",
        "C:\\",
        "100%",
        "it's 5$",
        "Save&Exit",
        "really?\"",
        "1+",
        "token dG9r",
        "\\u00",
        "%",
        "no",
    ] {
        let mut stream = redactor.stream();
        let mut out = stream.push(prompt.as_bytes());
        out.extend(stream.pause());
        assert_eq!(out, prompt.as_bytes(), "{prompt}");
        // Nothing is shown twice, and what follows is shown.
        assert_eq!(stream.push(b"\nnext\n"), b"\nnext\n", "{prompt}");
        assert_eq!(stream.finish(), b"", "{prompt}");
    }
    // A label does not wait either.
    let mut stream = redactor.stream();
    let mut out = stream.push(b"your token is n-and-more");
    out.extend(stream.pause());
    assert_eq!(out, b"your token is [REDACTED:KEY]");
    assert_eq!(stream.push(b"n-and-more!"), b"[REDACTED:KEY]!");
}

#[test]
fn a_value_in_pieces_with_pauses_gives_away_three_characters() {
    let value = "c0rrect \"horse\"/b&tt<ry='5'\n\u{e9}$x";
    let redactor = redactor(value.as_bytes());
    for form in spellings(value) {
        let text = format!("<{form}>");
        let bytes = text.as_bytes();
        let rest = |out: &str| {
            let shown = out.strip_prefix('<').and_then(|out| out.strip_suffix('>'));
            let shown = shown.and_then(|shown| shown.strip_suffix(LABEL));
            let shown = shown.unwrap_or_else(|| panic!("{form}: {out}"));
            assert!(form.starts_with(shown), "{form}: {out}");
            // Three bytes, and behind them at most an escape that is not complete.
            let plain = shown.find(['\\', '%', '&']).unwrap_or(shown.len());
            let escape = &shown[plain..];
            assert!(plain <= 3 && escape.len() < 6, "{form}: {out}");
            assert!(
                escape.rfind(['\\', '%', '&']).unwrap_or(0) < 2,
                "{form}: {out}"
            );
        };
        for split in 0..=bytes.len() {
            rest(&with_pauses(&redactor, [&bytes[..split], &bytes[split..]]));
        }
        rest(&with_pauses(&redactor, bytes.chunks(1)));
    }
    // An escape is one character, however it is spelled.
    let escaped = "\\u0063\\u0030\\u0072rect \\\"horse\\\"/b&tt<ry='5'\\n\u{e9}$x";
    let out = with_pauses(&redactor, escaped.as_bytes().chunks(1));
    assert_eq!(out, format!("\\u006{LABEL}"));
    // Of overlapping values each gives away its own: two of the three bytes of B are in A.
    let both = Redactor::new(&[("A", b"abcdefgh"), ("B", b"ghijklmn")]);
    assert_eq!(
        with_pauses(&both, b"abcdefghijklmn".chunks(1)),
        "abc[REDACTED:A]i[REDACTED:A]"
    );
}

proptest! {
    #[test]
    fn pauses_change_nothing_but_three_characters(
        before in "[ -~]{0,12}", after in "[ -~]{0,12}", value in "[ -~]{8,30}", cuts in proptest::collection::vec(1_usize..9, 1..60)
    ) {
        let redactor = redactor(value.as_bytes());
        let text = format!("{before}{value}{after}");
        let (mut rest, mut pieces) = (text.as_bytes(), Vec::new());
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        let out = with_pauses(&redactor, pieces);
        prop_assert!(!contains(out.as_bytes(), &value.as_bytes()[3..]) || text.matches(&value[3..]).count() > 1, "{}", out);
        prop_assert!(out.contains(LABEL), "{}", out);
    }
}

#[test]
fn what_follows_a_value_that_repeats_itself_stays() {
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
