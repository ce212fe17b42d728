//! Reading documents and results, compared with another JSON parser.

use keyroll_resolver::parse_json;
use proptest::prelude::*;
use serde_json::{Map, Value};

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9]{1,60}".prop_map(|digits| format!("1{digits}").parse().map(Value::Number).unwrap()),
        any::<String>().prop_map(Value::from),
        "[\\\\\"/{}\\[\\]:, ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let key = prop_oneof![any::<String>(), "[\\\\\":,{}]{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(tree in tree()) {
        for text in [tree.to_string(), serde_json::to_string_pretty(&tree).unwrap()] {
            let read = parse_json(&text).unwrap();
            prop_assert_eq!(&read, &tree);
            prop_assert_eq!(read.to_string(), tree.to_string());
        }
    }

    #[test]
    fn what_is_taken_is_json(text in "[\\[\\]{}:,\"\\\\ u0-9a-eE.+tfnrulsd-]{0,24}") {
        let other = serde_json::from_str::<Value>(&text);
        match parse_json(&text) {
            Ok(read) => prop_assert_eq!(Some(read), other.ok()),
            Err(error) if error.detail().contains("occurs twice") => prop_assert!(other.is_ok()),
            Err(_) => prop_assert!(other.is_err(), "{}", text),
        }
    }
}

#[test]
fn an_error_says_what_and_where() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse_json(&nested(512)).is_ok());
    for (text, says, place) in [
        (nested(513), "nested more than 512 deep", (1, 513)),
        (nested(1_000_000), "nested more than 512 deep", (1, 513)),
        (
            "{\"a\":\n{\"é\": 1, \"é\": 2}}".to_owned(),
            "occurs twice",
            (2, 10),
        ),
        (r#"["x", "\ud800"]"#.to_owned(), "surrogate", (1, 7)),
        (r#"{"\udc00\ud800": 1}"#.to_owned(), "surrogate", (1, 2)),
        ("[1,]".to_owned(), "not a JSON document", (1, 4)),
        ("[1] [2]".to_owned(), "not a JSON document", (1, 5)),
        ("[Infinity]".to_owned(), "not a JSON document", (1, 2)),
        (String::new(), "not a JSON document", (1, 0)),
    ] {
        let error = parse_json(&text).unwrap_err();
        assert!(error.detail().contains(says), "{error}");
        assert_eq!(error.line_column(), Some(place), "{error}");
        assert_eq!(error.code(), "block_invalid");
    }
    let pair = parse_json(r#""\ud83d\udd11""#).unwrap();
    assert_eq!(pair, Value::from("🔑"));
}
