//! Other programs read an exported dotenv file exactly: bash, python-dotenv, and npm's dotenv.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_tests::harness::{Dev, Run, node, python};
use serde_json::{Value, json};

type Values = BTreeMap<String, String>;

/// Characters that are special to one reader or another.
const PIECES: [&str; 34] = [
    "'", "\"", "\\", "`", "$", "${", "}", "{", "#", " #", " ", "\t", "\n", "=", "~", "!", "a",
    "HOME", "n", "r", "0", ":", ";", "&", "(", ")", "[", "*", "|", "<", "\u{a0}", "\u{2028}",
    "é😀", "export ",
];

/// Pseudorandom numbers, the same every time.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 7_u64;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).expect("31 bits") % below
    }
}

fn values() -> Values {
    let mut number = numbers();
    let mut values = Values::new();
    for at in 0..1_500 {
        let pieces = 1 + number(8);
        let value: String = (0..pieces).map(|_| PIECES[number(PIECES.len())]).collect();
        values.insert(format!("K{at}"), value);
    }
    let known = [
        ("PLAIN", "s3cret-value"),
        ("PEM", "-----BEGIN KEY-----\nMIIB+/=\n-----END KEY-----\n"),
        ("JSON", "{\"a\": \"b\\n\", \"c\": [1, 2]}"),
        ("WINDOWS", "C:\\new\\temp"),
        ("REGEX", "^\\d+\\.\\w*$"),
        (
            "URL",
            "postgres://u:p%40ss@db.example/x?sslmode=require#top",
        ),
        ("QUOTED", "'in quotes'"),
        ("DOUBLE", "\"in quotes\""),
        ("IT", "it's 5$, or 10 %"),
        ("CONTROL", "\u{1}\u{7}\u{1b}[0m\u{7f}"),
        ("UMLAUT", "pässwörd\u{feff}"),
    ];
    values.extend(known.map(|(name, value)| (name.to_owned(), value.to_owned())));
    values
}

fn bash(file: &Path) -> Values {
    let script = "set -a; . \"$1\"; exec env -0";
    let run = Run::program("bash", "bash").args(["--norc", "-c", script, "bash"]);
    let done = run.arg(file).run().code(0);
    let text = String::from_utf8(done.bytes().to_vec()).expect("UTF-8");
    let pairs = text
        .split_terminator('\0')
        .map(|pair| pair.split_once('=').expect("a variable"));
    let own = ["PATH", "HOME", "PWD", "SHLVL", "_", "OLDPWD"];
    let pairs = pairs.filter(|(name, _)| !own.contains(name));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn python_dotenv(file: &Path) -> Values {
    let script = "import dotenv, json, sys; print(json.dumps(dotenv.dotenv_values(sys.argv[1])))";
    let run = Run::program(python::python(), "python").args(["-c", script]);
    serde_json::from_value(run.arg(file).run().code(0).json()).expect("values")
}

/// Both parsers of npm's dotenv.
fn npm_dotenv(file: &Path) -> [Values; 2] {
    let packages = node::packages("dotenv");
    let script = "const d = require('dotenv'), text = require('fs').readFileSync(process.argv[1]);
        console.log(JSON.stringify([d.parse(text), d.parse(text, {fast: true})]))";
    let run = Run::program("node", "node").args(["-e", script]);
    let done = run.arg(file).in_directory(packages).run().code(0);
    serde_json::from_value(done.json()).expect("values")
}

/// Exports [`values`]. Returns the file, and the values that have a dotenv form.
fn exported(dev: &Dev) -> (PathBuf, Values) {
    let values = values();
    let file = dev.home().write("values.json", json!(values).to_string());
    dev.keyroll(["import", &file, "--yes"]).run().code(0);
    let out = dev.home().scratch().join("out.env");
    let export = ["export", "--format", "dotenv", "--json", "--out"];
    let run = dev.keyroll(export).arg(&out).run().code(0);
    let done = run.json();
    let left_out: Vec<String> = serde_json::from_value(done["left_out"].clone()).expect("names");
    for row in done["left_out_reasons"].as_array().expect("a list") {
        assert_eq!(row["reason"], "no_dotenv_form", "{row}");
    }
    run.stderr_has(&format!(": {};", left_out.join(", ")));
    let mut expected = values.clone();
    expected.retain(|name, _| !left_out.contains(name));
    assert_eq!(done["exported"], expected.len());
    assert!(expected.len() > values.len() / 2, "most values have a form");
    assert!(
        left_out.iter().all(|name| name.starts_with('K')),
        "{left_out:?}"
    );
    (out, expected)
}

fn must_equal(reader: &str, read: &Values, expected: &Values) {
    for (name, value) in expected {
        assert_eq!(read.get(name), Some(value), "{reader}: {name}");
    }
    assert_eq!(read.len(), expected.len(), "{reader}");
}

#[test]
fn what_is_exported_other_programs_read_exactly() {
    let dev = Dev::start();
    let (out, expected) = exported(&dev);
    must_equal("bash", &bash(&out), &expected);
    must_equal("python-dotenv", &python_dotenv(&out), &expected);
    // keyroll reads it back, too.
    let to = Dev::start();
    to.keyroll(["import", "--yes"]).arg(&out).run().code(0);
    let back = to.keyroll(["export", "--format", "json"]).run().code(0);
    let back: Value = back.json();
    assert_eq!(back, json!(expected));
}

#[test]
#[ignore = "it needs Node.js and npm: just test-parts"]
fn what_is_exported_npms_dotenv_reads_exactly() {
    let dev = Dev::start();
    let (out, expected) = exported(&dev);
    let [read, fast] = npm_dotenv(&out);
    must_equal("npm's dotenv", &read, &expected);
    must_equal("npm's dotenv, fast", &fast, &expected);
}
