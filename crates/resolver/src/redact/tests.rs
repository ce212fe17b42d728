#![expect(
    clippy::format_collect,
    reason = "an oracle is easier to trust when it is short"
)]

mod base64_and_hex;
mod escapes;
mod json;
mod random;
mod stream;
mod value_parts;
mod work_bound;

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

/// Masks a text whole, at every split and byte by byte. The results must be equal.
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

/// Spellings of a value by code that is independent of the code under test: other libraries, or one
/// character at a time.
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

/// Pseudo-random numbers, the same in every run.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// Values of every kind: letters, printable ASCII, other scripts, and several lines.
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
    // Whether blanks at an end are masked depends on the text beside them.
    format!("x{inner}x")
}
