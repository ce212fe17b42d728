//! Exported values: recorded, private to their owner, and readable again.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keyroll_tests::harness::Dev;

const NASTY: [(&str, &[u8]); 6] = [
    ("Quotes", b"it's \"quoted\" `id` $(id) ${HOME} \\n \\"),
    ("Lines", b"one\ntwo\r\n\n"),
    ("Blank", b"  # both  "),
    ("Unicode", "é\u{202e}\u{feff}\u{2028}😀".as_bytes()),
    ("Yes", b"null"),
    ("Dashes", b"--- !!binary &a *b {c: [d]}"),
];

fn create_nasty(dev: &Dev) {
    for (name, value) in NASTY {
        dev.keyroll(["secret", "create", name, "--stdin", "--keep-newline"])
            .stdin(value)
            .run()
            .code(0);
    }
}

#[test]
fn what_is_exported_is_imported_byte_for_byte() {
    let from = Dev::start();
    create_nasty(&from);
    let to = Dev::start();
    for format in ["dotenv", "json", "yaml"] {
        let file = from.home().scratch().join(format!("out.{format}"));
        let file = file.to_str().expect("a path");
        let export = ["export", "--format", format, "--out", file];
        from.keyroll(export).run().code(0).stdout("");
        let mode = fs::metadata(file).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        to.keyroll(["import", file, "--format", format, "--yes"])
            .run()
            .code(0);
        for (name, value) in NASTY {
            let reveal = to.keyroll(["secret", "reveal", name]).run();
            // Other programs cannot read these in a dotenv file as they are.
            if format == "dotenv" && ["Quotes", "Lines"].contains(&name) {
                reveal.code(3);
                continue;
            }
            reveal.code(0).stdout(value);
            to.keyroll(["secret", "delete", name, "--yes"])
                .run()
                .code(0);
        }
        // Standard output has the same bytes.
        let whole = fs::read(file).expect("read");
        from.keyroll(["export", "--format", format])
            .run()
            .code(0)
            .stdout(whole);
    }
    let revealed = from
        .audit()
        .into_iter()
        .filter(|row| row["type"] == "secret.revealed");
    assert_eq!(revealed.count(), 6);
}

#[test]
fn a_file_is_not_overwritten_unless_somebody_says_so() {
    let dev = Dev::start();
    dev.create("One", "some-value");
    let file = dev.home().write("there.json", "mine");
    let before = dev.audit().len();
    dev.keyroll(["export", "--out", &file])
        .run()
        .code(1)
        .stderr_has("--force")
        .lacks("some-value");
    assert_eq!(fs::read(&file).expect("read"), b"mine");
    let link = dev.home().path("link.json");
    std::os::unix::fs::symlink("nowhere", &link).expect("a link");
    dev.keyroll(["export", "--out", &link])
        .run()
        .code(1)
        .stderr_has("--force");
    for nowhere in ["/proc/out.json", "/dev/null/out.json"] {
        dev.keyroll(["export", "--out", nowhere])
            .run()
            .code(1)
            .stderr_has(
                nowhere
                    .rsplit_once('/')
                    .map_or("", |(directory, _)| directory),
            );
    }
    assert_eq!(dev.audit().len(), before, "nothing is revealed for nothing");
    dev.keyroll(["export", "--out", &file, "--force"])
        .run()
        .code(0);
    assert_eq!(
        fs::read(&file).expect("read"),
        b"{\n  \"One\": \"some-value\"\n}\n"
    );
    let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    dev.keyroll(["export"]).run().code(2).error_code("usage");
}

#[test]
fn restricted_secrets_are_left_out_and_roles_hold() {
    let dev = Dev::start();
    dev.create("Open", "open-value");
    let closed = ["secret", "create", "Closed", "--stdin", "--restricted"];
    dev.keyroll(closed).stdin("closed-value").run().code(0);
    let export = ["export", "--format", "dotenv"];
    dev.keyroll(export)
        .run()
        .code(0)
        .stdout("Open=open-value\n")
        .stderr_has("Closed");
    dev.keyroll(["export", "--format", "dotenv", "--only", "Open,Closed"])
        .run()
        .code(4)
        .error_code("denied")
        .lacks("open-value");
    for (name, role) in [("vera", "viewer"), ("audi", "auditor"), ("run", "runner")] {
        let who = dev.member(name, role, "*");
        dev.keyroll_as(&who, export)
            .run()
            .code(4)
            .error_code("denied");
    }
    let scoped = dev.member("eddy", "editor", "other_*");
    dev.keyroll_as(&scoped, export).run().code(0).stdout("");
    dev.keyroll(["export", "--format", "json", "--only", "Nowhere"])
        .run()
        .code(3)
        .error_code("not_found");
}

#[test]
fn bytes_that_are_no_text_go_where_they_fit() {
    let dev = Dev::start();
    dev.create("Binary", [0xff, 0x00]);
    dev.keyroll(["export", "--format", "dotenv"])
        .run()
        .code(0)
        .stdout("")
        .stderr_has("Binary");
    dev.keyroll(["export", "--format", "dotenv", "--strict"])
        .run()
        .code(2)
        .error_code("invalid_value")
        .stderr_has("Binary");
    dev.keyroll(["export", "--format", "json"])
        .run()
        .code(0)
        .stdout("{\n  \"Binary\": {\"value_base64\": \"/wA=\"}\n}\n");
    dev.keyroll(["export", "--format", "yaml"])
        .run()
        .code(0)
        .stdout("\"Binary\": !!binary \"/wA=\"\n");
}

#[test]
fn more_than_fits_one_reply_is_revealed_in_pages() {
    let dev = Dev::start();
    let value = "x".repeat(60_000);
    let text = (0..30).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "KEY_{at}={value}");
        text
    });
    let file = dev.home().write("large.env", text);
    dev.keyroll(["import", &file, "--yes"]).run().code(0);
    let out = dev.home().scratch().join("large.json");
    let out = out.to_str().expect("a path");
    let done = dev
        .keyroll(["export", "--out", out, "--json"])
        .run()
        .code(0)
        .json();
    assert_eq!(done["exported"], 30);
    assert!(
        done["entries"]
            .as_array()
            .is_some_and(|entries| entries.len() > 1),
        "{done}"
    );
    let back: serde_json::Value =
        serde_json::from_slice(&fs::read(out).expect("read")).expect("JSON");
    assert_eq!(back["KEY_29"], value);
    dev.verifies();
}
