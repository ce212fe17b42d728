//! Tests that cannot run on this machine say so by name.

use std::io::Write as _;

/// Reports that this test does not run here, and why. Its caller returns.
///
/// What a test prints is shown only when it fails, so this goes past that. With `KEYROLL_SKIP=never`,
/// as in CI, a test that cannot run has failed.
///
/// # Panics
/// With `KEYROLL_SKIP=never`.
pub fn skipped(reason: &str) {
    let never = std::env::var_os("KEYROLL_SKIP").is_some_and(|skip| skip == "never");
    assert!(!never, "this test cannot run here: {reason}");
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // Nothing is lost where nobody reads it.
    let _ = writeln!(std::io::stderr(), "test {name} ... skipped, {reason}");
}
