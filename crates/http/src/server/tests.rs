use std::net::{Ipv4Addr, SocketAddr};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;
use crate::limits::Timeouts;

/// Reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(20);
const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// No wait of a test ends by itself but the one that it is about.
const NEVER: Timeouts = Timeouts {
    head: PATIENCE,
    body: PATIENCE,
    read: PATIENCE,
    idle: PATIENCE,
    work: PATIENCE,
};

struct Site {
    server: Server,
    address: SocketAddr,
    /// Permits for which `/work` waits.
    work: Arc<Semaphore>,
    /// How often it has begun to wait.
    begun: Arc<Semaphore>,
}

fn headers(headers: &mut HeaderMap) {
    headers.insert("x-every", HeaderValue::from_static("answer"));
}

async fn site(connections: usize, per_client: usize, timeouts: Timeouts) -> Site {
    let [work, begun] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
    let (waits, begins) = (Arc::clone(&work), Arc::clone(&begun));
    let works = async move || {
        begins.add_permits(1);
        waits.acquire().await.map_or("never", |_| "done")
    };
    let chunk = || Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 4_096]));
    let endless = async move || Body::from_stream(futures::stream::repeat_with(chunk));
    let pages = Router::new()
        .route("/", get(async || "here"))
        .route("/work", get(works))
        .route("/endless", get(endless))
        .route("/body", post(async |body: Bytes| body.len().to_string()));
    let proxy = [127, 0, 0, 200].into();
    let limits = Limits {
        connections,
        per_client,
        ..Limits::new(1, 1, &[proxy])
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    Site {
        address: listener.local_addr().expect("an address"),
        server: Server::start(listener, pages, limits.with_timeouts(timeouts), headers),
        work,
        begun,
    }
}

impl Site {
    /// Connects from 127.0.0.`last`, and sends something.
    async fn from(&self, last: u8, words: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from(([127, 0, 0, last], 0)))
            .expect("an address of loopback");
        let mut tcp = socket.connect(self.address).await.expect("connected");
        tcp.write_all(words.as_bytes()).await.expect("sent");
        tcp
    }

    /// Has a page from there.
    async fn is_open_to(&self, last: u8) {
        let mut tcp = self.from(last, GET).await;
        let answer = answer(&mut tcp).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("here"),
            "{answer}"
        );
        assert!(answer.contains("x-every: answer"), "{answer}");
    }
}

/// Reads to the end of a short body.
async fn answer(tcp: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = async {
        while !all.ends_with(b"here") && !all.ends_with(b"done") {
            let mut part = [0; 1024];
            match tcp.read(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(count) => all.extend_from_slice(&part[..count]),
            }
        }
    };
    timeout(PATIENCE, read).await.expect("an answer in time");
    String::from_utf8(all).expect("text")
}

/// Waits until a connection is closed; what came before.
async fn closed(tcp: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = timeout(PATIENCE, tcp.read_to_end(&mut all)).await;
    // A reset is an end as well.
    let _ = read.expect("closed in time");
    String::from_utf8_lossy(&all).into_owned()
}

async fn stays_open(tcp: &mut TcpStream) -> bool {
    let mut byte = [0; 1];
    timeout(MOMENT, tcp.read(&mut byte)).await.is_err()
}

#[tokio::test]
async fn half_sent_requests_block_nobody() {
    let site = site(16, 4, NEVER).await;
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(site.from(2, "GET / HTTP/1.1\r\nhost:").await);
        site.is_open_to(1).await;
    }
    // Neither for the address that they come from.
    site.is_open_to(2).await;
    for tcp in &mut flood[..36] {
        assert_eq!(
            closed(tcp).await,
            "",
            "the oldest are closed without an answer"
        );
    }
    assert!(stays_open(&mut flood[39]).await);
}

#[tokio::test]
async fn requests_from_many_addresses_block_nobody() {
    let site = site(8, 4, NEVER).await;
    let mut flood = Vec::new();
    for round in 0..30 {
        flood.push(
            site.from(
                2 + round,
                "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab",
            )
            .await,
        );
        site.is_open_to(1).await;
    }
    assert_eq!(closed(&mut flood[0]).await, "");
}

#[tokio::test]
async fn requests_in_work_are_not_cut_off() {
    let site = site(4, 2, NEVER).await;
    let ask = GET.replace("/ ", "/work ");
    let mut asked = [site.from(2, &ask).await, site.from(2, &ask).await];
    let begun = site.begun.acquire_many(2);
    drop(timeout(PATIENCE, begun).await.expect("in work"));
    let refused = answer(&mut site.from(2, GET).await).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let (head, body) = refused.split_once("\r\n\r\n").expect("a head");
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{head}"
    );
    site.is_open_to(1).await;
    site.work.add_permits(2);
    for tcp in &mut asked {
        assert!(answer(tcp).await.ends_with("done"));
    }
    // Now they wait for their client, who has something else to ask.
    site.is_open_to(2).await;
}

#[tokio::test]
async fn a_proxy_may_have_all_connections() {
    let site = site(8, 2, NEVER).await;
    let mut kept = Vec::new();
    for _ in 0..6 {
        let mut tcp = site.from(200, GET).await;
        assert!(answer(&mut tcp).await.ends_with("here"));
        kept.push(tcp);
    }
    site.is_open_to(1).await;
    for tcp in &mut kept {
        tcp.write_all(GET.as_bytes()).await.expect("still open");
        assert!(answer(tcp).await.ends_with("here"));
    }
}

#[tokio::test]
async fn heads_bodies_and_next_requests_have_timeouts() {
    let short = Timeouts {
        head: MOMENT,
        ..NEVER
    };
    let site_of = site(8, 4, short).await;
    for words in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        assert_eq!(closed(&mut site_of.from(1, words).await).await, "");
    }
    let idle = Timeouts {
        idle: MOMENT,
        ..NEVER
    };
    let site_of = site(8, 4, idle).await;
    let came = closed(&mut site_of.from(1, GET).await).await;
    assert!(came.ends_with("here"), "{came}");
    let body = Timeouts {
        body: MOMENT,
        ..NEVER
    };
    let site_of = site(8, 4, body).await;
    let mut tcp = site_of
        .from(
            1,
            "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab",
        )
        .await;
    let came = closed(&mut tcp).await;
    assert!(
        came.starts_with("HTTP/1.1 408 ") && came.contains("x-every: answer"),
        "{came}"
    );
    let work = Timeouts {
        work: MOMENT,
        ..NEVER
    };
    let site_of = site(8, 4, work).await;
    let came = closed(&mut site_of.from(1, &GET.replace("/ ", "/work ")).await).await;
    assert!(
        came.starts_with("HTTP/1.1 504 ") && came.contains("x-every: answer"),
        "{came}"
    );
}

/// One byte at a time is no body, however steadily they come.
#[tokio::test]
async fn a_body_in_single_bytes_is_late_too() {
    let site = site(
        8,
        4,
        Timeouts {
            body: 10 * MOMENT,
            ..NEVER
        },
    )
    .await;
    let head = "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let (mut read, mut write) = site.from(1, head).await.into_split();
    let drip = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(MOMENT / 10).await;
        }
    };
    let mut came = [0; 12];
    tokio::select! {
        () = drip => panic!("closed without an answer"),
        read = timeout(PATIENCE, read.read_exact(&mut came)) => {
            read.expect("in time").expect("an answer");
        }
    }
    assert_eq!(&came, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let site = site(
        8,
        4,
        Timeouts {
            read: MOMENT,
            ..NEVER
        },
    )
    .await;
    let tcp = site.from(1, &GET.replace("/ ", "/endless ")).await;
    let gone = async {
        // Only bytes sent before this point can still arrive.
        loop {
            tokio::time::sleep(MOMENT).await;
            if tcp.take_error().expect("its state").is_some() || tcp.try_write(b"x").is_err() {
                break;
            }
        }
    };
    timeout(PATIENCE, gone).await.expect("closed in time");
}

#[tokio::test]
async fn a_stop_waits_only_for_requests_under_way() {
    let site = site(8, 8, NEVER).await;
    let mut idle = site.from(1, GET).await;
    assert!(answer(&mut idle).await.ends_with("here"));
    let mut half = site.from(1, "GET ").await;
    let mut asked = site.from(1, &GET.replace("/ ", "/work ")).await;
    site.is_open_to(2).await;
    let Site {
        server,
        work,
        address,
        ..
    } = site;
    let asked = async {
        assert_eq!(closed(&mut idle).await, "");
        work.add_permits(1);
        assert!(answer(&mut asked).await.ends_with("done"));
    };
    let ((), ()) = tokio::join!(server.stop(), asked);
    assert_eq!(closed(&mut half).await, "");
    assert!(TcpStream::connect(address).await.is_err());
}
