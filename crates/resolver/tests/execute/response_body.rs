//! Content codings and charsets are undone before a body is masked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyroll_resolver::{ResolveError, RunResult, execute};
use serde_json::{Value, json};

use crate::server::{gzip, options, planned, response, secrets, serve};

const KEY: &str = "clé-très-sécrète/42";

/// Runs a block against a service that answers with these headers and this body.
async fn answered(
    headers: &'static str,
    body: Vec<u8>,
    value: &str,
) -> Result<RunResult, ResolveError> {
    let address = serve(move |_| Some(response("200 OK", headers, &body))).await;
    let fields = json!({"body": {"json": {"k": "{{secrets.KEY}}"}}});
    let plan = planned(&format!("http://{address}/"), &fields);
    execute(&plan.destination(&options()).await?, &secrets(value)).await
}

fn text(result: RunResult) -> String {
    String::from_utf8(result.output).expect("UTF-8")
}

#[tokio::test]
async fn a_declared_charset_is_decoded() {
    let latin: Vec<u8> = KEY
        .chars()
        .map(|char| u8::try_from(u32::from(char)).unwrap())
        .collect();
    let little: Vec<u8> = KEY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&[0xFF, 0xFE], little.as_slice()].concat();
    for (headers, body) in [
        (
            "content-type: text/plain; charset=ISO-8859-1\r\n",
            latin.clone(),
        ),
        ("content-type: text/plain;charset = \"latin1\"\r\n", latin),
        ("content-type: text/plain; charset=utf-16le\r\n", little),
        ("content-type: text/plain\r\n", marked),
        ("content-type: text/plain; charset=utf-8\r\n", KEY.into()),
    ] {
        let result = answered(headers, body, KEY).await.unwrap();
        assert_eq!(text(result), "[REDACTED:KEY]", "{headers}");
    }
    for headers in [
        "content-type: text/plain; charset=utf-7\r\n",
        "content-type: text/plain; charset=utf-32le\r\n",
        "content-type: text/plain; charset=utf-8\r\ncontent-type: text/plain; charset=utf-16\r\n",
    ] {
        let error = answered(headers, KEY.into(), KEY).await.unwrap_err();
        assert_eq!(error.code(), "http_failed", "{headers}");
    }
}

#[tokio::test]
async fn two_lines_of_content_encoding_are_two_encodings() {
    let twice = gzip(&gzip(KEY.as_bytes()));
    for headers in [
        "content-encoding: gzip\r\ncontent-encoding: gzip\r\n",
        "content-encoding: gzip, gzip\r\n",
        "content-encoding: br\r\ncontent-encoding: gzip\r\n",
    ] {
        let error = answered(headers, twice.clone(), KEY).await.unwrap_err();
        assert_eq!(error.code(), "http_failed", "{headers}");
    }
    let once = "content-encoding: identity\r\ncontent-encoding: gzip\r\n";
    let result = answered(once, gzip(KEY.as_bytes()), KEY).await.unwrap();
    assert_eq!(text(result), "[REDACTED:KEY]");
}

#[tokio::test]
async fn a_json_response_stays_json() {
    let body = br#"{"number": 1234567890, "1234567890": [true, 12345678901]}"#.to_vec();
    let marked = [b"\xEF\xBB\xBF".as_slice(), &body].concat();
    for (headers, body) in [
        ("content-type: application/problem+json\r\n", &body),
        ("", &body),
        ("content-type: application/json\r\n", &marked),
    ] {
        let result = answered(headers, body.clone(), "1234567890").await.unwrap();
        let json: Value = serde_json::from_str(&text(result)).expect("JSON");
        let expected = json!({"number": "[REDACTED:KEY]",
            "[REDACTED:KEY]": [true, "[REDACTED:KEY]"]});
        assert_eq!(json, expected);
    }
    let lonely = answered(
        "content-type: application/json\r\n",
        b"1234567890".to_vec(),
        "1234567890",
    );
    assert_eq!(text(lonely.await.unwrap()), "\"[REDACTED:KEY]\"");
}

/// A service that echoes requests may return the body in Base64.
#[tokio::test]
async fn the_form_that_was_sent_is_found_behind_base64() {
    let value = "say \"hello\" & <good-bye>\n\u{e9}";
    for body in ["json", "form", "xml"] {
        let address = serve(|request| {
            let end = request
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap();
            Some(response(
                "200 OK",
                "",
                STANDARD.encode(&request[end + 4..]).as_bytes(),
            ))
        })
        .await;
        let body = match body {
            "json" => json!({"json": {"k": "{{secrets.KEY}}"}}),
            "form" => json!({"form": {"k": "{{secrets.KEY}}"}}),
            _ => json!({"xml": "<k>{{secrets.KEY}}</k>"}),
        };
        let plan = planned(&format!("http://{address}/"), &json!({"body": body}));
        let options = options();
        let destination = plan.destination(&options).await.unwrap();
        let result = execute(&destination, &secrets(value)).await.unwrap();
        let text = text(result);
        assert!(text.contains("[REDACTED:KEY]"), "{body}: {text}");
        assert!(
            text.replace("[REDACTED:KEY]", "").len() < 20,
            "{body}: {text}"
        );
    }
}
