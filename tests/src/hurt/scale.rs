//! How often faults are injected, and the seeded numbers that choose them.

use std::fmt::Display;
use std::str::FromStr;

/// How often each fault is tried: `KEYROLL_FAULTS` is `short` (the default), `bounded` or `long`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// In every run of the tests.
    Short,
    /// `just test-faults`.
    Bounded,
    /// By hand, part by part.
    Long,
}

fn setting<T: FromStr>(name: &str) -> Option<T>
where
    T::Err: Display,
{
    let text = std::env::var(name).ok()?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => panic!("{name}={text:?}: {error}"),
    }
}

impl FromStr for Scale {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "short" => Ok(Self::Short),
            "bounded" => Ok(Self::Bounded),
            "long" => Ok(Self::Long),
            _ => Err("short, bounded or long"),
        }
    }
}

/// The one of three numbers that `KEYROLL_FAULTS` selects.
///
/// # Panics
/// When `KEYROLL_FAULTS` has another value.
pub fn scale<T>(short: T, bounded: T, long: T) -> T {
    match setting("KEYROLL_FAULTS").unwrap_or(Scale::Short) {
        Scale::Short => short,
        Scale::Bounded => bounded,
        Scale::Long => long,
    }
}

/// The number of rounds: `KEYROLL_FAULTS_ROUNDS`, to split a long form into pieces, or `usual`.
///
/// # Panics
/// When `KEYROLL_FAULTS_ROUNDS` is no number.
pub fn rounds(usual: u64) -> u64 {
    setting("KEYROLL_FAULTS_ROUNDS").unwrap_or(usual)
}

/// A seed to print: `KEYROLL_FAULTS_SEED`, or a new one every time.
///
/// # Panics
/// When `KEYROLL_FAULTS_SEED` is no number.
pub fn seed() -> u64 {
    setting("KEYROLL_FAULTS_SEED").unwrap_or_else(rand::random)
}

/// Numbers that follow from a seed (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.any() % end
    }

    /// One of several.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(of.len() as u64)).expect("an index");
        &of[index]
    }

    /// Another sequence, which follows from this one.
    #[must_use]
    pub const fn split(&mut self) -> Self {
        Self(self.any())
    }
}
