//! A Node.js with the packages that the tests written in it need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory with `node_modules` of `tests/NAME/package-lock.json`, in `tools/NAME` of the
/// target directory; made at first use and whenever that list has changed.
///
/// # Panics
/// When npm is not installed or cannot install a package.
pub fn packages(name: &str) -> PathBuf {
    let listed = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    // Test programs lie in `debug/deps` of the target directory.
    let test = std::env::current_exe().expect("the path of this test");
    let target = test.ancestors().nth(3).expect("a target directory");
    let home = target.join("tools").join(name);
    fs::create_dir_all(&home).expect("a directory for tools");
    // Several test runs may need it at once.
    let lock = fs::File::create(home.join("lock")).expect("a lock");
    lock.lock().expect("the lock");
    let stamp = home.join("stamp.json");
    let wanted = fs::read(listed.join("package-lock.json")).expect("a lock file");
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return home;
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(listed.join(file), home.join(file)).expect("copied");
    }
    let words = "ci --ignore-scripts --no-audit --no-fund --loglevel=error";
    let status = Command::new("npm")
        .args(words.split(' '))
        .current_dir(&home)
        .status();
    let status = status.expect("npm is installed");
    assert!(
        status.success(),
        "npm could not install tests/{name}: it needs a registry or a mirror of one"
    );
    fs::write(stamp, wanted).expect("a stamp");
    home
}
