//! Hostile services, and values that could break out of a request.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use keyroll_resolver::Options;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::server::{execute, options, planned, read_request, response, secrets, serve};

const KEY: &str = "k+9/ \"x\"\\</tag>{{secrets.OTHER}}";

/// The spellings in which a service may echo a value.
fn spellings(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let (mut hex, mut percent) = (String::new(), String::new());
    for byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
        write!(percent, "%{byte:02X}").unwrap();
    }
    let mut forms = vec![
        value.to_owned(),
        json!(value).to_string(),
        hex.to_uppercase(),
        hex,
        percent.to_lowercase(),
        percent,
    ];
    for before in ["", "a", "ab"] {
        let text = format!("{before}{value}and more");
        forms.push(STANDARD.encode(&text));
        forms.push(URL_SAFE.encode(&text));
    }
    forms
}

/// A server that sends one response in two packets.
async fn in_pieces(body: String, split: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        read_request(&mut stream).await;
        let whole = response("200 OK", "", body.as_bytes());
        let cut = whole.len() - body.len() + split;
        stream.write_all(&whole[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        let _ = stream.write_all(&whole[cut..]).await;
    });
    address
}

#[tokio::test]
async fn no_spelling_comes_back_wherever_it_is_split() {
    for form in spellings(KEY) {
        for split in 0..=form.len() {
            if !form.is_char_boundary(split) {
                continue;
            }
            let address = in_pieces(form.clone(), split).await;
            let plan = planned(&format!("http://{address}/"), &json!({}));
            let result = execute(&plan, &secrets(KEY), &options()).await.unwrap();
            let text = String::from_utf8(result.output).unwrap();
            assert!(text.contains("[REDACTED:KEY]"), "{form} at {split}: {text}");
            // Only the text around the value is left.
            assert!(text.len() < 60, "{form} at {split}: {text}");
        }
    }
}

/// Sends a response head and then chunks without end.
async fn never_ending(head: &'static str, piece: Vec<u8>, pause: Duration) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let mut next = stream.write_all(head.as_bytes()).await;
        while next.is_ok() {
            tokio::time::sleep(pause).await;
            next = stream.write_all(&piece).await;
        }
    });
    address
}

#[tokio::test]
async fn a_drip_ends_at_the_time_and_a_flood_at_the_size() {
    let drip = Duration::from_millis(20);
    let options = Options {
        timeout: Duration::from_millis(400),
        ..options()
    };
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nx: "] {
        let address = never_ending(head, b"a".to_vec(), drip).await;
        let plan = planned(&format!("http://{address}/?q=hidden"), &json!({}));
        let error = execute(&plan, &secrets(KEY), &options).await.unwrap_err();
        assert_eq!(error.code(), "timeout");
        assert!(!format!("{error:?}").contains("hidden"));
    }
    let flood = vec![b'a'; 1 << 20];
    let address = never_ending("HTTP/1.1 200 OK\r\n\r\n", flood.clone(), Duration::ZERO).await;
    let plan = planned(&format!("http://{address}/"), &json!({}));
    let error = execute(&plan, &secrets(KEY), &crate::server::options())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "output_limit");
    // Endless headers are an error.
    let address = never_ending("HTTP/1.1 200 OK\r\nx: ", flood, Duration::ZERO).await;
    let plan = planned(&format!("http://{address}/"), &json!({}));
    let error = execute(&plan, &secrets(KEY), &crate::server::options())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "http_failed");
}

#[tokio::test]
async fn values_of_any_size_and_spelling_arrive_whole() {
    let awkward = "{{secrets.KEY}}\"</tag>\\";
    let large: String = awkward.chars().cycle().take(64 * 1024).collect();
    for value in ["x".to_owned(), KEY.to_owned(), large] {
        let expected = value.clone();
        let address = serve(move |request| {
            let start = request
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap()
                + 4;
            let body: serde_json::Value = serde_json::from_slice(&request[start..]).unwrap();
            let same = body["k"] == json!(expected) && body["other"] == "<{{document.id}}>";
            Some(response("200 OK", "", same.to_string().as_bytes()))
        })
        .await;
        let body = json!({"json": {"k": "{{secrets.KEY}}", "other": "<{{document.id}}>"}});
        let plan = planned(&format!("http://{address}/"), &json!({"body": body}));
        let result = execute(&plan, &secrets(&value), &options()).await.unwrap();
        assert_eq!(result.output, b"true", "{} bytes", value.len());
    }
}

#[tokio::test]
async fn a_header_is_not_broken_open() {
    let address = serve(|_| Some(response("200 OK", "", b""))).await;
    let plan = planned(
        &format!("http://{address}/"),
        &json!({"headers": {"X-Key": "{{secrets.KEY}}"}}),
    );
    for value in [
        "value\r\nX-Evil: 1",
        "value\n",
        "value\0",
        "valué",
        "value\x7f",
    ] {
        let error = execute(&plan, &secrets(value), &options())
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), error.secret(), error.field()),
            (
                "value_illegal_for_context",
                Some("KEY"),
                Some("headers.X-Key")
            )
        );
        assert!(!format!("{error} {error:?}").contains("X-Evil"));
    }
}
