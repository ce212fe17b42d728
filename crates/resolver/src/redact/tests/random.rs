//! Ten thousand random cases each way.

use ::base64::Engine;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

/// Base64 and base64url of a value after no, one or two other bytes, and how many of its characters carry
/// no bit of the value.
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
fn ten_thousand_spelled_values_are_masked() {
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

/// Among them are spellings of the value with one byte changed.
#[test]
fn ten_thousand_texts_without_a_value_stay_as_they_are() {
    let (mut next, mut cases, mut values) = (numbers(13), 0, 0);
    while cases < 10_000 {
        // Each line of a value would be masked on its own.
        let value = value_of(values, &mut next).replace('\n', "-");
        let other = value_of(values + 1, &mut next);
        values += 1;
        let redactor = redactor(value.as_bytes());
        let mut texts = spellings(&other);
        texts.extend(base64_of(&other).into_iter().map(|(text, _)| text));
        for form in spellings(&value) {
            let mut near = form.into_bytes();
            // Not at its ends: a line end may cut off Base64 and hex there.
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
