//! The findings of `block check`.

use keyroll_tests::harness::Dev;
use serde_json::json;

#[test]
fn known_values_are_found_on_record_and_not_repeated() {
    let dev = Dev::start();
    let values = [
        ("Phrase", "pass \"wörd\" one"),
        ("Unused_Here", "value-of-unused"),
        ("Tiny", "1234567"),
        ("Number", "123456789012"),
    ];
    for (name, value) in values {
        dev.create(name, value);
    }
    let create = ["secret", "create", "Hidden", "--stdin", "--restricted"];
    dev.keyroll(create).stdin("hidden-value").run().code(0);
    let text = r#"{"workflow": "w", "blocks": [
  {"name": "a", "type": "external_api", "method": "POST", "url": "https://a.example/",
   "headers": {"X-Key": "cGFzcyAid8O2cmQiIG9uZQ=="},
   "body": {"json": {"n": 123456789012, "pin": "1234567", "h": "hidden-value"}}},
  {"name": "p", "type": "python", "code": "x = 1\ny = 'pass \"w\\xf6rd\" one'"}]}"#;
    let file = dev.home().write("written.json", text);
    let before = dev.audit();
    dev.keyroll(["block", "check", &file]).run().code(0);
    dev.keyroll(["block", "check", &file, "--values", "--offline"])
        .run()
        .code(2);
    assert_eq!(dev.audit(), before, "nothing was revealed");
    let done = dev.keyroll(["block", "check", &file, "--values"]).run();
    let mut done = done.code(2).stderr_has("(block_invalid)");
    for says in [
        "block a, headers.X-Key, line 3 column 26: the value of the secret Phrase",
        "block a, body.json.n, line 4 column 27: the value of the secret Number",
        "block p, code, line 5 column 56: the value of the secret Phrase",
        "not searched for, because values under 8 bytes occur by chance: Tiny",
        "not searched for, because restricted secrets go only to blocks that a runner runs: Hidden",
        "searched for the values of 3 secrets",
    ] {
        done = done.stderr_has(says);
    }
    for (_, value) in values {
        done = done.lacks(value);
    }
    done.lacks("cGFzc")
        .lacks("hidden-value")
        .lacks("Unused_Here");
    // All values in one entry, with their purpose.
    let rows = dev.audit();
    let [row] = &rows[before.len()..] else {
        panic!("one entry was expected: {rows:?}")
    };
    assert_eq!(row["type"], "secret.revealed");
    assert_eq!(row["reason"], "block check --values written.json");
    assert_eq!(row["secrets"].as_array().map(Vec::len), Some(4), "{row}");
    // A member who may not see a value cannot search for it.
    let rudi = dev.member("rudi", "runner", "*");
    dev.keyroll_as(&rudi, ["block", "check", &file, "--values"])
        .run()
        .code(4)
        .stderr_has("(denied)");
    let clean = json!({"workflow": "w", "blocks": [
        {"name": "p", "type": "python", "code": "result = secrets.Phrase"}]});
    let clean = dev.home().write("clean.json", clean.to_string());
    dev.keyroll(["block", "check", &clean, "--values"])
        .run()
        .code(0)
        .stderr_has("1 blocks are well formed");
    dev.verifies();
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let dev = Dev::start();
    let key = format!("ghp_{}", "a1B2".repeat(9));
    let text = format!(
        "{{\"workflow\": \"w\", \"blocks\": [\n{{\"name\": \"a\", \"type\": \"external_api\", \"method\": \"GET\",\n\
         \"url\": \"https://a.example/?k={{{{secrets.Query}}}}\",\n\
         \"headers\": {{\"A\": \"{{{{secrets.Missing}}}}\", \"B\": \"x {key}\"}},\n\
         \"body\": {{\"text\": \"first line\\n{key}\"}}}}]}}"
    );
    let file = dev.home().write("wrong.json", text);
    dev.keyroll(["block", "check", &file])
        .run()
        .code(3)
        .stderr_has("(not_found)")
        .stderr_has("the secret Missing is unknown")
        .stderr_has("the secret Query is unknown")
        .stderr_has("--allow-query Query")
        .stderr_has("block a, headers.B, line 4 column 49: text that looks like a GitHub token")
        .stderr_has("block a, body.text, line 5 column 31: text that looks like a GitHub token")
        .lacks(&key);
}

#[test]
fn a_mistake_is_said_with_block_line_and_column() {
    let dev = Dev::start();
    for (block, code, says) in [
        (
            r#""type": "external_api", "methd": "GET""#,
            "block_invalid",
            "block b, line 4 column 45",
        ),
        (
            "\"type\": \"external_api\", \"method\": \"GET\", \"url\": \"https://a.example/\",\n\"headers\": {\"A\": \"{{ secrets }}\"}",
            "template_syntax",
            "block b, at headers.A, offset 0, line 5 column 19 of the file",
        ),
        (
            "\"type\": \"external_api\", \"method\": \"GET\", \"url\": \"https://{{secrets.A}}/\"",
            "context_forbidden",
            "secret A, block b, at url, offset 8, line 4 column 72 of the file",
        ),
        (
            "\"type\": \"external_api\", \"method\": \"GET\",\n\"url\": \"no url\"",
            "block_invalid",
            "block b, at url, line 5 column 9 of the file",
        ),
        (
            "\"type\": \"python\",\n\"code\": \"x = 1\\ny = = 2\"",
            "block_invalid",
            "block b, at code, line 2 column 5 of it, line 5 column 21 of the file",
        ),
    ] {
        let text = format!(
            "{{\"workflow\": \"w\",\n\"blocks\": [\n{{\"name\": \"a\", \"type\": \"external_api\", \"method\": \"GET\", \"url\": \"https://a.example/\"}},\n{{\"name\": \"b\", {block}}}]}}"
        );
        let file = dev.home().write("mistake.json", text);
        for command in ["check", "save"] {
            dev.keyroll(["block", command, &file])
                .run()
                .code(2)
                .error_code(code)
                .stderr_has(says);
        }
        dev.keyroll(["block", "run", &file, "--block", "b"])
            .run()
            .code(2)
            .error_code(code)
            .stderr_has(says);
    }
}
