//! Failpoints: points in the code where a test ends the process, as a crash or `kill -9` would.
//! They exist only under the feature `failpoints`: without it the macro expands to nothing, and not
//! even the names are in the program.
//!
//! `KEYROLL_FAILPOINT=writer.appended:7` ends the process when it reaches `writer.appended` for the
//! seventh time.

/// Ends the process here when the environment names this failpoint.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoints::hit(concat!("failpoint:", $name))
    };
}

/// Expands to nothing without the feature `failpoints`.
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
        hits: AtomicU64,
    }

    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let read = || {
            let setting = std::env::var("KEYROLL_FAILPOINT").ok()?;
            let parsed = setting
                .split_once(':')
                .and_then(|(name, times)| Some((name, times.parse().ok()?)));
            // Otherwise a typing error would leave a test that tests nothing.
            let Some((name, times)) = parsed else {
                eprintln!("KEYROLL_FAILPOINT={setting:?} is not NAME:TIMES");
                std::process::abort();
            };
            Some(Armed {
                name: format!("failpoint:{name}"),
                times,
                hits: AtomicU64::new(0),
            })
        };
        ARMED.get_or_init(read).as_ref()
    }

    /// Counts a hit, and ends the process at the requested one: no destructor runs and nothing is
    /// flushed.
    pub fn hit(name: &str) {
        let Some(armed) = armed().filter(|armed| armed.name == name) else {
            return;
        };
        if armed.hits.fetch_add(1, Ordering::Relaxed) + 1 == armed.times {
            eprintln!("{name} for time {}: the process ends here", armed.times);
            std::process::abort();
        }
    }
}
