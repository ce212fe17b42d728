//! A connection to nats-server without any library, which does what no library would.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use keyroll_nats::Creds;
use serde_json::{Value, json};

/// Connects to `nats://HOST:PORT` with credentials, and returns the connection.
///
/// # Panics
/// When the server does not greet.
pub fn plain_connection(url: &str, creds: &Creds) -> TcpStream {
    let address = url.strip_prefix("nats://").expect("an address");
    let mut connection = TcpStream::connect(address).expect("connected");
    let mut greeting = String::new();
    let mut reader = BufReader::with_capacity(1, connection.try_clone().expect("a handle"));
    reader.read_line(&mut greeting).expect("a greeting");
    let info = greeting.strip_prefix("INFO ").expect("a greeting");
    let info: Value = serde_json::from_str(info).expect("JSON");
    let nonce = info["nonce"].as_str().expect("a nonce");
    let auth = creds.answer(nonce.as_bytes()).expect("signed");
    let signature = auth.signature.expect("a signature");
    let hello = json!({
        "verbose": false,
        "headers": true,
        "jwt": auth.jwt,
        "sig": data_encoding::BASE64URL_NOPAD.encode(&signature),
    });
    let hello = format!("CONNECT {hello}\r\n");
    connection.write_all(hello.as_bytes()).expect("said");
    connection
}
