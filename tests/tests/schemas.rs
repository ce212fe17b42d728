//! The schemas, the test vectors and the protocol's page agree with the code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use keyroll_core::rejection::Code;
use keyroll_tests::harness::python::python;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
        .to_owned()
}

fn documents() -> [PathBuf; 2] {
    ["docs/protocol.md", "docs/design.md"].map(|name| root().join(name))
}

fn run(command: &mut Command, what: &str) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| {
        panic!("{what}: {command:?} does not start: {error}. Is Python 3 installed?")
    })
}

fn must(output: &Output, what: &str) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{what}\n{out}{err}");
}

fn check(schemas: &Path, documents: &[PathBuf]) -> Output {
    let mut command = Command::new(python());
    // No byte code beside the sources.
    command
        .arg("-B")
        .arg(root().join("tests/tools/check_vectors.py"))
        .arg(schemas)
        .args(documents);
    run(&mut command, "checking the vectors")
}

fn vectors(dir: &Path) {
    let made = run(
        Command::new(env!("CARGO_BIN_EXE_vectors")).arg(dir),
        "making the vectors",
    );
    must(&made, "the vectors could not be made");
}

fn names(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir)
        .expect("a directory")
        .map(|file| file.expect("a file").file_name());
    let mut names: Vec<String> = files
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let fresh = tempfile::tempdir().expect("a directory");
    vectors(fresh.path());
    let kept = root().join("schemas/vectors");
    assert_eq!(
        names(&kept),
        names(fresh.path()),
        "files in schemas/vectors"
    );
    for name in names(&kept) {
        let (old, new) = (
            fs::read_to_string(kept.join(&name)),
            fs::read_to_string(fresh.path().join(&name)),
        );
        let (old, new) = (old.expect("a file"), new.expect("a file"));
        let differs = old
            .lines()
            .zip(new.lines())
            .zip(1..)
            .find(|((old, new), _)| old != new);
        assert!(
            old == new,
            "schemas/vectors/{name} is not what the code makes, from line {:?} on: a form changed. If it was meant, \
             run `cargo run -p keyroll-tests --bin vectors -- schemas/vectors`",
            differs.map(|(_, line)| line)
        );
    }
}

#[test]
fn a_second_implementation_agrees_with_every_vector() {
    let checked = check(&root().join("schemas"), &documents());
    must(&checked, "schemas, vectors or documents do not agree");
}

#[test]
fn a_deviation_is_noticed() {
    let deviations: [(&str, &str, &str, &str); 6] = [
        (
            "entry.cddl",
            "first: index,",
            "",
            "'first' does not belong here",
        ),
        (
            "common.cddl",
            "secret-id = bstr .size 16",
            "secret-id = bstr .size 17",
            "another size",
        ),
        (
            "command.cddl",
            "restricted: bool, ",
            "restricted: uint, ",
            "is no uint",
        ),
        ("vectors/log.json", "\"leaf\": \"", "\"leaf\": \"00", "leaf"),
        (
            "vectors/refused.json",
            "\"code\": \"bad_signature\"",
            "\"code\": \"malformed\"",
            "expected malformed",
        ),
        (
            "vectors/values.json",
            "\"sealed\": \"01",
            "\"sealed\": \"02",
            "sealed",
        ),
    ];
    for (file, from, to, words) in deviations {
        let copy = tempfile::tempdir().expect("a directory");
        fs::create_dir(copy.path().join("vectors")).expect("a directory");
        for dir in ["", "vectors"] {
            for name in names(&root().join("schemas").join(dir)) {
                let source = root().join("schemas").join(dir).join(&name);
                if source.is_file() {
                    fs::copy(source, copy.path().join(dir).join(&name)).expect("a copy");
                }
            }
        }
        let text = fs::read_to_string(copy.path().join(file)).expect("a file");
        assert!(text.contains(from), "{file} has no {from:?} to change");
        fs::write(copy.path().join(file), text.replacen(from, to, 1)).expect("written");
        let checked = check(copy.path(), &[]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(!checked.status.success(), "{file} without {from:?} passes");
        assert!(said.contains(words), "{file} without {from:?}: {said}");
    }
}

#[test]
fn the_protocol_explains_every_code() {
    let page = fs::read_to_string(root().join("docs/protocol.md")).expect("the page");
    let explained: Vec<&str> = page
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .split_once('`')
                .map(|(code, _)| code)
        })
        .collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let of_page: Vec<&str> = explained
        .into_iter()
        .filter(|word| codes.contains(word))
        .collect();
    assert_eq!(of_page, codes, "the table of codes in docs/protocol.md");
}
