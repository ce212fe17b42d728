//! Signing in: following another person's link signs no one in or out.

use keyroll_client::SignInConsent;
use keyroll_core::sign_in::SignInTerms;
use keyroll_core::{Identity, Millis};
use keyroll_tests::harness::browse::{Browse, Page};
use keyroll_tests::harness::{Dev, Person};
use keyroll_wire::time::now;
use serde_json::{Value, json};

const NONE: &str = "sec-fetch-site: none";
const AUTO: &str = "data-auto";

fn origin(dev: &Dev) -> String {
    let link = dev.ready()["console_url"].as_str().expect("a link");
    let (origin, _) = link.split_once("/enter").expect("a one-time link");
    origin.to_owned()
}

/// A fresh link: its path, and its token.
fn link(dev: &Dev, who: Option<&Person>) -> (String, String) {
    let words = ["--json", "console", "login", &origin(dev)];
    let run = match who {
        None => dev.keyroll(words),
        Some(person) => dev.keyroll_as(person, words),
    };
    let made = run.run().code(0).json();
    let link = made["url"].as_str().expect("a link").to_owned();
    let (_, token) = link.split_once("token=").expect("a token");
    (format!("/enter?token={token}"), token.to_owned())
}

#[track_caller]
fn asks(page: &Page, words: &str) {
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(!page.body.contains(AUTO), "{}", page.body);
    assert!(page.body.contains(words), "{}", page.body);
}

#[test]
fn a_visit_that_somebody_else_may_have_caused_asks_first() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    let mut nobody = Browse::new(&origin(&dev));
    for led in [
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
        "sec-fetch-site: none\r\nsec-fetch-site: cross-site",
        "referer: https://evil.example/",
        "x-nothing: said",
    ] {
        let (path, token) = link(&dev, Some(&vera));
        let page = nobody.get_with(&path, led);
        asks(&page, "Sign in to this console?");
        assert!(page.body.contains(&vera.key), "{}", page.body);
        assert_eq!(nobody.cookie(), None);
        // Going back to it or reloading it is the same visit.
        asks(
            &nobody.get_with(&path, NONE),
            "Go on only if you asked for this link",
        );
        let mut vera = Browse::new(&origin(&dev));
        assert_eq!(vera.post("/enter", &[("token", &token)]).status, 303);
    }
    for own in [NONE, "sec-fetch-site: same-origin"] {
        let (path, token) = link(&dev, Some(&vera));
        let page = nobody.get_with(&path, own);
        assert!(
            page.status == 200 && page.body.contains(AUTO),
            "{}",
            page.body
        );
        let mut window = Browse::new(&origin(&dev));
        assert_eq!(window.post("/enter", &[("token", &token)]).status, 303);
        let over = nobody.get_with(&path, own);
        assert_eq!(over.status, 401);
        assert!(over.body.contains("used before or is older than a minute"));
    }
}

#[test]
fn somebody_elses_session_ends_only_by_a_yes_to_that() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    let walt = dev.member("walt", "viewer", "*");
    let (_, token) = link(&dev, None);
    let mut window = Browse::new(&origin(&dev));
    assert_eq!(window.post("/enter", &[("token", &token)]).status, 303);
    let owner = dev.owner().verifying_key().to_bytes();
    let owner = Identity(owner).to_string();
    let is_owners = |window: &mut Browse| {
        let page = window.get("/w/demo/secrets");
        assert!(
            page.status == 200 && page.body.contains(&owner),
            "{}",
            page.body
        );
    };

    let (path, token) = link(&dev, Some(&vera));
    let page = window.get_with(&path, NONE);
    asks(&page, "Sign in as somebody else?");
    assert!(page.body.contains(&vera.key) && page.body.contains(&owner));
    is_owners(&mut window);
    for instead in [
        None,
        Some(""),
        Some(vera.key.as_str()),
        Some(walt.key.as_str()),
    ] {
        let mut fields = vec![("token", token.as_str())];
        fields.extend(instead.map(|who| ("instead", who)));
        let page = window.post("/enter", &fields);
        assert_eq!(page.status, 409, "{instead:?}: {}", page.body);
        assert!(page.body.contains("Sign in as somebody else?"));
        is_owners(&mut window);
    }
    let old = window.cookie().expect("a session").to_owned();
    let fields = [("token", token.as_str()), ("instead", owner.as_str())];
    assert_eq!(window.post("/enter", &fields).status, 303);
    let page = window.get("/w/demo/secrets");
    assert!(page.body.contains(&vera.key) && !page.body.contains(&owner));
    // Everything that the cookie opened has ended with it.
    let mut nobody = Browse::new(&origin(&dev));
    let page = nobody.get_with("/w/demo/secrets", &format!("cookie: {old}"));
    assert_eq!(page.status, 401, "{}", page.body);

    // The same person signs in again without a question.
    let (path, token) = link(&dev, Some(&vera));
    assert!(window.get_with(&path, NONE).body.contains(AUTO));
    assert_eq!(window.post("/enter", &[("token", &token)]).status, 303);
    // An expired link changes nothing.
    let over = window.get_with(&path, NONE);
    assert!(
        over.status == 401 && over.body.contains("This link has expired"),
        "{}",
        over.body
    );
    assert_eq!(window.post("/enter", &[("token", &token)]).status, 401);
    assert_eq!(window.get("/w/demo/secrets").status, 200);
}

/// The messages of a program that signs someone in.
struct Login {
    window: Browse,
    dev: Dev,
}

impl Login {
    fn begin(&mut self) -> Value {
        let page = self.window.post_json("/login/begin", &json!({}));
        assert_eq!(page.status, 200, "{}", page.body);
        serde_json::from_str(&page.body).expect("what the console says first")
    }

    fn consent(&self, begun: &Value) -> Value {
        let key: Identity = serde_json::from_value(begun["key"].clone()).expect("a key");
        let from = now();
        let terms = SignInTerms {
            key,
            from,
            until: Millis(from.0 + 60_000),
            origin: origin(&self.dev).parse().expect("an origin"),
        };
        let consent = SignInConsent::by_key(&self.dev.owner(), self.dev.ledger(), terms);
        json!({"consent": consent, "state": begun["state"], "workspace": "demo"})
    }
}

#[test]
fn nobody_takes_a_sign_in_away_by_beginning_many() {
    let dev = Dev::start();
    let mut login = Login {
        window: Browse::new(&origin(&dev)),
        dev,
    };
    let begun = login.begin();
    let others: Vec<_> = (0..1_100).map(|_| login.begin()).collect();
    let finish = login.consent(&begun);
    // The state of one key does not fit another.
    let mut mixed = finish.clone();
    mixed["state"] = others[0]["state"].clone();
    assert_eq!(login.window.post_json("/login/finish", &mixed).status, 401);
    let done = login.window.post_json("/login/finish", &finish);
    assert_eq!(done.status, 200, "{}", done.body);
    let done: Value = serde_json::from_str(&done.body).expect("a link");
    Browse::open(done["url"].as_str().expect("a link"));
    let again = login.window.post_json("/login/finish", &finish);
    assert!(
        again.status == 401 && again.body.contains("begin again"),
        "{}",
        again.body
    );
    // No consent needs more.
    let long = json!({"consent": finish["consent"], "workspace": "x".repeat(20_000), "state": ""});
    assert_eq!(login.window.post_json("/login/finish", &long).status, 413);
}

#[test]
fn nobody_ends_the_sessions_of_others_by_signing_in_often() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    let (_, token) = link(&dev, Some(&vera));
    let mut hers = Browse::new(&origin(&dev));
    assert_eq!(hers.post("/enter", &[("token", &token)]).status, 303);
    let mut login = Login {
        window: Browse::new(&origin(&dev)),
        dev,
    };
    let mut windows = Vec::new();
    for _ in 0..20 {
        let begun = login.begin();
        let finish = login.consent(&begun);
        let done = login.window.post_json("/login/finish", &finish);
        let done: Value = serde_json::from_str(&done.body).expect("a link");
        windows.push(Browse::open(done["url"].as_str().expect("a link")));
    }
    let mut status = |at: usize| windows[at].get("/w/demo/secrets").status;
    // One person's sixteen latest sessions.
    assert_eq!([status(3), status(4), status(19)], [401, 200, 200]);
    assert_eq!(hers.get("/w/demo/secrets").status, 200);
}
