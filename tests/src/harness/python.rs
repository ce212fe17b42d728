//! A Python with the packages that the tests written in it need.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Python with the packages of `tests/tools/requirements.txt`, in `tools/python` of the target
/// directory; made at first use and whenever that list has changed.
///
/// # Panics
/// When Python 3 or a package cannot be installed.
pub fn python() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Test programs lie in `debug/deps` of the target directory.
    let test = std::env::current_exe().expect("the path of this test");
    let target = test.ancestors().nth(3).expect("a target directory");
    let (tools, wanted) = (target.join("tools"), tests.join("tools/requirements.txt"));
    let (home, stamp) = (tools.join("python"), tools.join("python/requirements.txt"));
    fs::create_dir_all(&tools).expect("a directory for tools");
    // Several test runs may need it at once.
    let lock = fs::File::create(tools.join("python.lock")).expect("a lock");
    lock.lock().expect("the lock");
    let python = home.join("bin/python");
    let wanted_text = fs::read(&wanted).expect("the requirements");
    if fs::read(&stamp).is_ok_and(|found| found == wanted_text) {
        return python;
    }
    if home.exists() {
        fs::remove_dir_all(&home).expect("an old environment goes");
    }
    must(
        Command::new("python3")
            .args(["-m", "venv", "--without-pip"])
            .arg(&home),
        "python3 -m venv failed",
    );
    install(&python, ["-r".as_ref(), wanted.as_os_str()]);
    fs::write(&stamp, wanted_text).expect("a stamp");
    python
}

/// Installs packages into the environment of an interpreter, with the pip of `python3`: Debian
/// keeps the pip of environments in a separate package.
///
/// # Panics
/// When a package cannot be installed.
pub fn install<W: AsRef<OsStr>>(python: &Path, packages: impl IntoIterator<Item = W>) {
    let pip = "install --quiet --disable-pip-version-check --only-binary :all:";
    must(
        Command::new("python3")
            .args(["-m", "pip", "--python"])
            .arg(python)
            .args(pip.split(' '))
            .args(packages),
        "pip could not install; these tests need a package index or a mirror of one",
    );
}

fn must(command: &mut Command, what: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{what}\n{out}{err}");
}
