//! Places where a test ends the process, as a crash or `kill -9` would. They exist only under the
//! feature `failpoints`: without it the macro leaves nothing behind, not even the names.
//!
//! `KEYROLL_FAILPOINT=writer.appended:7` ends the process when it is at `writer.appended` for the
//! seventh time.

/// Ends the process here when a test has asked for it.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoints::hit(concat!("failpoint:", $name))
    };
}

/// Nothing, in a program that people run.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {};
}

#[cfg(feature = "failpoints")]
pub use armed::hit;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Armed {
        name: String,
        times: u64,
        seen: AtomicU64,
    }

    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let read = || {
            let said = std::env::var("KEYROLL_FAILPOINT").ok()?;
            let parsed = said
                .split_once(':')
                .and_then(|(name, times)| Some((name, times.parse().ok()?)));
            // A typing error would otherwise be a test that tests nothing.
            let Some((name, times)) = parsed else {
                eprintln!("KEYROLL_FAILPOINT={said:?} is not NAME:TIMES");
                std::process::abort();
            };
            Some(Armed {
                name: format!("failpoint:{name}"),
                times,
                seen: AtomicU64::new(0),
            })
        };
        ARMED.get_or_init(read).as_ref()
    }

    /// Counts a visit, and ends the process at the one that was asked for: no destructor runs,
    /// nothing is flushed.
    pub fn hit(name: &str) {
        let Some(armed) = armed().filter(|armed| armed.name == name) else {
            return;
        };
        if armed.seen.fetch_add(1, Ordering::Relaxed) + 1 == armed.times {
            eprintln!("{name} for time {}: the process ends here", armed.times);
            std::process::abort();
        }
    }
}
