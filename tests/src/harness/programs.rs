//! The programs that tests run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::scan::contains;

/// The `keyroll` under test, built with feature `failpoints`: `just test` builds it.
///
/// # Panics
/// When there is none, with what to do about it.
pub fn keyroll() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let path = std::env::var_os("KEYROLL_BIN").map_or_else(beside_this_test, PathBuf::from);
        assert!(
            path.is_file(),
            "there is no keyroll at {}: run `just test`, or name the program in KEYROLL_BIN",
            path.display()
        );
        path
    })
}

/// The same program, where a test needs its failpoints.
///
/// # Panics
/// When it was built without them.
pub fn keyroll_with_failpoints() -> &'static Path {
    static CHECKED: OnceLock<&Path> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let program = std::fs::read(keyroll()).expect("the program can be read");
        assert!(
            contains(&program, b"KEYROLL_FAILPOINT"),
            "{} has no failpoints: `just test` builds a program that has",
            keyroll().display()
        );
        keyroll()
    })
}

/// Test executables lie in `deps/` of the directory that programs are built into.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let built = test.parent().and_then(Path::parent);
    built
        .expect("the directory of built programs")
        .join("keyroll-failpoints")
}

/// A nats-server of a supported version.
///
/// # Panics
/// When there is none and none can be fetched.
pub fn nats_server() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os("KEYROLL_NATS_BIN") {
        Some(named) if !named.is_empty() => PathBuf::from(named),
        _ => found_by_script(),
    })
}

fn found_by_script() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/nats-server.py");
    let run = Command::new("python3")
        .arg(&script)
        .stderr(Stdio::inherit())
        .output();
    let run = run.unwrap_or_else(|error| panic!("python3 {}: {error}", script.display()));
    assert!(
        run.status.success(),
        "no nats-server: see above, or name one in KEYROLL_NATS_BIN"
    );
    let path = String::from_utf8(run.stdout).expect("a path in UTF-8");
    PathBuf::from(path.trim())
}

/// The command line before a program whose fsync fails while the file `broken` exists.
///
/// # Panics
/// When there is no Python 3.
pub fn failing_syncs(broken: &Path) -> Vec<OsString> {
    static PYTHON: OnceLock<OsString> = OnceLock::new();
    // The interpreter itself: `python3` may be a script that needs a home directory.
    let python = PYTHON.get_or_init(|| {
        let ask = "import sys; print(sys.executable)";
        let run = Command::new("python3").args(["-c", ask]).output();
        let said = run.expect("python3 starts").stdout;
        String::from_utf8(said)
            .expect("a path in UTF-8")
            .trim()
            .into()
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/failing_sync.py");
    vec![python.clone(), script.into(), broken.into()]
}

/// Whether [`failing_syncs`] works here.
///
/// # Panics
/// When there is no Python 3.
pub fn can_fail_syncs() -> bool {
    let words = failing_syncs(Path::new("/nonexistent"));
    let run = Command::new(&words[0])
        .args(&words[1..])
        .arg("true")
        .output();
    run.expect("python3 starts").status.success()
}
