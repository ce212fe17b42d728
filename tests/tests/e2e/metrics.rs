//! What monitoring is told by a service on an operator's own nats-server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use keyroll_tests::harness::Cluster;
use keyroll_tests::harness::process::Frozen;
use keyroll_tests::harness::wait::until;

/// Asks for a page; gives status line and all that follows.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("connected");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: monitoring\r\nConnection: close\r\n\r\n"
    )
    .expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (status, rest) = answer.split_once("\r\n").expect("a status line");
    (status.to_owned(), rest.to_owned())
}

fn figure(address: SocketAddr, series: &str) -> Option<u64> {
    let (status, page) = get(address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains("application/openmetrics-text"), "{page}");
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|number| number.parse().expect("a number"))
}

#[test]
fn figures_follow_what_is_asked_and_name_nothing() {
    let cluster = Cluster::start(1, 1);
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let listen = [("KEYROLL_METRICS", address.to_string())];
    let mut service = cluster.begin_serve(0, (0, 0), None, &listen);
    assert!(service.is_ready(), "{}", service.said());
    assert_eq!(get(address, "/healthz").0, "HTTP/1.1 200 OK");
    assert_eq!(get(address, "/readyz").0, "HTTP/1.1 200 OK");
    assert_eq!(figure(address, "keyroll_entries"), Some(0));

    let granted = r#"keyroll_requests_total{kind="command",outcome="ok"}"#;
    let refused = r#"keyroll_requests_total{kind="command",outcome="not_found"}"#;
    assert_eq!(figure(address, granted), None);
    cluster
        .keyroll(["workspace", "create", "demo"])
        .run()
        .code(0);
    let create = ["secret", "create", "Very_Private_Name", "--stdin"];
    cluster
        .keyroll(create)
        .stdin("very-private-value")
        .run()
        .code(0);
    let reveal = ["secret", "reveal", "No_Such_Name"];
    cluster.keyroll(reveal).run().code(3);
    assert_eq!(figure(address, granted), Some(2));
    assert_eq!(figure(address, refused), Some(1));
    let timed = r#"keyroll_request_duration_seconds_count{kind="command"}"#;
    assert_eq!(figure(address, timed), Some(3));
    let projected = || figure(address, "keyroll_entries") == Some(2);
    until("the read model to have both entries", || {
        projected().then_some(())
    });

    // With the log out of reach the answer still comes, and says what callers were told.
    let frozen = Frozen::new(cluster.server(0));
    assert_eq!(get(address, "/healthz").0, "HTTP/1.1 200 OK");
    assert_eq!(figure(address, "keyroll_ready"), Some(1));
    drop(frozen);

    let (_, page) = get(address, "/metrics");
    let owner = cluster.owner_identity().to_string();
    for private in ["very", "demo", owner.as_str()] {
        assert!(!page.to_lowercase().contains(private), "{private}: {page}");
    }
    let (status, _) = get(address, "/");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
}
