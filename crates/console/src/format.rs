//! Times, keys and messages as people read them.

use keyroll_core::Millis;
use keyroll_wire::time::format;
pub(crate) use keyroll_wire::time::rfc3339;
use maud::{Markup, html};

const UNITS: [(u64, &str, &str); 6] = [
    (365 * 86_400, "year", "years"),
    (30 * 86_400, "month", "months"),
    (86_400, "day", "days"),
    (3_600, "h", "h"),
    (60, "min", "min"),
    (1, "s", "s"),
];

/// How long ago a moment was, in one unit.
pub(crate) fn ago(at: Millis, now: Millis) -> String {
    let seconds = now.0.saturating_sub(at.0) / 1_000;
    if seconds < 5 {
        return "just now".to_owned();
    }
    format!("{} ago", span(seconds))
}

/// How long it is until a moment, in one unit.
pub(crate) fn until(at: Millis, now: Millis) -> String {
    format!("in {}", span(at.0.saturating_sub(now.0).div_ceil(1_000)))
}

fn span(seconds: u64) -> String {
    let unit = UNITS.into_iter().find(|(size, _, _)| seconds >= *size);
    let (size, one, many) = unit.unwrap_or((1, "s", "s"));
    let count = seconds / size;
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A moment to the second.
pub(crate) fn moment(at: Millis) -> String {
    format(at, "%Y-%m-%d %H:%M:%S UTC")
}

/// How long ago a moment was; the moment itself is the tooltip.
pub(crate) fn time_ago(at: Millis, now: Millis) -> Markup {
    html! { time datetime=(rfc3339(at)) title=(moment(at)) { (ago(at, now)) } }
}

/// A moment in full.
pub(crate) fn time(at: Millis) -> Markup {
    html! { time datetime=(rfc3339(at)) { (moment(at)) } }
}

/// A member id, short enough for a table.
pub(crate) fn short_id(member: &keyroll_core::MemberId) -> String {
    let text = member.to_string();
    let (start, end) = (text.get(..15), text.get(text.len().saturating_sub(4)..));
    match (start, end) {
        (Some(start), Some(end)) => format!("{start}…{end}"),
        _ => text,
    }
}

/// First words of messages that begin with no name.
const FIRST_WORDS: [&str; 20] = [
    "a",
    "an",
    "another",
    "entry",
    "it",
    "message",
    "no",
    "nothing",
    "one",
    "only",
    "that",
    "the",
    "there",
    "this",
    "version",
    "what",
    "workspace",
    "you",
    "your",
    "entries",
];

/// A message as a sentence. A name at its beginning keeps its case.
pub(crate) fn sentence(message: &str) -> String {
    let first = message.split([' ', ':']).next().unwrap_or_default();
    let mut text = String::with_capacity(message.len() + 1);
    let mut letters = message.chars();
    if FIRST_WORDS.contains(&first) {
        text.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
    }
    text.extend(letters);
    if !text.ends_with(['.', '!', '?', '”']) {
        text.push('.');
    }
    text
}

/// A message, with the commands between backticks as code.
pub(crate) fn prose(message: &str) -> Markup {
    html! {
        @for (at, part) in message.split('`').enumerate() {
            @if at % 2 == 0 { (part) } @else { code { (part) } }
        }
    }
}

/// A moment to the second, where the page says elsewhere that it is UTC.
pub(crate) fn short_time(at: Millis) -> Markup {
    html! { time datetime=(rfc3339(at)) title=(moment(at)) { (format(at, "%Y-%m-%d %H:%M:%S")) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_sentences_and_names_stay() {
        for (message, sentence_) in [
            ("there is no secret x", "There is no secret x."),
            (
                "api is deleted: restore it first",
                "api is deleted: restore it first.",
            ),
            ("the ledger: gone.", "The ledger: gone."),
            ("", "."),
        ] {
            assert_eq!(sentence(message), sentence_);
        }
    }

    #[test]
    fn moments_are_shown_in_one_unit() {
        let now = Millis(1_700_000_000_000);
        let back = |seconds: u64| ago(Millis(now.0 - seconds * 1_000), now);
        assert_eq!(back(4), "just now");
        assert_eq!(back(59), "59 s ago");
        assert_eq!(back(125), "2 min ago");
        assert_eq!(back(7_300), "2 h ago");
        assert_eq!(back(86_400), "1 day ago");
        assert_eq!(back(65 * 86_400), "2 months ago");
        assert_eq!(ago(Millis(now.0 + 9_000), now), "just now");
        assert_eq!(until(Millis(now.0 + 3_600_000), now), "in 1 h");
        assert_eq!(rfc3339(now), "2023-11-14T22:13:20.000Z");
    }
}
