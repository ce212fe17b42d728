//! Lists and durations as people type them.

use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Items separated by spaces, commas or lines.
pub(crate) fn list<T: FromStr>(typed: &str) -> Result<Vec<T>, T::Err> {
    typed
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|item| !item.is_empty())
        .map(str::parse)
        .collect()
}

/// A duration such as `8h` or `30d`.
pub(crate) fn duration(typed: &str) -> Option<Duration> {
    let span = typed.parse::<Span>().ok()?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(exact).ok()
}

/// Whether a field for a duration or time is empty or says `never`.
pub(crate) fn is_never(typed: &str) -> bool {
    let typed = typed.trim();
    typed.is_empty() || typed.eq_ignore_ascii_case("never")
}
