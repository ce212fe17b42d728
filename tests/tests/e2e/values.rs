//! Values come back byte for byte, or are refused.

use keyroll_tests::harness::Dev;

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\
    -----END PRIVATE KEY-----\n";

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let all: Vec<u8> = (0..=255).collect();
    let largest = all
        .iter()
        .copied()
        .cycle()
        .take(65_534)
        .chain([b'!'])
        .collect();
    vec![
        ("All", all),
        ("Largest", largest),
        ("One", b"x".to_vec()),
        ("Zero", vec![0]),
        // Like the end of padding: 0x80, then zeros.
        ("Padding", [&[0x80_u8] as &[u8], &[0; 255]].concat()),
        ("Crlf", b"a\r\nb\r\n\tc\r".to_vec()),
        ("Inside", b"\n\none\n\ntwo".to_vec()),
        (
            "Template",
            b"{{secrets.Other}} {{ secrets.X | base64 }} {{'{{'}}".to_vec(),
        ),
        ("Shell", b"$(id) `id` ${HOME} %s \\n '\" ; rm".to_vec()),
        ("Terminal", b"\x1b[2J\x1b]0;title\x07\x08\x08".to_vec()),
        ("NotUtf8", b"\xff\xfe\xc0\x80\xed\xa0\x80".to_vec()),
        ("Unicode", "é\u{202e}é\u{0}\u{feff}😀".as_bytes().to_vec()),
        ("Json", br#"{"error":{"code":"none"}}"#.to_vec()),
        ("Dashes", b"--version".to_vec()),
    ]
}

#[test]
fn hostile_values_come_back_byte_for_byte() {
    let dev = Dev::start();
    for (name, value) in hostile() {
        let file = dev.home().write(name, &value);
        dev.keyroll(["secret", "create", name, "--stdin"])
            .stdin(&value)
            .run()
            .code(0)
            .lacks("error");
        dev.keyroll(["secret", "reveal", name])
            .run()
            .code(0)
            .stdout(&value)
            .quiet();
        dev.keyroll(["secret", "edit", name, "--file", &file])
            .run()
            .code(0);
        let back = dev
            .keyroll(["secret", "reveal", name, "--version", "2", "--json"])
            .run()
            .code(0)
            .json();
        match std::str::from_utf8(&value) {
            Ok(text) => assert_eq!(back["value"], text, "{name}"),
            Err(_) => assert!(
                back["value"].is_null() && back["value_base64"].is_string(),
                "{name}: {back}"
            ),
        }
        dev.keyroll(["secret", "reveal", name])
            .run()
            .code(0)
            .stdout(&value);
    }
    dev.verifies();
}

#[test]
fn a_newline_at_the_end_is_kept_trimmed_or_refused() {
    let dev = Dev::start();
    let file = dev.home().write("key.pem", PEM);
    let crlf = dev.home().write("crlf.txt", "line\r\n\r\n");
    let refused = dev
        .keyroll(["secret", "create", "Key", "--file", &file])
        .run();
    refused
        .code(2)
        .error_code("invalid_value")
        .stderr_has("--trim")
        .stderr_has("--keep-newline")
        .lacks("MC4CAQ");
    dev.keyroll(["secret", "create", "Key", "--stdin"])
        .stdin("x\n")
        .run()
        .code(2)
        .error_code("invalid_value");
    dev.keyroll(["secret", "show", "Key"])
        .run()
        .code(3)
        .error_code("not_found");

    dev.keyroll([
        "secret",
        "create",
        "Kept",
        "--file",
        &file,
        "--keep-newline",
    ])
    .run()
    .code(0);
    dev.keyroll(["secret", "reveal", "Kept"])
        .run()
        .code(0)
        .stdout(PEM);
    dev.keyroll(["secret", "create", "Trimmed", "--file", &file, "--trim"])
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "Trimmed"])
        .run()
        .code(0)
        .stdout(PEM.trim_end());
    dev.keyroll(["secret", "edit", "Kept", "--stdin", "--trim"])
        .stdin("line\r\n\r\n")
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "Kept"])
        .run()
        .code(0)
        .stdout("line");
    dev.keyroll(["secret", "edit", "Kept", "--file", &crlf, "--keep-newline"])
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "Kept"])
        .run()
        .code(0)
        .stdout("line\r\n\r\n");

    // Trimming leaves nothing of these.
    for value in ["\n", "\r\n\r\n"] {
        let run = dev
            .keyroll(["secret", "edit", "Kept", "--stdin", "--trim"])
            .stdin(value)
            .run();
        run.code(2).error_code("invalid_value");
    }
    dev.keyroll(["secret", "edit", "Kept", "--stdin", "--keep-newline"])
        .stdin("\n")
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "Kept"])
        .run()
        .code(0)
        .stdout("\n");
}

#[test]
fn values_of_no_size_or_too_many_bytes_are_refused() {
    let dev = Dev::start();
    dev.create("A", "kept");
    let before = dev.audit();
    for (length, newline) in [
        (0, false),
        (65_536, false),
        (70_001, false),
        (65_535, true),
        (1_000_000, false),
    ] {
        let mut value = vec![b'x'; length];
        value.extend(newline.then_some(b'\n'));
        let file = dev.home().write("value", &value);
        for source in [vec!["--stdin"], vec!["--file", &file]] {
            for words in [["secret", "create", "B"], ["secret", "edit", "A"]] {
                let words = words.iter().chain(&source).chain(["--keep-newline"].iter());
                dev.keyroll(words)
                    .stdin(&value)
                    .run()
                    .code(2)
                    .error_code("invalid_value")
                    .stderr_has("1 to 65535 bytes");
            }
        }
    }
    let missing = dev.home().path("nothing");
    dev.keyroll(["secret", "create", "B", "--file", &missing])
        .run()
        .code(1)
        .stderr_has("nothing");
    assert_eq!(dev.audit(), before);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("kept");
}

#[test]
fn values_are_generated_and_never_shown() {
    let dev = Dev::start();
    dev.keyroll(["secret", "create", "A", "--generate"])
        .run()
        .code(0)
        .stdout("");
    let first = dev.keyroll(["secret", "reveal", "A"]).run().code(0).text();
    assert!(
        first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{first}"
    );
    dev.keyroll(["secret", "edit", "A", "--generate=64"])
        .run()
        .code(0)
        .stdout("");
    let second = dev.keyroll(["secret", "reveal", "A"]).run().code(0).text();
    assert_eq!(second.len(), 64);
    assert!(!second.contains(&first));
    dev.keyroll(["secret", "edit", "A", "--generate=2"])
        .run()
        .code(2)
        .error_code("usage");
    dev.keyroll(["secret", "edit", "A", "--generate", "--stdin"])
        .run()
        .code(2);
    dev.keyroll(["secret", "create", "B"])
        .run()
        .code(2)
        .error_code("usage")
        .stderr_has("--stdin");
}
