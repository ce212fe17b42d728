//! Times and durations as people write them.

use std::time::Duration;

use keyroll_core::{Millis, TreeSize};
use keyroll_wire::query::AsOf;
use keyroll_wire::time::{self, TimeError};

use crate::error::Failure;

pub(crate) use keyroll_wire::time::rfc3339;

/// A duration: `90d`, `2h`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, Failure> {
    time::duration(text).ok_or_else(|| {
        Failure::usage(format!(
            "{:?} is not a duration; for example `30d`, `2h`",
            text.escape_debug().to_string()
        ))
    })
}

/// A time in the past: RFC 3339, or a duration ago.
pub(crate) fn past(text: &str, now: Millis) -> Result<Millis, Failure> {
    moment(text, |ago| now.0.saturating_sub(ago))
}

/// A point in history: `N` for the first N entries, RFC 3339, or a duration ago.
pub(crate) fn point(text: &str, now: Millis) -> Result<AsOf, Failure> {
    if let Ok(size) = text.parse() {
        return Ok(AsOf::Size(TreeSize(size)));
    }
    let wrong = |_| {
        let shown = text.escape_debug().to_string();
        Failure::usage(format!(
            "{shown:?} is not a point in history; for example `120` (entries), `2030-01-31T12:00:00Z`, or `2h` \
             (ago)"
        ))
    };
    past(text, now).map(AsOf::Time).map_err(wrong)
}

/// A time in the future: RFC 3339, or a duration from now.
pub(crate) fn future(text: &str, now: Millis) -> Result<Millis, Failure> {
    moment(text, |ahead| now.0.saturating_add(ahead))
}

fn moment(text: &str, relative: impl FnOnce(u64) -> u64) -> Result<Millis, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        let shown = text.escape_debug().to_string();
        Failure::usage(format!(
            "{shown:?} is not a time ({why}); for example `2030-01-31T12:00:00Z`, `2h`"
        ))
    };
    let why = match time::parse(text) {
        Ok(at) => return Ok(at),
        Err(why) => why,
    };
    let span = duration(text).map_err(|_| refused(&why))?;
    let at = Millis(relative(
        u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
    ));
    if at > time::LAST {
        return Err(refused(&TimeError::Range));
    }
    Ok(at)
}

/// To the second, for people.
pub(crate) fn short(at: Millis) -> String {
    time::format(at, "%Y-%m-%d %H:%M:%SZ")
}

/// Seconds as the largest unit that divides them.
pub(crate) fn seconds(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let unit = units
        .into_iter()
        .find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    let (size, letter) = unit.unwrap_or((1, 's'));
    format!("{}{letter}", seconds / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    #[test]
    fn durations_have_fixed_units() {
        for (text, seconds) in [
            ("30s", 30),
            ("15m", 900),
            ("2h", 7_200),
            ("90d", 7_776_000),
            ("1h 30m", 5_400),
            ("2w", 1_209_600),
        ] {
            assert_eq!(
                duration(text).map_err(|_| ()),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "2",
            "h",
            "-2h",
            "2h ago",
            "1mo",
            "1y",
            "two hours",
            "2h\n\u{1b}[31m",
        ] {
            let refused = duration(text).expect_err(text);
            assert!(!refused.message().contains('\u{1b}'));
        }
    }

    #[test]
    fn moments_are_absolute_or_relative() {
        let ago = |text| past(text, NOW).map_err(|_| ());
        assert_eq!(ago("2h"), Ok(Millis(NOW.0 - 7_200_000)));
        assert_eq!(ago("2023-11-14T22:13:20Z"), Ok(NOW));
        assert_eq!(ago("2023-11-14T23:13:20.5+01:00"), Ok(Millis(NOW.0 + 500)));
        assert_eq!(ago("1969-12-31T00:00:00Z"), Err(()));
        assert_eq!(ago("yesterday"), Err(()));
        assert_eq!(ago("1000000d"), Ok(Millis(0)));
        assert_eq!(
            future("90d", NOW).map_err(|_| ()),
            Ok(Millis(NOW.0 + 7_776_000_000))
        );
        let end = future("9999-12-31T23:59:59Z", NOW).map_err(|_| ());
        assert_eq!(end, Ok(Millis(253_402_300_799_000)));
        for text in ["2030-01-01T00:00:00+25:00", "3000000d", "2030-01-01"] {
            assert_eq!(future(text, NOW).expect_err(text).code(), "usage");
        }
    }

    #[test]
    fn points_are_entries_moments_or_durations() {
        let points =
            ["17", "2h", "2023-11-14T22:13:20Z"].map(|text| point(text, NOW).map_err(|_| ()));
        let ago = AsOf::Time(Millis(NOW.0 - 7_200_000));
        let known = [AsOf::Size(TreeSize(17)), ago, AsOf::Time(NOW)];
        assert_eq!(points, known.map(Ok));
        for text in [
            "",
            "-1",
            "17 entries",
            "18446744073709551616",
            "1969-12-31T00:00:00Z",
        ] {
            assert_eq!(point(text, NOW).expect_err(text).code(), "usage");
        }
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(rfc3339(Millis(NOW.0 + 7)), "2023-11-14T22:13:20.007Z");
        assert_eq!(short(NOW), "2023-11-14 22:13:20Z");
        assert_eq!(rfc3339(Millis(u64::MAX)), u64::MAX.to_string());
    }

    #[test]
    fn seconds_are_shown_in_their_largest_unit() {
        assert_eq!(
            [0, 59, 60, 5_400, 7_200, 7_776_000].map(seconds),
            ["0s", "59s", "1m", "90m", "2h", "90d"]
        );
    }
}
