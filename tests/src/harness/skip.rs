//! Reports tests that cannot run on this machine by name.

use std::io::Write as _;

/// Reports that this test does not run here, and why. Its caller returns.
///
/// The output of a test is shown only when it fails, so this writes to stderr directly. It is for what
/// the kernel or the user of a machine may not allow. Programs and packages can be installed, so tests
/// that need them are parts.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // An error does no harm: then no one reads it.
    let _ = writeln!(std::io::stderr(), "test {name} ... skipped, {reason}");
}
