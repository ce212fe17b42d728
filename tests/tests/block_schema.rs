//! The schema of block files agrees with the program.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyroll_resolver::BlockFile;
use keyroll_tests::harness::python::python;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
        .to_owned()
}

/// The result of an independent validator for each file by `schemas/block.schema.json`.
fn by_the_schema(files: &[String]) -> Vec<String> {
    let mut child = Command::new(python())
        .arg("-B")
        .arg(root().join("tests/tools/check_block_schema.py"))
        .arg(root().join("schemas/block.schema.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let lines: String = files
        .iter()
        .map(|file| json!(file).to_string() + "\n")
        .collect();
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(lines.as_bytes()).expect("read");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).expect("text");
    let said: Vec<String> = said.lines().map(str::to_owned).collect();
    assert_eq!(said.len(), files.len());
    said
}

/// A file with one request, with some fields replaced.
fn with(fields: &Value) -> String {
    let mut block = json!({"name": "b", "type": "external_api", "method": "POST",
        "url": "https://api.example/v1"});
    for (key, value) in fields.as_object().expect("fields") {
        block[key] = value.clone();
        if value.is_null() {
            block.as_object_mut().expect("a block").remove(key);
        }
    }
    json!({"workflow": "w", "blocks": [block]}).to_string()
}

fn example() -> String {
    let page = std::fs::read_to_string(root().join("docs/blocks.md")).expect("the page");
    let (_, rest) = page.split_once("```json\n").expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}

fn good() -> Vec<String> {
    let template = "{{secrets.K}} {{ \tsecrets.L }} {{document.id}} {{'{{'}}";
    let mut files = vec![
        example(),
        json!({"workflow": "w", "blocks": []}).to_string(),
        json!({"workflow": "é".repeat(64), "blocks": [
            {"name": "p", "type": "python", "code": ""}, {"name": "q", "type": "python", "code": "x\n"}]})
        .to_string(),
    ];
    for fields in [
        json!({}),
        json!({"url": "https://api.example/?k={{secrets.K}}"}),
        json!({"url": "{{document.url}}"}),
        json!({"method": "{{document.method}}"}),
        json!({"headers": {"X-A": template, "X-B": ""}, "redirects": "same_origin"}),
        json!({"redirects": "none", "headers": {}}),
        json!({"auth": {"type": "bearer", "token": template}}),
        json!({"auth": {"type": "basic", "username": template, "password": ""}}),
        json!({"auth": {"type": "header", "name": "X", "value": template}}),
        json!({"body": {"json": [1.5, null, true, {"a {{b}}": [{"c": template}]}]}}),
        json!({"body": {"json": "{{secrets.K}}"}}),
        json!({"body": {"json": null}}),
        json!({"body": {"form": {"a": template}}}),
        json!({"body": {"text": template}}),
        json!({"body": {"xml": "<a b='{{secrets.K}}'>{{secrets.K}}</a>"}}),
    ] {
        files.push(with(&fields));
    }
    files
}

fn bad() -> Vec<String> {
    let mut files: Vec<String> = [
        "",
        "[]",
        "{}",
        "{\"workflow\": \"w\"}",
        "{\"workflow\": 1, \"blocks\": []}",
        "{\"workflow\": \"\", \"blocks\": []}",
        "{\"workflow\": \"a\\u0007\", \"blocks\": []}",
        "{\"workflow\": \"w\", \"blocks\": {}}",
        "{\"workflow\": \"w\", \"blocks\": [], \"more\": 1}",
        "{\"workflow\": \"w\", \"blocks\": [1]}",
    ]
    .map(str::to_owned)
    .to_vec();
    files.push(json!({"workflow": "w".repeat(129), "blocks": []}).to_string());
    for block in [
        json!({"name": "p", "type": "python"}),
        json!({"name": "p", "type": "python", "code": 1}),
        json!({"name": "p", "type": "python", "code": "", "url": "x"}),
        json!({"name": "p", "type": "shell", "code": ""}),
        json!({"type": "python", "code": ""}),
        json!({"name": "", "type": "python", "code": ""}),
    ] {
        files.push(json!({"workflow": "w", "blocks": [block]}).to_string());
    }
    for fields in [
        json!({"code": ""}),
        json!({"method": null}),
        json!({"url": null}),
        json!({"methd": "GET"}),
        json!({"method": "{{secrets.K}}"}),
        json!({"redirects": "all"}),
        json!({"headers": {"X": 1}}),
        json!({"headers": []}),
        json!({"headers": {"X-{{ secrets.K}}": ""}}),
        json!({"auth": {"type": "digest"}}),
        json!({"auth": {"type": "bearer"}}),
        json!({"auth": {"type": "bearer", "token": "t", "more": ""}}),
        json!({"auth": {"type": "basic", "username": "u"}}),
        json!({"auth": {"type": "header", "name": "{{secrets.K}}", "value": ""}}),
        json!({"body": {}}),
        json!({"body": {"text": "", "json": 1}}),
        json!({"body": {"yaml": ""}}),
        json!({"body": {"form": {"{{secrets.K}}": ""}}}),
        json!({"body": {"form": {"a": 1}}}),
        json!({"body": {"json": {"a": [{"{{secrets.K}}": 1}]}}}),
        json!({"body": {"text": 1}}),
    ] {
        files.push(with(&fields));
    }
    files
}

#[test]
fn schema_and_program_take_the_same_files() {
    let (good, bad) = (good(), bad());
    for (said, file) in by_the_schema(&good).iter().zip(&good) {
        assert_eq!(said, "yes", "{file}");
        if let Err(error) = BlockFile::parse(file.as_bytes()) {
            panic!("{file}: {error}");
        }
    }
    for (said, file) in by_the_schema(&bad).iter().zip(&bad) {
        assert!(said.starts_with("no"), "{file}");
        assert!(BlockFile::parse(file.as_bytes()).is_err(), "{file}");
    }
}

/// Errors that only the program finds: everything else about templates, and names given twice.
#[test]
fn the_program_is_stricter_about_templates_and_names() {
    let files = [
        with(&json!({"headers": {"X": "{{ secrets }}"}})),
        with(&json!({"url": "https://{{secrets.K}}/"})),
        with(&json!({"body": {"xml": "<a {{secrets.K}}/>"}})),
        json!({"workflow": "w", "blocks": [
            {"name": "p", "type": "python", "code": ""}, {"name": "p", "type": "python", "code": ""}]})
        .to_string(),
        // Bytes and characters: a schema counts characters.
        json!({"workflow": "é".repeat(65), "blocks": []}).to_string(),
    ];
    for (said, file) in by_the_schema(&files).iter().zip(&files) {
        assert_eq!(said, "yes", "{file}");
        assert!(BlockFile::parse(file.as_bytes()).is_err(), "{file}");
    }
}
