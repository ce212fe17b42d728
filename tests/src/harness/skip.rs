//! Reports tests that cannot run on this machine by name.

use std::io::Write as _;

/// Reports that this test does not run here, and why. Its caller returns.
///
/// The output of a test is shown only when it fails, so this writes to stderr directly. With
/// `KEYROLL_SKIP=never`, as in CI, a test that cannot run has failed.
///
/// # Panics
/// With `KEYROLL_SKIP=never`.
pub fn skipped(reason: &str) {
    let never = std::env::var_os("KEYROLL_SKIP").is_some_and(|skip| skip == "never");
    assert!(!never, "this test cannot run here: {reason}");
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // An error does no harm: then no one reads it.
    let _ = writeln!(std::io::stderr(), "test {name} ... skipped, {reason}");
}
