//! The console over plain HTTP: beside a separate service, imports, and the size of pages.
//! Everything that needs a browser is in `tests/browser`.

use std::fmt::Write as _;

use keyroll_core::roles::{Permission, Role, allows};
use keyroll_tests::harness::browse::Browse;
use keyroll_tests::harness::{Cluster, Dev};
use serde_json::json;

/// Bytes of a first page, whatever the workspace holds.
const PAGE_BYTES: usize = 150 * 1024;

fn origin(dev: &Dev) -> String {
    let link = dev.ready()["console_url"].as_str().expect("a link");
    let (origin, _) = link.split_once("/enter").expect("a one-time link");
    origin.to_owned()
}

fn login(dev: &Dev) -> Browse {
    let words = ["--json", "console", "login", &origin(dev)];
    let made = dev.keyroll(words).run().code(0).json();
    Browse::open(made["url"].as_str().expect("a link"))
}

#[test]
fn a_service_serves_a_console_to_members_who_sign_in() {
    let cluster = Cluster::start(1, 1);
    let more = ["--console", "127.0.0.1:0"];
    let service = cluster.service(0).args(more).ready();
    let ready = service.ready_line();
    let url = ready["console_url"].as_str().expect("a URL").to_owned();
    let mut nobody = Browse::new(&url);
    let page = nobody.get("/w/demo/secrets");
    assert_eq!(page.status, 401);
    assert!(page.body.contains("console login"), "{}", page.body);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-frame-options"), Some("deny"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    assert_eq!(nobody.get_as("/", "evil.example").status, 421);

    cluster
        .keyroll(["workspace", "create", "demo"])
        .run()
        .code(0);
    let words = ["--json", "console", "login", &url];
    let made = cluster.keyroll(words).run().code(0).json();
    let link = made["url"].as_str().expect("a link");
    let mut window = Browse::open(link);
    let (_, token) = link.split_once("token=").expect("a token");
    assert_eq!(nobody.post("/enter", &[("token", token)]).status, 401);
    assert_eq!(window.get("/").location.as_deref(), Some("/w/demo/secrets"));
    assert_eq!(window.get("/w/demo/secrets").status, 200);
    let fields = [("name", "Made_Here"), ("value", "canary-value")];
    assert_eq!(window.post("/w/demo/new", &fields).status, 303);
    assert!(window.get("/w/demo/secrets").body.contains("s-Made_Here"));
    let shown = cluster.keyroll(["secret", "reveal", "Made_Here"]).run();
    shown.code(0).stdout("canary-value");
    let filter = ["audit", "log", "--json", "--action", "secret.created"];
    let rows = cluster.keyroll(filter).run().code(0).rows();
    assert_eq!(rows[0]["sign_in_key"], made["key"]);
    assert_eq!(rows[0]["actor_name"], json!("owner"));

    // A removed member is signed out with the next request.
    let home = cluster.home().scratch().join("home-vera");
    let as_vera = |words: &[&str]| cluster.keyroll(words).env("KEYROLL_HOME", &home);
    let made = as_vera(&["identity", "new"]).run().code(0).text();
    let key = made.split(' ').next().expect("the public id");
    let add = ["member", "add", "vera", key, "--role", "viewer"];
    cluster.keyroll(add).run().code(0);
    let made = as_vera(&words).run().code(0).json();
    let mut vera = Browse::open(made["url"].as_str().expect("a link"));
    assert!(vera.get("/w/demo/secrets").body.contains("s-Made_Here"));
    let remove = ["member", "remove", "vera", "--yes"];
    cluster.keyroll(remove).run().code(0);
    let page = vera.get("/w/demo/secrets");
    assert_eq!(page.status, 401);
    assert!(
        page.body.contains("This session has ended"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("Made_Here"));
    assert_eq!(window.get("/w/demo/secrets").status, 200);
}

/// The pages offer what the role table allows, and the ledger decides by the same table.
#[test]
fn each_role_sees_and_does_in_the_console_what_the_table_says() {
    let dev = Dev::start();
    dev.create("Db_main", "canary-value");
    for role in Role::ALL {
        let who = dev.member(&format!("{}1", role.as_str()), role.as_str(), "Db_*");
        let words = ["--json", "console", "login", &origin(&dev)];
        let made = dev.keyroll_as(&who, words).run().code(0).json();
        let mut window = Browse::open(made["url"].as_str().expect("a link"));
        let page = window.get("/w/demo/secrets").body;
        for (control, permission) in [
            ("View Db_main", Permission::Reveal),
            ("Edit Db_main", Permission::Write),
        ] {
            let shown = page.contains(&format!("aria-label=\"{control}\""));
            assert_eq!(shown, allows(role, permission), "{role:?}: {control}");
        }
        let seen = window.post("/w/demo/secrets/Db_main/view", &[]);
        let reveals = allows(role, Permission::Reveal);
        assert_eq!(seen.status, if reveals { 200 } else { 403 }, "{role:?}");
        assert_eq!(seen.body.contains("canary-value"), reveals, "{role:?}");
        let name = format!("Db_{}", role.as_str());
        let made = window.post("/w/demo/new", &[("name", &name), ("value", "x")]);
        let writes = allows(role, Permission::Write);
        assert_eq!(made.status, if writes { 303 } else { 403 }, "{role:?}");
    }
    // The owner chooses among all roles, each in the words of the documentation.
    let own = dev.ready()["console_url"]
        .as_str()
        .expect("a link")
        .to_owned();
    let form = Browse::open(&own).get("/w/demo/members/add").body;
    for role in Role::ALL {
        assert!(form.contains(role.about()), "{role:?}: {form}");
    }
}

#[test]
fn invitations_are_listed_and_the_owners_own_console_revokes_them() {
    let dev = Dev::start();
    let invite = ["member", "invite", "ana", "--role", "editor"];
    let link = dev.keyroll(invite).run().code(0).text();
    let code = link.trim().split_once('#').expect("a code").1.to_owned();
    let own = dev.ready()["console_url"]
        .as_str()
        .expect("a link")
        .to_owned();
    let mut window = Browse::open(&own);
    let page = window.get("/w/demo/members").body;
    assert!(page.contains("Revoke the invitation of ana"), "{page}");
    assert!(!page.contains(&code), "the code is in the link alone");
    let listed = dev.keyroll(["member", "list", "--json"]).run().code(0);
    let listed = listed.rows();
    let key = listed[1]["invited"]["key"].as_str().expect("a key");
    let path = format!("/w/demo/members/{key}/revoke");
    // On a shared console the owner's sign-in cannot.
    let refused = login(&dev).post(&path, &[]);
    assert_eq!(refused.status, 403);
    assert!(!login(&dev).get("/w/demo/members").body.contains("Revoke"));
    assert_eq!(window.post(&path, &[]).status, 303);
    assert!(!window.get("/w/demo/members").body.contains("Invitations"));
    let listed = dev.keyroll(["member", "list", "--json"]).run().code(0);
    assert_eq!(listed.rows().len(), 1);
}

#[test]
fn a_file_is_looked_at_before_it_is_imported_and_no_page_holds_a_value() {
    let dev = Dev::start();
    dev.create("Taken", "before");
    let mut window = login(&dev);
    let mut pages = Vec::new();
    let bad = window.post(
        "/w/demo/import",
        &[("format", "dotenv"), ("text", "A=1\n9x=canary-a\n")],
    );
    assert!(
        bad.status == 422 && bad.body.contains("Line 2: "),
        "{}",
        bad.body
    );
    pages.push(bad);
    let text = "New_One=canary-a\r\nTAKEN=canary-b\r\nNew_Two='canary\r\nc'\r\n";
    let sent = window.post("/w/demo/import", &[("format", "dotenv"), ("text", text)]);
    let address = sent.location.clone().expect("a location");
    pages.push(sent);
    let before = dev.audit().len();
    let look = window.get(&address);
    for words in [
        "New_One",
        "New_Two",
        "the name is taken",
        "2 to create, 1 left out.",
    ] {
        assert!(look.body.contains(words), "{words}: {}", look.body);
    }
    pages.push(look);
    // Another session of the same person has no confirmation to make.
    let mut other = login(&dev);
    assert_eq!(other.post(&address, &[("create", "2")]).status, 404);
    // Only the confirmed import is carried out.
    dev.create("Between", "x");
    assert_eq!(window.post(&address, &[("create", "3")]).status, 422);
    // That session's sign-in is an entry, and so is what was made between.
    assert_eq!(dev.audit().len(), before + 2);
    let done = window.post(&address, &[("create", "2")]);
    assert_eq!(done.status, 303, "{}", done.body);
    pages.push(done);
    pages.push(window.get("/w/demo/secrets"));
    for page in &pages {
        assert!(!page.body.contains("canary") && !page.head.contains("canary"));
    }
    for (name, value) in [
        ("New_One", "canary-a"),
        ("New_Two", "canary\nc"),
        ("Taken", "before"),
    ] {
        dev.keyroll(["secret", "reveal", name])
            .run()
            .code(0)
            .stdout(value);
    }
    let rows = dev.audit();
    let entry_of = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row["type"] == "secret.created" && row["secrets"][0]["name"] == name);
        row.expect("a row")["index"].clone()
    };
    assert_eq!(
        entry_of("New_One"),
        entry_of("New_Two"),
        "one command for all"
    );
    assert_eq!(
        window.post(&address, &[("create", "2")]).status,
        404,
        "once"
    );
    dev.verifies();
}

#[test]
fn who_may_not_create_is_offered_no_import() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    let made = dev
        .keyroll_as(&vera, ["--json", "console", "login", &origin(&dev)])
        .run()
        .code(0)
        .json();
    let mut window = Browse::open(made["url"].as_str().expect("a link"));
    assert!(!window.get("/w/demo/secrets").body.contains("/import"));
    assert_eq!(window.get("/w/demo/import").status, 403);
    let fields = [("format", "dotenv"), ("text", "A=1\n")];
    assert_eq!(window.post("/w/demo/import", &fields).status, 403);
    assert!(login(&dev).get("/w/demo/secrets").body.contains("/import"));
}

/// `cargo test -p keyroll-tests --test e2e console::the_first_page -- --nocapture` prints figures.
#[test]
fn the_first_page_stays_small_with_five_thousand_secrets() {
    let dev = Dev::start();
    let text = (0..5_000).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "KEY_{at:05}=value-of-{at}");
        text
    });
    let file = dev.home().write("many.env", text);
    dev.import_many(&file);
    let mut window = login(&dev);
    for path in [
        "/w/demo/secrets",
        "/w/demo/secrets?q=04999",
        "/w/demo/audit",
    ] {
        let mut times: Vec<_> = (0..20).map(|_| window.get(path)).collect();
        times.sort_by_key(|page| page.took);
        let (middle, last) = (&times[10], &times[19]);
        println!(
            "{path}: {} bytes, median {:?}, slowest of 20 {:?}",
            middle.body.len(),
            middle.took,
            last.took
        );
        assert!(last.status == 200 && middle.status == 200);
        assert!(
            middle.body.len() < PAGE_BYTES,
            "{path}: {} bytes",
            middle.body.len()
        );
    }
    assert!(
        window
            .get("/w/demo/secrets?q=04999")
            .body
            .contains("s-KEY_04999")
    );
}

/// A shared console holds the key of the sign-in. It must not become an owner by that.
#[test]
fn a_console_with_an_owners_sign_in_manages_nothing() {
    let dev = Dev::start();
    dev.create("Kept", "x");
    let mallory = dev.person("mallory").key;
    let mut window = login(&dev);
    let page = window.get("/w/demo/members");
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(
        page.body.contains("keyroll -w demo member"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("members/add"), "{}", page.body);
    let fields = [
        ("name", "mallory"),
        ("key", mallory.as_str()),
        ("role", "owner"),
        ("secrets", "*"),
    ];
    let added = window.post("/w/demo/members/add", &fields);
    assert_eq!(added.status, 403, "{}", added.body);
    let rows = dev
        .keyroll(["member", "list", "--json"])
        .run()
        .code(0)
        .rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    dev.verifies();
}

#[test]
fn signing_out_closes_the_sign_in_of_the_session() {
    let dev = Dev::start();
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let open = || {
        let list = dev.keyroll(["signin", "list", "--json"]);
        list.run().code(0).rows()
    };
    let mut window = login(&dev);
    assert_eq!(window.get("/w/demo/secrets").status, 200);
    assert_eq!(open().len(), 1);
    // One sign-in serves all workspaces of its member.
    assert_eq!(window.get("/w/other/secrets").status, 200);
    let done = window.post("/sign-out", &[]);
    assert!(done.body.contains("You are signed out"), "{}", done.body);
    assert!(!done.body.contains("could not be told"), "{}", done.body);
    assert!(open().is_empty());
    for place in ["demo", "other"] {
        let log = [
            "-w",
            place,
            "audit",
            "log",
            "--json",
            "--action",
            "signin.closed",
        ];
        assert_eq!(dev.keyroll(log).run().code(0).rows().len(), 1, "{place}");
    }
}
