//! Points in time as people write and read them: RFC 3339, up to the end of the year 9999.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::{DateTime, date};
use jiff::fmt::temporal::Pieces;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use keyroll_core::Millis;

/// The last point in time that RFC 3339 can write: 9999-12-31T23:59:59.999Z.
pub const LAST: Millis = Millis(253_402_300_799_999);

const SECONDS_PER_DAY: i32 = 24 * 60 * 60;

/// The wall clock.
pub fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A duration as people write it: `90d`, `2h`, `1h 30m`. A day has 24 hours; months and years have no
/// fixed length.
pub fn duration(text: &str) -> Option<Duration> {
    let span = text.parse::<Span>().ok()?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(exact).ok()
}

/// Why a text is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It has another format.
    #[error("it is not RFC 3339, such as 2030-01-31T12:00:00Z")]
    Form,
    /// Its offset is 24 hours or more.
    #[error("its offset from UTC is 24 hours or more")]
    Offset,
    /// It is before 1970, or its year has more than four digits.
    #[error("it is not between 1970 and 9999")]
    Range,
}

const fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

/// Whether a text has the form `date-time` of RFC 3339 §5.6. Only some programs read other forms of
/// ISO 8601.
fn has_form(text: &[u8]) -> bool {
    let fits = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b't' | b' '),
                b'+' => matches!(byte, b'+' | b'-'),
                form => byte == form,
            })
    };
    let Some((begin, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let digits = rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit());
    let offset = match (rest.first(), digits.count()) {
        (Some(b'.'), 0) => return false,
        (Some(b'.'), count) => &rest[count + 1..],
        _ => rest,
    };
    fits(begin, b"0000-00-00T00:00:00")
        && (fits(offset, b"+00:00") || matches!(offset, b"Z" | b"z"))
}

/// Reads RFC 3339.
///
/// # Errors
/// [`TimeError`].
pub fn parse(text: &str) -> Result<Millis, TimeError> {
    if !has_form(text.as_bytes()) {
        return Err(TimeError::Form);
    }
    let pieces = Pieces::parse(text).map_err(|_| TimeError::Form)?;
    let (Some(time), Some(offset), None) = (
        pieces.time(),
        pieces.to_numeric_offset(),
        pieces.time_zone_annotation(),
    ) else {
        return Err(TimeError::Form);
    };
    if offset.seconds().abs() >= SECONDS_PER_DAY {
        return Err(TimeError::Offset);
    }
    // A date and time without a zone reach the end of 9999 at every offset; a timestamp does not.
    let local = pieces.date().to_datetime(time).duration_since(epoch());
    let utc = local - SignedDuration::from_secs(offset.seconds().into());
    if utc.is_negative() {
        return Err(TimeError::Range);
    }
    let at = u64::try_from(utc.as_millis()).map_or(LAST, Millis);
    if at > LAST {
        return Err(TimeError::Range);
    }
    Ok(at)
}

/// Formats a point in time with a pattern of `strftime`, in UTC. A time beyond the calendar is
/// shown as its number.
pub fn format(at: Millis, pattern: &str) -> String {
    let since = i64::try_from(at.0).map(SignedDuration::from_millis);
    let time = since.ok().and_then(|since| epoch().checked_add(since).ok());
    time.map_or_else(|| at.to_string(), |time| time.strftime(pattern).to_string())
}

/// RFC 3339 in UTC with milliseconds.
pub fn rfc3339(at: Millis) -> String {
    format(at, "%Y-%m-%dT%H:%M:%S.%3fZ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_reach_from_1970_to_9999() {
        for (text, at) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14 22:13:20Z", 1_700_000_000_000),
            ("2023-11-14t22:13:20z", 1_700_000_000_000),
            ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500),
            ("2023-11-13T22:14:20.000-23:59", 1_700_000_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            ("9999-12-31T23:59:59.999Z", LAST.0),
            ("9999-12-31T23:59:59+23:59", 253_402_214_459_000),
        ] {
            assert_eq!(parse(text), Ok(Millis(at)), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (text, why) in [
            ("2030-01-01T00:00:00+25:00", TimeError::Offset),
            ("2030-01-01T00:00:00+24:00", TimeError::Offset),
            ("2030-01-01T00:00:00-24:00", TimeError::Offset),
            ("2030-01-01T00:00:00+99:00", TimeError::Form),
            ("2030-01-01T00:00:00", TimeError::Form),
            ("2030-01-01", TimeError::Form),
            ("2030-02-30T00:00:00Z", TimeError::Form),
            ("2030-01-01T24:00:00Z", TimeError::Form),
            ("2030-01-01T00:00:00+01:00[Europe/Berlin]", TimeError::Form),
            ("2030-01-01T00:00:00,5Z", TimeError::Form),
            ("2030-01-01T00:00:00.Z", TimeError::Form),
            ("2030-01-01T00:00:00+0100", TimeError::Form),
            ("2030-01-01T00:00:00+01", TimeError::Form),
            ("2030-01-01T00:00:00+01:00:30", TimeError::Form),
            ("2030-01-01T00:00Z", TimeError::Form),
            ("20300101T000000Z", TimeError::Form),
            ("+002030-01-01T00:00:00Z", TimeError::Form),
            ("tomorrow", TimeError::Form),
            ("", TimeError::Form),
            ("10000-01-01T00:00:00Z", TimeError::Form),
            ("1969-12-31T23:59:59Z", TimeError::Range),
            ("1970-01-01T00:00:00+00:01", TimeError::Range),
            ("9999-12-31T23:59:59-00:01", TimeError::Range),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for at in [0, 1, 999, 1_700_000_000_007, LAST.0] {
            assert_eq!(parse(&rfc3339(Millis(at))), Ok(Millis(at)));
        }
        assert_eq!(rfc3339(LAST), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(Millis(LAST.0 + 1)), (LAST.0 + 1).to_string());
        assert_eq!(rfc3339(Millis(u64::MAX)), u64::MAX.to_string());
    }
}
