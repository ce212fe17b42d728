//! No client can block the doors of the console and the metrics, whatever it sends or does not
//! send.

use std::io::Write as _;
use std::thread;

use keyroll_tests::harness::browse::Browse;
use keyroll_tests::harness::flood::{Flood, connect, drip, loopback, until_closed};
use keyroll_tests::harness::{Cluster, Dev, Replica};

/// The limit of many systems.
const DESCRIPTORS: usize = 1_024;
/// More than the limit.
const MANY: usize = 1_200;
/// Descriptors that the service keeps for itself at least.
const KEPT: usize = 256;

/// A service with both doors open, in a workspace with a secret.
struct Served {
    cluster: Cluster,
    service: Replica,
    console: String,
    metrics: String,
}

impl Served {
    fn start(more: &[&str]) -> Self {
        let cluster = Cluster::start(1, 1);
        let mut words = vec!["--console", "127.0.0.1:0"];
        words.extend(more);
        let service = cluster.service(0).descriptors(DESCRIPTORS);
        let service = service.args(words).with_metrics().ready();
        let ready = service.ready_line();
        let text = |field: &str| ready[field].as_str().expect("a URL").to_owned();
        let metrics = text("metrics_url");
        let create = ["workspace", "create", "demo"];
        cluster.keyroll(create).run().code(0);
        let create = ["secret", "create", "API_Key", "--stdin"];
        cluster.keyroll(create).stdin("the value").run().code(0);
        Self {
            console: text("console_url"),
            metrics: metrics.trim_end_matches("/metrics").to_owned(),
            cluster,
            service,
        }
    }

    /// A person signs in and works at 127.0.0.1, another works at a terminal, and monitoring polls.
    fn is_usable(&self, round: &str) {
        let login = ["--json", "console", "login", &self.console];
        let made = self.cluster.keyroll(login).run().code(0).json();
        let mut window = Browse::open(made["url"].as_str().expect("a link"));
        let name = format!("From_{round}");
        let fields = [("name", name.as_str()), ("value", "typed")];
        assert_eq!(window.post("/w/demo/new", &fields).status, 303);
        let page = window.get("/w/demo/secrets");
        assert!(page.status == 200 && page.body.contains(&name));
        let reveal = ["secret", "reveal", "API_Key"];
        let revealed = self.cluster.keyroll(reveal).run().code(0);
        revealed.stdout("the value");
        let mut monitor = Browse::new(&self.metrics);
        assert_eq!(monitor.get("/readyz").status, 200);
        assert!(monitor.get("/metrics").body.contains("keyroll_ready 1"));
        let open = self.service.process().descriptors();
        assert!(
            open <= DESCRIPTORS - KEPT,
            "{open} descriptors in round {round}"
        );
    }
}

/// Incomplete requests.
const HALF: [&[u8]; 4] = [
    b"",
    b"GET / HTTP/1.1\r\nhost",
    b"GET / HTTP/1.1\r\nhost: x\r\nx-a: b\r\n",
    b"POST",
];

/// A request that announces a body and sends a part of it.
fn half_body(origin: &str) -> String {
    let host = origin.trim_start_matches("http://");
    format!(
        "POST /enter HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\ncontent-length: 9000\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\ntoken="
    )
}

#[test]
fn floods_of_half_sent_requests_hold_nothing_shut() {
    let served = Served::start(&[]);
    served.is_usable("quiet");
    let everywhere: Vec<_> = (2..=250).map(loopback).collect();
    let body = half_body(&served.console);
    let mut words = HALF.to_vec();
    words.push(body.as_bytes());
    // From one address, from the address that real users have, and from everywhere.
    let own = [loopback(1)];
    for (round, from) in [
        ("one", &everywhere[..1]),
        ("own", &own),
        ("all", &everywhere),
    ] {
        let mut flood = Flood::start(MANY, from, &served.console, &words);
        let mut beside = Flood::start(MANY / 10, from, &served.metrics, &words);
        served.is_usable(round);
        let most = if from.len() == 1 { (64, 8) } else { (384, 32) };
        assert!(flood.open() <= most.0 && beside.open() <= most.1, "{round}");
    }
    let said = served.service.stderr();
    assert!(said.contains("too many connections"), "{said}");
}

/// Whole requests whose answers are never read, and connections that are idle after a request.
#[test]
fn floods_of_whole_requests_hold_nothing_shut() {
    let served = Served::start(&[]);
    let host = served.console.trim_start_matches("http://");
    let one = format!("GET /enter?token=x HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let unread = one.repeat(2_000);
    for (kind, words) in [("idle", &one), ("unread", &unread)] {
        for last in [2, 1] {
            let (from, words) = ([loopback(last)], [words.as_bytes()]);
            let mut flood = Flood::start(MANY / 4, &from, &served.console, &words);
            served.is_usable(&format!("{kind}_{last}"));
            assert!(flood.open() <= 64, "of one address");
        }
    }
}

#[test]
fn a_named_proxy_may_have_what_one_address_may_not() {
    let served = Served::start(&["--trusted-proxy", "127.0.0.3"]);
    let host = served.console.trim_start_matches("http://");
    let ask = format!("GET /enter?token=x HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let open = |last: u8| {
        let mut flood = Flood::start(200, &[loopback(last)], &served.console, &[ask.as_bytes()]);
        served.is_usable(&format!("beside_{last}"));
        flood.open()
    };
    assert_eq!(open(3), 200);
    assert_eq!(open(2), 64);
    let alone = served
        .cluster
        .keyroll(["serve", "--trusted-proxy", "127.0.0.1"]);
    alone
        .run()
        .code(2)
        .stderr_has("needs --console or --metrics");
    let words = [
        "serve",
        "--metrics",
        "127.0.0.1:0",
        "--trusted-proxy",
        "proxy.example",
    ];
    served
        .cluster
        .keyroll(words)
        .run()
        .code(2)
        .stderr_has("invalid IP address");
}

/// Incomplete requests end even without any other connection.
#[test]
fn what_never_becomes_a_request_is_closed() {
    let dev = Dev::start();
    let link = dev.ready()["console_url"].as_str().expect("a link");
    let (origin, _) = link.split_once("/enter").expect("a one-time link");
    let send = |words: &[u8]| {
        let mut stream = connect(loopback(1), origin);
        stream.write_all(words).expect("sent");
        stream
    };
    let body = half_body(origin);
    let heads = HALF.map(send);
    let waiting = send(body.as_bytes());
    // Sending byte by byte gives no more time.
    let slow = [&b"GET / HTTP/1.1\r\nx-long: "[..], body.as_bytes()].map(send);
    let slow = slow.map(|stream| thread::spawn(move || drip(stream)));
    for stream in heads {
        assert_eq!(until_closed(stream), "");
    }
    let came = until_closed(waiting);
    assert!(came.starts_with("HTTP/1.1 408 "), "{came}");
    let [_, came] = slow.map(|slow| slow.join().expect("an end"));
    assert!(came.starts_with("HTTP/1.1 408 "), "{came}");
    let tls = until_closed(send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"));
    assert!(tls.starts_with("HTTP/1.1 400 "), "{tls}");
}
