//! A web server on loopback that keeps the requests it gets and echoes them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Lets a block reach a server of this machine, and prints JSON.
pub const ALLOW: [&str; 5] = [
    "--allow-address",
    "127.0.0.0/8",
    "--allow-http",
    "127.0.0.1",
    "--json",
];

/// A running server. It ends with the test's process.
pub struct Echo {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub fn start() -> Self {
        Self::serving(|request, stream| {
            stream.write_all(&response("200 OK", "", request.as_bytes()))
        })
    }

    /// Starts one that answers each request in its own way.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn serving(
        answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up half-way has made no request.
                let _ = take(stream, &kept, &answer);
            }
        });
        Self { address, requests }
    }

    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests received, each with head and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A whole response.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn take(
    mut stream: TcpStream,
    kept: &Mutex<Vec<String>>,
    answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut buffer)? {
            0 => break,
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    // Kept before the answer: a caller with the answer finds the request here.
    let text = String::from_utf8_lossy(&request).into_owned();
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(text.clone());
    answer(&text, &mut stream)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.to_lowercase();
    let length = length
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| {
        length
            .parse()
            .is_ok_and(|length: usize| body.len() >= length)
    })
}
