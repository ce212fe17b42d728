//! Text that arrives in chunks, and pauses between them.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn overlapping_values_get_one_label(
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
fn without_values_everything_passes_at_once() {
    let redactor = Redactor::new(&[]);
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"as it is"), b"as it is");
    assert_eq!(stream.finish(), b"");
}

#[test]
fn only_possible_matches_are_held_back() {
    let redactor = redactor(b"correct horse");
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"a whole line\n"), b"a whole line\n");
    assert_eq!(stream.push(b"; correct h"), b"; ");
    assert_eq!(stream.push(b"! "), b"correct h! ");
    assert_eq!(stream.push(b"correct horse!"), b"[REDACTED:KEY]!");
}

#[test]
fn a_long_run_of_overlaps_gets_one_label_and_is_not_kept() {
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

#[test]
fn prompts_are_not_held_back() {
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

/// Masks a text in pieces, with a pause after each.
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
fn a_prompt_is_shown_in_a_pause_even_if_its_end_may_begin_a_value() {
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
        // Nothing is shown twice, and the text that follows is shown.
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
fn a_value_in_pieces_with_pauses_shows_three_characters() {
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
            // Three bytes, then at most an incomplete escape.
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
    // Overlapping values each show three bytes. Two of those of B are in A.
    let both = Redactor::new(&[("A", b"abcdefgh"), ("B", b"ghijklmn")]);
    assert_eq!(
        with_pauses(&both, b"abcdefghijklmn".chunks(1)),
        "abc[REDACTED:A]i[REDACTED:A]"
    );
}

proptest! {
    #[test]
    fn pauses_show_at_most_three_characters(
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
