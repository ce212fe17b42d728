//! Each context of the table in docs/blocks.md.

use keyroll_resolver::{
    Block, BlockFile, Context, ExternalApi, PreparedRequest, ResolveError, SecretValue,
    SecretValues, prepare, references,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A block whose fields replace those of a plain request.
fn file(fields: &Value) -> Result<BlockFile, ResolveError> {
    let mut block = json!({"name": "b", "type": "external_api", "method": "POST",
        "url": "https://api.example/v1"});
    for (key, value) in fields.as_object().unwrap() {
        block[key] = value.clone();
    }
    BlockFile::parse(
        json!({"workflow": "w", "blocks": [block]})
            .to_string()
            .as_bytes(),
    )
}

fn api(fields: &Value) -> ExternalApi {
    match file(fields).unwrap().blocks.remove(0) {
        Block::External(api) => api,
        Block::Python(_) => unreachable!("the block is external"),
    }
}

fn with(fields: &Value, value: &[u8]) -> Result<PreparedRequest, ResolveError> {
    let mut value = SecretValue::new(value);
    value.allow_query = true;
    prepare(
        &api(fields),
        &SecretValues::from_iter([("K".to_owned(), value)]),
    )
}

fn body(fields: &Value, value: &[u8]) -> Result<String, ResolveError> {
    let body = with(fields, value)?.body.unwrap();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

fn header(prepared: &PreparedRequest, name: &str) -> String {
    let header = prepared
        .headers
        .iter()
        .find(|header| header.name == name)
        .unwrap();
    String::from_utf8(header.value.to_vec()).unwrap()
}

fn code<T>(result: Result<T, ResolveError>) -> &'static str {
    result.map(|_| ()).unwrap_err().code()
}

#[test]
fn no_secret_stands_in_method_url_names_or_keys() {
    let cases = [
        (json!({"method": "{{secrets.K}}"}), "method", "the method"),
        (
            json!({"url": "{{secrets.K}}://api.example/"}),
            "url",
            "scheme",
        ),
        (json!({"url": "https://{{secrets.K}}/"}), "url", "host"),
        (
            json!({"url": "https://api.example:{{secrets.K}}/"}),
            "url",
            "host",
        ),
        (
            json!({"url": "https://u:{{secrets.K}}@api.example/"}),
            "url",
            "user info",
        ),
        (
            json!({"url": "https://api.example/{{secrets.K}}?a"}),
            "url",
            "path",
        ),
        (
            json!({"url": "https://api.example\\{{secrets.K}}?a"}),
            "url",
            "path",
        ),
        (
            json!({"url": "https://api.example/?a#{{secrets.K}}"}),
            "url",
            "fragment",
        ),
        (
            json!({"url": "https://api.example/?{{secrets.K}}#{{secrets.K}}"}),
            "url",
            "fragment",
        ),
        (
            json!({"url": "https://api.example/#?{{secrets.K}}"}),
            "url",
            "fragment",
        ),
        (
            json!({"headers": {"X-{{secrets.K}}": "a"}}),
            "headers.X-{{secrets.K}}",
            "name",
        ),
        (
            json!({"auth": {"type": "header", "name": "{{secrets.K}}", "value": "a"}}),
            "auth.name",
            "name",
        ),
        (
            json!({"body": {"form": {"{{secrets.K}}": "a"}}}),
            "body.form.{{secrets.K}}",
            "name",
        ),
        (
            json!({"body": {"json": {"a": [{"{{secrets.K}}": 1}]}}}),
            "body.json.a[0].{{secrets.K}}",
            "key",
        ),
        (
            json!({"body": {"xml": "<{{secrets.K}}/>"}}),
            "body.xml",
            "XML",
        ),
    ];
    for (fields, place, what) in cases {
        let error = file(&fields).unwrap_err();
        assert_eq!(error.code(), "context_forbidden", "{fields}");
        assert_eq!(error.field(), Some(place), "{fields}");
        assert_eq!(error.block(), Some("b"));
        assert_eq!(error.secret(), Some("K"));
        assert!(error.detail().contains(what), "{error}");
    }
}

#[test]
fn a_bare_reference_in_json_is_a_forbidden_context() {
    let text =
        "{\"workflow\": \"w\",\n \"blocks\": [{\"body\": {\"json\": {\"a\": {{ secrets.K }} }}}]}";
    let error = BlockFile::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.code(), "context_forbidden");
    assert_eq!(error.line_column().unwrap().0, 2);
}

#[test]
fn headers_and_credentials() {
    let fields = json!({"headers": {"X-Key": "a {{secrets.K}}", "X-Plain": "p"},
        "auth": {"type": "bearer", "token": "{{secrets.K}}"}});
    let prepared = with(&fields, b"v~\t !").unwrap();
    assert_eq!(header(&prepared, "x-key"), "a v~\t !");
    assert_eq!(header(&prepared, "authorization"), "Bearer v~\t !");
    let sensitive: Vec<bool> = prepared
        .headers
        .iter()
        .map(|header| header.sensitive)
        .collect();
    assert_eq!(sensitive, [true, true, false]);
    for illegal in [
        b"a\r\nb: c".as_slice(),
        b"\0",
        b"\x7f",
        "é".as_bytes(),
        b"\xff",
    ] {
        assert_eq!(code(with(&fields, illegal)), "value_illegal_for_context");
    }
    let custom = json!({"auth": {"type": "header", "name": "X-Api", "value": "{{secrets.K}}"}});
    assert_eq!(header(&with(&custom, b"v").unwrap(), "x-api"), "v");
    assert_eq!(code(with(&custom, b"\n")), "value_illegal_for_context");
}

#[test]
fn basic_credentials_are_encoded_here() {
    let fields = json!({"auth":
        {"type": "basic", "username": "Aladdin", "password": "open {{secrets.K}}"}});
    let prepared = with(&fields, b"sesame").unwrap();
    assert_eq!(
        header(&prepared, "authorization"),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
    assert!(with(&fields, "é:".as_bytes()).is_ok());
    assert_eq!(code(with(&fields, b"a\n")), "value_illegal_for_context");
    let user = json!({"auth": {"type": "basic", "username": "{{secrets.K}}", "password": ""}});
    let error = with(&user, b"a:b").map(|_| ()).unwrap_err();
    assert_eq!(
        (error.code(), error.field()),
        ("value_illegal_for_context", Some("auth.username"))
    );
}

#[test]
fn json_keeps_order_and_numbers_and_replaces_inside_strings() {
    let text = r#"{"workflow":"w","blocks":[{"name":"b","type":"external_api","method":"POST",
        "url":"https://api.example/","body":{"json":
        {"z":1.10,"a":[12345678901234567890123,-0,1E5,1e+5,true,null],"k":"<{{secrets.K}}>{{document.id}}","b":"{{'{{'}}"}}}]}"#;
    let mut file = BlockFile::parse(text.as_bytes()).unwrap();
    let Block::External(api) = file.blocks.remove(0) else {
        unreachable!("the block is external")
    };
    let value = SecretValue::new("\"},{\"é\\\n{{secrets.Other}}");
    let prepared = prepare(&api, &SecretValues::from_iter([("K".to_owned(), value)])).unwrap();
    assert_eq!(
        String::from_utf8(prepared.body.unwrap().to_vec()).unwrap(),
        r#"{"z":1.10,"a":[12345678901234567890123,-0,1E5,1e+5,true,null],"k":"<\"},{\"é\\\n{{secrets.Other}}>{{document.id}}","b":"{{"}"#
    );
    let twice = text.replace("\"z\":1.10", "\"k\":[\"{{secrets.K}}\"]");
    assert_eq!(code(BlockFile::parse(twice.as_bytes())), "block_invalid");
    let escaped = text.replace("{{secrets.K}}", "\\u007b{secrets.K}\\u007d\\\"");
    let mut file = BlockFile::parse(escaped.as_bytes()).unwrap();
    let found = references(&file.blocks.remove(0)).unwrap();
    assert_eq!(found["K"][0].path, "body.json.k");
    let fields = json!({"body": {"json": "{{secrets.K}}"}});
    assert_eq!(body(&fields, b"v").unwrap(), "\"v\"");
    let error = with(&fields, b"\xff").map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "value_illegal_for_context");
    assert_eq!(
        (error.secret(), error.field()),
        (Some("K"), Some("body.json"))
    );
}

#[test]
fn forms_and_queries_are_encoded_after_replacing() {
    let fields = json!({"body": {"form": {"a b": "x{{secrets.K}}", "c": "&="}}});
    assert_eq!(
        body(&fields, b"&= +\xff").unwrap(),
        "a+b=x%26%3D+%2B%FF&c=%26%3D"
    );
    let fields = json!({"url": "https://api.example/p?k={{secrets.K}}&x=1#f"});
    let prepared = with(&fields, b"a&b=c#d /?\xff").unwrap();
    assert_eq!(
        prepared.url.as_str(),
        "https://api.example/p?k=a%26b%3Dc%23d%20%2F%3F%FF&x=1"
    );
    let values = SecretValues::from_iter([("K".to_owned(), SecretValue::new("v"))]);
    let error = prepare(&api(&fields), &values).map(|_| ()).unwrap_err();
    assert_eq!(
        (error.code(), error.field()),
        ("context_forbidden", Some("url"))
    );
    assert!(!error.to_string().contains("x=1"), "{error}");
}

#[test]
fn xml_is_escaped_in_text_and_attributes() {
    let xml = |text: &str| json!({"body": {"xml": text}});
    let fields =
        xml("<?xml version='1.0'?><!-- ' --><a b='{{secrets.K}}' c=\">\">{{secrets.K}}</a>");
    assert_eq!(
        body(&fields, b"<&>\"'\n\t]]>").unwrap(),
        "<?xml version='1.0'?><!-- ' --><a b='&lt;&amp;&gt;&quot;&apos;&#10;&#9;]]&gt;' c=\">\">\
         &lt;&amp;&gt;&quot;&apos;&#10;&#9;]]&gt;</a>"
    );
    for text in [
        "<a {{secrets.K}}/>",
        "<a b={{secrets.K}}>",
        "</{{secrets.K}}>",
        "<!-- {{secrets.K}} -->",
        "<a><![CDATA[{{secrets.K}}]]></a>",
        "<?p {{secrets.K}}?>",
        "<a>&{{secrets.K}};</a>",
        "<!DOCTYPE a [<!ENTITY e ']>'>]><a>{{secrets.K}}</a>",
        "<!--> <a>{{secrets.K}}</a>",
    ] {
        let error = file(&xml(text)).unwrap_err();
        assert_eq!(
            (error.code(), error.field()),
            ("context_forbidden", Some("body.xml")),
            "{text}"
        );
    }
    let text = xml("<a><![CDATA[x]]>&amp;{{secrets.K}}</a>");
    for illegal in [b"\0".as_slice(), b"\x1b", b"\xff", "\u{ffff}".as_bytes()] {
        assert_eq!(code(body(&text, illegal)), "value_illegal_for_context");
    }
}

#[test]
fn text_is_as_it_is() {
    let fields = json!({"body": {"text": "a {{secrets.K}}\n"}});
    let prepared = with(&fields, b"\xff\0<&>").unwrap();
    assert_eq!(prepared.body.as_ref().unwrap().as_slice(), b"a \xff\0<&>\n");
    assert_eq!(
        header(&prepared, "content-type"),
        "text/plain; charset=utf-8"
    );
    let own = json!({"body": {"text": ""}, "headers": {"Content-Type": "text/csv"}});
    assert_eq!(
        header(&with(&own, b"").unwrap(), "content-type"),
        "text/csv"
    );
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    for fields in [
        json!({"method": "CONNECT"}),
        json!({"method": "post"}),
        json!({"url": "no url"}),
        json!({"url": "file:///etc/passwd"}),
        json!({"url": "https://u:p@api.example/"}),
        json!({"url": "https://{{document.host}}/"}),
        json!({"headers": {"Host": "other.example"}}),
        json!({"headers": {"content-length": "1"}}),
        json!({"headers": {"Accept-Encoding": "br"}}),
        json!({"headers": {"a b": ""}}),
        json!({"headers": {"X-A": "1", "x-a": "2"}}),
        json!({"headers": {"Authorization": "x"}, "auth": {"type": "bearer", "token": "t"}}),
    ] {
        let error = with(&fields, b"v").map(|_| ()).unwrap_err();
        assert_eq!(
            (error.code(), error.block()),
            ("block_invalid", Some("b")),
            "{fields}"
        );
    }
    let fields = json!({"headers": {"X": "{{secrets.Missing}}"}});
    let error = with(&fields, b"v").map(|_| ()).unwrap_err();
    assert_eq!(
        (error.code(), error.secret()),
        ("secret_not_found", Some("Missing"))
    );
}

#[test]
fn every_reference_has_its_place() {
    let file = file(&json!({"url": "https://api.example/?k={{secrets.A}}",
        "auth": {"type": "bearer", "token": "{{secrets.B}}"},
        "headers": {"X-Key": "k {{secrets.A}}"},
        "body": {"json": {"items": [{"id": "{{secrets.C}}{{secrets.C}}"}]}}}))
    .unwrap();
    let found = references(&file.blocks[0]).unwrap();
    let places = |name: &str| -> Vec<(&str, usize, Context)> {
        found[name]
            .iter()
            .map(|place| (place.path.as_str(), place.offset, place.context))
            .collect()
    };
    assert_eq!(found.keys().collect::<Vec<_>>(), ["A", "B", "C"]);
    assert_eq!(
        places("A"),
        [
            ("url", 23, Context::Query),
            ("headers.X-Key", 2, Context::Header)
        ]
    );
    assert_eq!(places("B"), [("auth.token", 0, Context::Auth)]);
    let c = "body.json.items[0].id";
    assert_eq!(places("C"), [(c, 0, Context::Json), (c, 13, Context::Json)]);
}

proptest! {
    #[test]
    fn a_value_stays_one_string_field_and_text(value in any::<String>()) {
        let text = body(&json!({"body": {"json": {"k": "a{{secrets.K}}b"}}}), value.as_bytes()).unwrap();
        let parsed: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(parsed, json!({"k": format!("a{value}b")}));

        let text = body(&json!({"body": {"form": {"k": "a{{secrets.K}}b"}}}), value.as_bytes()).unwrap();
        let url = url::Url::parse(&format!("https://h/?{text}")).unwrap();
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(pairs, [("k".to_owned(), format!("a{value}b"))]);

        let url = with(&json!({"url": "https://h/?x=1&k={{secrets.K}}&y=2"}), value.as_bytes()).unwrap().url;
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(pairs[1].clone(), ("k".to_owned(), value.clone()));
        prop_assert_eq!((pairs.len(), url.fragment()), (3, None));

        if let Ok(text) = body(&json!({"body": {"xml": "<a b='{{secrets.K}}'/>"}}), value.as_bytes()) {
            prop_assert!(!text["<a b='".len()..text.len() - "'/>".len()].contains(['<', '>', '\'', '"']));
        }
    }
}
