//! The structure of block files.

use keyroll_resolver::{Block, BlockFile, plan, references};
use proptest::prelude::*;

const REQUEST: &str =
    r#"{"name": "b", "type": "external_api", "method": "GET", "url": "https://a.example/"}"#;

fn parse(blocks: &str) -> Result<BlockFile, keyroll_resolver::ResolveError> {
    BlockFile::parse(format!("{{\"workflow\": \"w\",\n\"blocks\": [\n{blocks}]}}").as_bytes())
}

#[test]
fn a_file_has_external_and_python_blocks() {
    let python = r#"{"name": "p", "type": "python", "code": "result = secrets.A"}"#;
    let file = parse(&format!("{REQUEST},\n{python}")).unwrap();
    assert!(matches!(file.blocks[0], Block::External(_)));
    assert!(matches!(file.blocks[1], Block::Python(_)));
    assert_eq!(
        plan(&file, Some("b")).unwrap().target().as_str(),
        "https://a.example/"
    );
    let error = plan(&file, Some("p")).unwrap_err();
    assert_eq!((error.code(), error.block()), ("block_invalid", Some("p")));
    assert!(error.to_string().contains("execute_python"));
    assert_eq!(plan(&file, None).unwrap_err().code(), "block_invalid");
    assert_eq!(plan(&file, Some("c")).unwrap_err().code(), "block_invalid");
    assert!(plan(&parse(REQUEST).unwrap(), None).is_ok());
    assert_eq!(
        plan(&parse("").unwrap(), None).unwrap_err().code(),
        "block_invalid"
    );
}

#[test]
fn mistakes_have_a_line() {
    for (blocks, line, says) in [
        (r#"{"name": "b", "type": "shell"}"#, 3, "unknown variant"),
        (
            r#"{"name": "b", "type": "external_api", "methd": "GET"}"#,
            3,
            "unknown field `methd`",
        ),
        (
            r#"{"name": "b", "type": "external_api", "method": "GET"}"#,
            3,
            "needs a `url`",
        ),
        (r#"{"name": "b", "type": "python"}"#, 3, "needs `code`"),
        (
            r#"{"name": "b", "type": "python", "code": "", "url": "x"}"#,
            3,
            "has only",
        ),
        (
            "{\"name\": \"b\",\n\"body\": {\"json\": 1, \"text\": \"\"}}",
            4,
            "",
        ),
        (
            "{\"name\": \"b\",\n\"headers\": {\"a\": \"1\", \"a\": \"2\"}}",
            4,
            "occurs twice",
        ),
        (
            "{\"name\": \"b\",\n\"headers\": {\"a\": 1}}",
            4,
            "expected a string",
        ),
        (
            "{\"name\": \"b\",\n\"auth\": {\"type\": \"bearer\"}}",
            4,
            "token",
        ),
        ("{\"name\": \"b\",,", 3, ""),
    ] {
        let error = parse(blocks).unwrap_err();
        assert_eq!(error.code(), "block_invalid", "{blocks}");
        assert_eq!(error.line_column().unwrap().0, line, "{blocks}: {error}");
        assert!(error.detail().contains(says), "{error}");
    }
    assert_eq!(
        parse(&format!("{REQUEST},{REQUEST}")).unwrap_err().code(),
        "block_invalid"
    );
    let nameless = REQUEST.replace("\"b\"", "\"\"");
    assert_eq!(parse(&nameless).unwrap_err().code(), "block_invalid");
}

#[test]
fn errors_do_not_repeat_strings_of_the_file() {
    let error = parse("{\"name\": \"b\", \"headers\": \"sk_live_1234\"}").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("sk_live"), "{error}");
    assert!(error.detail().contains("expected an object"), "{error}");
}

#[test]
fn templates_are_checked_when_a_file_is_read() {
    let block = REQUEST.replace(
        "\"GET\"",
        "\"GET\", \"body\": {\"json\": {\"a\": [\"x\\n {{ secrets\"]}}",
    );
    let error = parse(&block).unwrap_err();
    assert_eq!(
        (error.code(), error.block()),
        ("template_syntax", Some("b"))
    );
    assert_eq!(
        (error.field(), error.offset()),
        (Some("body.json.a[0]"), Some(3))
    );
    assert_eq!(error.line_column(), Some((2, 2)));
    // The escaped line break is inside one line of the file.
    let line = block.find("{{ secrets").unwrap() + 1;
    assert_eq!(error.file_line_column(), Some((3, line)));
    let says = format!("line 2 column 2 of it, line 3 column {line} of the file)");
    assert!(error.to_string().ends_with(&says), "{error}");
}

#[test]
fn every_mistake_has_its_block_line_and_column() {
    let second = "{\"name\": \"c\", \"type\": \"external_api\",\n \"method\": \"GET\", \"url\": \"https://a.example/\",\n HERE}";
    for (here, code, block, line, column) in [
        ("\"methd\": 1", "block_invalid", Some("c"), 6, 8),
        ("\"headers\": {\"X\": 1}", "block_invalid", Some("c"), 6, 19),
        (
            "\"headers\": {\"X\": \"é {{secrets}}\"}",
            "template_syntax",
            Some("c"),
            6,
            22,
        ),
        (
            "\"headers\": {\"{{secrets.A}}\": \"\"}",
            "context_forbidden",
            Some("c"),
            6,
            15,
        ),
        (
            "\"headers\": {\"{{secrets.A}}\": \"{{x}}\"}",
            "context_forbidden",
            Some("c"),
            6,
            15,
        ),
        (
            "\"headers\": {\"{{a}}\": \"é{{secrets }}\"}",
            "template_syntax",
            Some("c"),
            6,
            25,
        ),
        (
            "\"body\": {\"json\": {\"a\":\n [1, \"{{secrets.\"]}}",
            "template_syntax",
            Some("c"),
            7,
            7,
        ),
        (
            "\"body\": {\"json\": [{{secrets.A}}]}",
            "context_forbidden",
            Some("c"),
            6,
            21,
        ),
        (
            "\"body\": {\"json\": {\"a\": 1, \"a\": 2}}",
            "block_invalid",
            Some("c"),
            6,
            12,
        ),
        (
            "\"body\": {\"xml\": \"<a>\\n\\u003ca {{secrets.A}}/>\"}",
            "context_forbidden",
            Some("c"),
            6,
            32,
        ),
        (
            "\"body\": {\"form\": {\"{{secrets.A}}\": \"\"}}",
            "context_forbidden",
            Some("c"),
            6,
            21,
        ),
        (
            "\"auth\": {\"type\": \"bearer\"}",
            "block_invalid",
            Some("c"),
            6,
            28,
        ),
    ] {
        let error = parse(&format!("{REQUEST},\n{}", second.replace("HERE", here))).unwrap_err();
        assert_eq!(
            (error.code(), error.block()),
            (code, block),
            "{here}: {error}"
        );
        assert_eq!(
            error.file_line_column(),
            Some((line, column)),
            "{here}: {error}"
        );
    }
}

#[test]
fn what_is_in_no_block_is_placed_too() {
    let twice = parse(&format!("{REQUEST},\n{REQUEST}")).unwrap_err();
    assert_eq!(
        (twice.block(), twice.file_line_column()),
        (Some("b"), Some((4, 11)))
    );
    let nameless = parse(&REQUEST.replace("\"b\"", "\"\"")).unwrap_err();
    assert_eq!(nameless.file_line_column(), Some((3, 11)));
    let flow = BlockFile::parse(b"{\"blocks\": [],\n\"workflow\": \"\"}").unwrap_err();
    assert_eq!(flow.file_line_column(), Some((2, 14)));
    // Text between and after blocks is in no block.
    for text in [
        "{\"workflow\": \"w\", \"blocks\": [REQUEST, 1]}",
        "{\"workflow\": \"w\", \"blocks\": [REQUEST]} x",
    ] {
        let error = BlockFile::parse(text.replace("REQUEST", REQUEST).as_bytes()).unwrap_err();
        assert_eq!(
            (error.code(), error.block()),
            ("block_invalid", None),
            "{error}"
        );
    }
    // Errors that are found when a block is planned have a line and a column too.
    let text = format!(
        "{{\"workflow\": \"w\",\n\"blocks\": [{}]}}",
        REQUEST.replace("\"GET\"", "\"get\"")
    );
    let file = BlockFile::parse(text.as_bytes()).unwrap();
    let error = plan(&file, None).unwrap_err().in_file(text.as_bytes());
    assert_eq!(
        (error.code(), error.file_line_column()),
        ("block_invalid", Some((2, 61)))
    );
}

#[test]
fn sizes_have_limits() {
    let large = format!("{}{}", " ".repeat(1 << 20), REQUEST);
    assert_eq!(
        BlockFile::parse(large.as_bytes()).unwrap_err().code(),
        "block_invalid"
    );
    let body = |count| {
        format!(
            "\"GET\", \"body\": {{\"text\": \"{}\"}}",
            "{{secrets.A}}".repeat(count)
        )
    };
    assert!(parse(&REQUEST.replace("\"GET\"", &body(1000))).is_ok());
    let error = parse(&REQUEST.replace("\"GET\"", &body(1001))).unwrap_err();
    assert_eq!(error.code(), "block_invalid");
    let deep = format!(
        "\"GET\", \"body\": {{\"json\": {}{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert_eq!(
        parse(&REQUEST.replace("\"GET\"", &deep))
            .unwrap_err()
            .code(),
        "block_invalid"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..300) {
        let _ = BlockFile::parse(&bytes);
        let text = format!("{{\"workflow\": \"w\", \"blocks\": [{REQUEST}]}}");
        let _ = BlockFile::parse(&text.as_bytes()[..cut.min(text.len())]);
    }
}

#[test]
fn a_json_body_may_be_deep_and_loses_nothing() {
    let body = |json: &str| {
        let block =
            r#""name": "b", "type": "external_api", "method": "POST", "url": "https://a.example/""#;
        parse(&format!(r#"{{{block}, "body": {{"json": {json}}}}}"#))
    };
    let nested = |depth: usize| "[".repeat(depth) + "\"{{secrets.A}}\"" + &"]".repeat(depth);
    let file = body(&nested(512)).unwrap();
    assert_eq!(
        plan(&file, None).unwrap().names().collect::<Vec<_>>(),
        ["A"]
    );
    let error = body(&nested(513)).unwrap_err();
    assert!(error.detail().contains("512 deep"), "{error}");
    // A reference in a string counts, whatever a library takes that string for.
    let key = r#"{"$serde_json::private::RawValue": "[\"{{secrets.A}}\", \"{{secrets.B}}\"]"}"#;
    let file = body(key).unwrap();
    assert_eq!(
        plan(&file, None).unwrap().names().collect::<Vec<_>>(),
        ["A", "B"]
    );
    let places = references(file.block(None).unwrap()).unwrap();
    assert_eq!(
        places["A"][0].path,
        "body.json.$serde_json::private::RawValue"
    );
}
