//! A moment by two clocks.

use std::ops::Add;
use std::time::{Duration, Instant, SystemTime};

/// A moment that has passed when either clock says so: the monotonic one stands still while a machine sleeps, and
/// the other one can be set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) wall: SystemTime,
}

/// Longer than any credentials, and short enough for both clocks.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            at: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    pub(crate) fn is_past(&self) -> bool {
        self.at <= Instant::now() || self.wall <= SystemTime::now()
    }

    /// How long it is until then at most.
    pub(crate) fn left(&self) -> Duration {
        let wall = self.wall.duration_since(SystemTime::now());
        let left = self.at.saturating_duration_since(Instant::now());
        left.min(wall.unwrap_or_default())
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, life: Duration) -> Self {
        let life = life.min(LONGEST);
        Self {
            at: self.at + life,
            wall: self.wall + life,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn it_has_passed_when_either_clock_says_so() {
        let now = Moment::now();
        assert!(!(now + HOUR).is_past());
        // The machine slept for two hours, and the monotonic clock stood still.
        let asked = Moment {
            wall: now.wall - 2 * HOUR,
            ..now
        };
        assert!((asked + HOUR).is_past());
        assert_eq!((asked + HOUR).left(), Duration::ZERO);
        // Somebody set the date back by two hours.
        let asked = Moment {
            at: now.at,
            wall: now.wall + 2 * HOUR,
        };
        assert!((asked + HOUR).left() <= HOUR);
        assert!((asked + Duration::ZERO).is_past());
    }

    #[test]
    fn a_life_without_end_is_long_and_no_panic() {
        assert!(!(Moment::now() + Duration::MAX).is_past());
    }
}
