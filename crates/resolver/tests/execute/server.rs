//! Servers on this machine, and blocks that send requests to them.

use std::io::Write;
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use keyroll_resolver::{
    BlockFile, Options, Plan, ResolveError, RunResult, SecretValue, SecretValues, plan,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers the first request of each connection with the bytes that `answer` returns, or not at
/// all.
pub(crate) async fn serve(
    answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await;
            match answer(&request) {
                // The client may hang up before it has read everything.
                Some(response) => {
                    let _ = stream.write_all(&response).await;
                }
                None => silent.push(stream),
            }
        }
    });
    address
}

/// A server without TLS. It answers with an error at once.
pub(crate) async fn speaks_first() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream
                .write_all(&response("400 Bad Request", "", b""))
                .await;
        }
    });
    address
}

/// Head and body of a request, by its content length.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse::<usize>().unwrap());
            let start = request
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap()
                + 4;
            if request.len() >= start + length {
                return request;
            }
        }
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return request;
        }
    }
}

pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn options() -> Options {
    Options {
        allow_address: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: vec!["127.0.0.1".parse().unwrap(), "localhost".parse().unwrap()],
        ..Options::default()
    }
}

pub(crate) fn planned(url: &str, fields: &Value) -> Plan {
    let mut block = json!({"name": "b", "type": "external_api", "method": "POST", "url": url});
    for (key, value) in fields.as_object().unwrap() {
        block[key] = value.clone();
    }
    let file = json!({"workflow": "w", "blocks": [block]}).to_string();
    plan(&BlockFile::parse(file.as_bytes()).unwrap(), None).unwrap()
}

pub(crate) fn secrets(value: &str) -> SecretValues {
    SecretValues::from_iter([("KEY".to_owned(), SecretValue::new(value))])
}

/// All steps of a run after the plan.
pub(crate) async fn execute(
    plan: &Plan,
    secrets: &SecretValues,
    options: &Options,
) -> Result<RunResult, ResolveError> {
    let destination = plan.destination(options).await?;
    keyroll_resolver::execute(&destination, secrets).await
}
