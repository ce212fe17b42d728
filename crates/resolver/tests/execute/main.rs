//! Blocks run against a server on this machine.

mod hostile;
mod redirects;
mod response_body;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use keyroll_resolver::{Options, ResolveError, RunResult, SecretValue, SecretValues};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::{execute, gzip, options, planned, response, secrets, serve, speaks_first};

const VALUE: &str = "sk \"live\"/é<42>+long";

async fn run(address: SocketAddr, fields: &Value) -> Result<RunResult, ResolveError> {
    execute(
        &planned(&format!("http://{address}/p"), fields),
        &secrets(VALUE),
        &options(),
    )
    .await
}

fn text(result: &RunResult) -> &str {
    std::str::from_utf8(&result.output).unwrap()
}

#[tokio::test]
async fn what_a_service_echoes_is_masked() {
    let address = serve(|request| Some(response("200 OK", "", request))).await;
    let value = "correct-horse+battery/staple";
    let plan = planned(
        &format!("http://{address}/p?a=1"),
        &json!({"auth": {"type": "basic", "username": "u", "password": "{{secrets.KEY}}"},
            "headers": {"X-Key": "k={{secrets.KEY}};", "X-Host": "{{document.id}}"},
            "body": {"form": {"v": "{{secrets.KEY}}", "w": "plain"}}}),
    );
    assert_eq!(plan.names().collect::<Vec<_>>(), ["KEY"]);
    let result = execute(&plan, &secrets(value), &options()).await.unwrap();
    assert_eq!((result.http_status, result.failed), (200, false));
    let text = text(&result);
    assert!(text.starts_with("POST /p?a=1 HTTP/1.1\r\n"), "{text}");
    assert!(text.contains("x-key: k=[REDACTED:KEY];\r\n"), "{text}");
    assert!(text.contains("x-host: {{document.id}}\r\n"), "{text}");
    assert!(
        text.contains("authorization: Basic [REDACTED:KEY]\r\n"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\nv=[REDACTED:KEY]&w=plain"), "{text}");
}

#[tokio::test]
async fn what_arrives_is_what_the_block_says() {
    let address = serve(|request| {
        let body = request.split(|byte| *byte == b'\n').next_back().unwrap();
        let length = serde_json::from_slice::<Value>(body).unwrap()["k"].as_str() == Some(VALUE);
        Some(response("201 Created", "", length.to_string().as_bytes()))
    })
    .await;
    let result = run(
        address,
        &json!({"body": {"json": {"k": "{{secrets.KEY}}"}}}),
    )
    .await
    .unwrap();
    assert_eq!((result.http_status, text(&result)), (201, "true"));
}

#[tokio::test]
async fn compressed_responses_are_masked_too() {
    let address = serve(|_| {
        let body = format!("got {VALUE}").into_bytes();
        Some(response(
            "200 OK",
            "content-encoding: gzip\r\n",
            &gzip(&body),
        ))
    })
    .await;
    assert_eq!(
        text(&run(address, &json!({})).await.unwrap()),
        "got [REDACTED:KEY]"
    );
    let address = serve(|_| Some(response("200 OK", "content-encoding: br\r\n", b"opaque"))).await;
    assert_eq!(
        run(address, &json!({})).await.unwrap_err().code(),
        "http_failed"
    );
}

#[tokio::test]
async fn failed_statuses_are_results() {
    let address = serve(|_| Some(response("500 Oops", "", VALUE.as_bytes()))).await;
    let result = run(address, &json!({})).await.unwrap();
    assert_eq!((result.http_status, result.failed), (500, true));
    assert_eq!(text(&result), "[REDACTED:KEY]");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = serve(|_| Some(response("200 OK", "", b"followed"))).await;
    let location = format!("location: http://{target}/\r\n");
    let address = serve(move |_| Some(response("302 Found", &location, b"moved"))).await;
    let result = run(address, &json!({"method": "GET"})).await.unwrap();
    assert_eq!(
        (result.http_status, result.failed, text(&result)),
        (302, true, "moved")
    );
}

#[tokio::test]
async fn a_name_is_looked_up_and_every_address_checked() {
    let address = serve(|_| Some(response("200 OK", "", b"here"))).await;
    let plan = planned(&format!("http://localhost:{}/", address.port()), &json!({}));
    let mut options = options();
    options.allow_address.push("::1".parse().unwrap());
    let result = execute(&plan, &secrets(VALUE), &options).await.unwrap();
    assert_eq!(text(&result), "here");
    options.allow_address.clear();
    let error = execute(&plan, &secrets(VALUE), &options).await.unwrap_err();
    assert_eq!(
        (error.code(), error.host()),
        ("address_blocked", Some("localhost"))
    );
}

#[tokio::test]
async fn bindings_are_checked_again_with_the_values() {
    let address = serve(|_| Some(response("200 OK", "", b""))).await;
    let plan = planned(
        &format!("http://{address}/"),
        &json!({"headers": {"X": "{{secrets.KEY}}"}}),
    );
    let run = async |host: String| {
        let mut value = SecretValue::new("12345678");
        value.allowed_hosts = vec![host];
        execute(
            &plan,
            &SecretValues::from_iter([("KEY".to_owned(), value)]),
            &options(),
        )
        .await
    };
    assert!(run(address.to_string()).await.is_ok());
    let error = run("api.example".to_owned()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.secret()),
        ("host_not_allowed", Some("KEY"))
    );
    let error = execute(&plan, &SecretValues::new(), &options())
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.block()),
        ("secret_not_found", Some("b"))
    );
}

#[tokio::test]
async fn a_silent_service_is_a_timeout() {
    let address = serve(|_| None).await;
    let options = Options {
        timeout: Duration::from_millis(200),
        ..options()
    };
    let plan = planned(&format!("http://{address}/?q=hidden"), &json!({}));
    let error = execute(&plan, &secrets(VALUE), &options).await.unwrap_err();
    assert_eq!((error.code(), error.block()), ("timeout", Some("b")));
    assert_eq!(error.host(), Some(address.to_string().as_str()));
    assert!(!format!("{error} {error:?}").contains("hidden"));
}

#[tokio::test]
async fn responses_have_a_limit_after_decompression() {
    const LIMIT: usize = 10 * 1024 * 1024;
    let largest = vec![b' '; LIMIT];
    let (exact, packed) = (largest.clone(), gzip(&largest));
    let address = serve(move |_| Some(response("200 OK", "", &exact))).await;
    assert_eq!(run(address, &json!({})).await.unwrap().output.len(), LIMIT);
    let address =
        serve(move |_| Some(response("200 OK", "content-encoding: gzip\r\n", &packed))).await;
    assert_eq!(run(address, &json!({})).await.unwrap().output.len(), LIMIT);

    let more = [largest.as_slice(), b" "].concat();
    let bomb = gzip(&vec![0; 8 * LIMIT]);
    assert!(bomb.len() < LIMIT / 10);
    let address = serve(move |_| Some(response("200 OK", "", &more))).await;
    assert_eq!(
        run(address, &json!({})).await.unwrap_err().code(),
        "output_limit"
    );
    let address =
        serve(move |_| Some(response("200 OK", "content-encoding: gzip\r\n", &bomb))).await;
    assert_eq!(
        run(address, &json!({})).await.unwrap_err().code(),
        "output_limit"
    );
}

#[tokio::test]
async fn broken_exchanges_name_neither_query_nor_value() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let plain = speaks_first().await;
    let cut = serve(|_| Some(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_vec())).await;
    let garbage = serve(|_| Some(b"\0\0\0\0\r\n\r\n".to_vec())).await;
    for url in [
        format!("http://{closed}/?q=hidden&k={{{{secrets.KEY}}}}"),
        format!("https://{plain}/?q=hidden&k={{{{secrets.KEY}}}}"),
        format!("http://{cut}/?q=hidden&k={{{{secrets.KEY}}}}"),
        format!("http://{garbage}/?q=hidden&k={{{{secrets.KEY}}}}"),
    ] {
        let mut value = SecretValue::new("0123456789abcdef");
        value.allow_query = true;
        let secrets = SecretValues::from_iter([("KEY".to_owned(), value)]);
        let error = execute(&planned(&url, &json!({})), &secrets, &options())
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), error.host()),
            ("http_failed", Some("127.0.0.1")),
            "{error}"
        );
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("hidden") && !shown.contains("0123456789abcdef"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn short_values_are_reported() {
    let address = serve(|request| Some(response("200 OK", "", request))).await;
    let plan = planned(
        &format!("http://{address}/"),
        &json!({"body": {"text": "{{secrets.KEY}}"}}),
    );
    let result = execute(&plan, &secrets("1234567"), &options())
        .await
        .unwrap();
    assert_eq!(result.unmasked, ["KEY"]);
    assert!(text(&result).ends_with("1234567"));
}

#[tokio::test]
async fn an_empty_answer_to_head_may_be_marked_as_compressed() {
    let address = serve(|_| {
        Some(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9\r\n\r\n".to_vec())
    })
    .await;
    let result = run(address, &json!({"method": "HEAD"})).await.unwrap();
    assert_eq!((result.http_status, result.output.len()), (200, 0));
}
