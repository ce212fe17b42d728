//! Lists and optional fields as people type them.

use std::str::FromStr;

/// Items separated by spaces, commas or lines.
pub(crate) fn list<T: FromStr>(typed: &str) -> Result<Vec<T>, T::Err> {
    typed
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|item| !item.is_empty())
        .map(str::parse)
        .collect()
}

/// Whether a field for a duration or time is empty or says `never`.
pub(crate) fn is_never(typed: &str) -> bool {
    let typed = typed.trim();
    typed.is_empty() || typed.eq_ignore_ascii_case("never")
}
