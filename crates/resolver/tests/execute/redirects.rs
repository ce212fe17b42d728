//! Redirects are followed to the same origin if the block asks for it, and nowhere else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use keyroll_resolver::{ResolveError, RunResult, SecretValue, SecretValues};
use serde_json::json;

use crate::server::{execute, options, planned, response, serve};

const KEY: &str = "correct-horse-battery";

type Requests = Arc<Mutex<Vec<String>>>;

/// A server that redirects `/p` to `location` with `status`, redirects `/loop/N` to `/loop/N+1` without end,
/// and answers everything else.
async fn redirecting(status: &'static str, location: &str) -> (SocketAddr, Requests) {
    let (location, requests) = (location.to_owned(), Requests::default());
    let kept = Arc::clone(&requests);
    let address = serve(move |request| {
        let request = String::from_utf8_lossy(request).into_owned();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        kept.lock().unwrap().push(request);
        let next = match path.strip_prefix("/loop/") {
            Some(step) => format!("/loop/{}", step.parse::<u32>().unwrap() + 1),
            None if path == "/p" => location.clone(),
            None => return Some(response("200 OK", "", b"arrived")),
        };
        Some(response(status, &format!("location: {next}\r\n"), b"moved"))
    })
    .await;
    (address, requests)
}

async fn run(
    address: SocketAddr,
    method: &str,
    secrets: &SecretValues,
) -> Result<RunResult, ResolveError> {
    let fields = json!({"method": method, "redirects": "same_origin",
        "auth": {"type": "bearer", "token": "{{secrets.KEY}}"},
        "headers": {"X-Plain": "plain"}, "body": {"text": "the body"}});
    let plan = planned(&format!("http://{address}/p"), &fields);
    execute(&plan, secrets, &options()).await
}

fn secrets() -> SecretValues {
    SecretValues::from_iter([("KEY".to_owned(), SecretValue::new(KEY))])
}

#[tokio::test]
async fn method_and_body_follow_the_status() {
    for (status, method, then) in [
        ("301 M", "GET", "GET"),
        ("301 M", "POST", "GET "),
        ("302 F", "POST", "GET "),
        ("302 F", "PUT", "PUT"),
        ("303 S", "POST", "GET "),
        ("303 S", "DELETE", "GET "),
        ("307 T", "POST", "POST"),
        ("308 P", "PATCH", "PATCH"),
    ] {
        let (address, requests) = redirecting(status, "next?a=1#there").await;
        let result = run(address, method, &secrets()).await.unwrap();
        assert_eq!(
            (result.http_status, result.output.as_slice()),
            (200, b"arrived".as_slice())
        );
        let requests = requests.lock().unwrap().clone();
        assert_eq!(requests.len(), 2, "{requests:?}");
        let second = requests[1].to_lowercase();
        let line = format!("{} /next?a=1 http/1.1\r\n", then.trim().to_lowercase());
        assert!(second.starts_with(&line), "{status} {method}: {second}");
        assert!(
            second.contains(&format!("authorization: bearer {KEY}\r\n")),
            "{second}"
        );
        assert!(second.contains("x-plain: plain\r\n"), "{second}");
        // If the method changes, the body and its headers are dropped.
        let gone = then.ends_with(' ');
        assert_eq!(!second.contains("the body"), gone, "{second}");
        assert_eq!(!second.contains("content-type"), gone, "{second}");
    }
}

#[tokio::test]
async fn another_origin_is_not_asked() {
    let (other, asked) = redirecting("200 OK", "").await;
    let name = format!("http://localhost:{}/?q=hidden", other.port());
    for (location, says) in [
        (format!("http://{other}/?q=hidden"), "another port"),
        (format!("//{other}/?q=hidden"), "another port"),
        (name, "another host"),
        ("https://127.0.0.1/?q=hidden".to_owned(), "another scheme"),
        ("ftp://127.0.0.1/?q=hidden".to_owned(), "another scheme"),
        ("//[::1]/?q=hidden".to_owned(), "another host"),
        ("\\\\evil.example/?q=hidden".to_owned(), "another host"),
        (format!("https://{KEY}.example/?q=hidden"), "another scheme"),
        ("http://[hidden/".to_owned(), "not a URL"),
        (
            "/a\r\nlocation: /b".to_owned(),
            "several `Location` headers",
        ),
        (format!("/{KEY}?q=hidden"), "value of a secret"),
        (format!("/?q=hidden&k={KEY}"), "value of a secret"),
    ] {
        let (address, requests) = redirecting("307 T", &location).await;
        let error = run(address, "POST", &secrets()).await.unwrap_err();
        assert_eq!(
            (error.code(), error.block()),
            ("redirect_blocked", Some("b")),
            "{location}: {error}"
        );
        assert!(error.detail().contains(says), "{location}: {error}");
        assert!(error.host().unwrap().starts_with("127.0.0.1"), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hidden") && !shown.contains(KEY), "{shown}");
        assert_eq!(requests.lock().unwrap().len(), 1);
    }
    assert_eq!(*asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn credentials_in_a_target_are_refused() {
    let location = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&location);
    let address = serve(move |_| {
        let line = format!("location: {}\r\n", shared.lock().unwrap());
        Some(response("302 Found", &line, b""))
    })
    .await;
    *location.lock().unwrap() = format!("http://user:word@{address}/");
    let error = run(address, "GET", &secrets()).await.unwrap_err();
    assert_eq!(error.code(), "redirect_blocked");
    assert!(error.detail().contains("credentials"), "{error}");
    assert!(!error.to_string().contains("word"), "{error}");
}

#[tokio::test]
async fn a_value_may_stay_in_the_query_where_the_secret_allows_it() {
    let (address, requests) = redirecting("302 F", &format!("/next?k={KEY}")).await;
    let mut value = SecretValue::new(KEY);
    value.allow_query = true;
    let secrets = SecretValues::from_iter([("KEY".to_owned(), value)]);
    run(address, "GET", &secrets).await.unwrap();
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn redirects_have_an_end() {
    for (location, count) in [("/p", 6), ("/loop/1", 6)] {
        let (address, requests) = redirecting("302 F", location).await;
        let error = run(address, "GET", &secrets()).await.unwrap_err();
        assert_eq!(
            (error.code(), error.host()),
            ("redirect_blocked", Some(address.to_string().as_str()))
        );
        assert!(error.detail().contains("more than 5"), "{error}");
        assert_eq!(requests.lock().unwrap().len(), count);
    }
}

#[tokio::test]
async fn what_names_no_target_is_an_outcome() {
    for (status, headers) in [
        ("302 Found", ""),
        ("304 Not Modified", "location: /x\r\n"),
        ("300 Choices", "location: /x\r\n"),
        ("201 Created", "location: http://evil.example/\r\n"),
    ] {
        let address = serve(move |_| Some(response(status, headers, b""))).await;
        let result = run(address, "GET", &secrets()).await.unwrap();
        assert_eq!(result.http_status.to_string(), status[..3]);
    }
}

#[tokio::test]
async fn a_hop_of_a_name_goes_to_its_checked_addresses() {
    let (address, requests) = redirecting("302 F", "/next").await;
    let plan = planned(
        &format!("http://localhost:{}/p", address.port()),
        &json!({"redirects": "same_origin"}),
    );
    let mut options = options();
    options.allow_address.push("::1".parse().unwrap());
    let result = execute(&plan, &SecretValues::new(), &options)
        .await
        .unwrap();
    assert_eq!(result.output, b"arrived");
    assert_eq!(requests.lock().unwrap().len(), 2);
}
