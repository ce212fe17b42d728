//! Many idle connections at once.

use std::fs::read_dir;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpSocket;
use tokio::runtime;

use super::process::Process;
use super::wait::PATIENCE;

/// Descriptors that a flood needs on its own side.
const DESCRIPTORS: u64 = 8_192;

/// `127.0.0.last`: loopback has any number of addresses.
pub fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Connects to `http://address` from an address of loopback.
///
/// # Panics
/// When it cannot.
pub fn connect(from: IpAddr, origin: &str) -> TcpStream {
    let to = origin.strip_prefix("http://").expect("plain HTTP");
    let to: SocketAddr = to.parse().expect("an address");
    let connected = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        socket.connect(to).await?.into_std()
    };
    let built = runtime::Builder::new_current_thread().enable_io().build();
    let stream = built.expect("a runtime").block_on(connected);
    let stream = stream.unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
    stream.set_nonblocking(false).expect("blocking");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream
}

/// Connections that stay until this is dropped, or the other side closes them.
pub struct Flood(Vec<TcpStream>);

impl Flood {
    /// Opens `count` connections to `http://address`, each from the next of some addresses, and
    /// sends the next of some words over each. Refused ones count as opened.
    ///
    /// # Panics
    /// When a connection cannot be made at all.
    pub fn start(count: usize, from: &[IpAddr], origin: &str, words: &[&[u8]]) -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        if soft < DESCRIPTORS {
            let most = DESCRIPTORS.min(hard);
            setrlimit(Resource::RLIMIT_NOFILE, most, hard).expect("more descriptors");
        }
        let streams = (0..count).map(|at| {
            let mut stream = connect(from[at % from.len()], origin);
            // A connection that was closed meanwhile sends nothing.
            let _ = stream.write_all(words[at % words.len()]);
            stream
        });
        Self(streams.collect())
    }

    /// The number that are still open. It reads and drops the data sent to them.
    pub fn open(&mut self) -> usize {
        let is_open = |stream: &mut TcpStream| {
            stream.set_nonblocking(true).expect("not blocking");
            let mut bytes = [0; 4_096];
            loop {
                match stream.read(&mut bytes) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
            }
        };
        self.0
            .iter_mut()
            .filter_map(|stream| is_open(stream).then_some(()))
            .count()
    }
}

/// Reads until the other side closes, and returns what was read.
///
/// # Panics
/// When it does not close.
pub fn until_closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("it is never closed")
        }
        // A reset also ends the connection.
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Sends a byte now and then until the other side answers or closes, and returns the answer.
///
/// # Panics
/// When it never does.
pub fn drip(mut stream: TcpStream) -> String {
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("set");
    let tries = PATIENCE.as_millis() / 500;
    let mut bytes = [0; 4_096];
    for _ in 0..tries {
        let sent = stream.write_all(b"x");
        match stream.read(&mut bytes) {
            Ok(count) => return String::from_utf8_lossy(&bytes[..count]).into_owned(),
            Err(error) if sent.is_err() => return error.to_string(),
            Err(_) => {}
        }
    }
    panic!("it takes bytes for ever")
}

impl Process {
    /// The number of its open descriptors.
    ///
    /// # Panics
    /// When it is gone.
    pub fn descriptors(self) -> usize {
        let open = read_dir(format!("/proc/{}/fd", self.pid));
        open.expect("a running process").count()
    }
}
