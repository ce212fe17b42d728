//! `keyroll init` in the home of a ledger that exists.

use std::fs;
use std::path::Path;

use keyroll_tests::harness::Run;

use super::{Printed, all, print};

#[test]
fn the_credentials_of_an_existing_ledger_are_replaced_after_a_question() {
    let mut printed = Printed::start(1);
    printed.init();
    let service = printed.serve();
    printed.is_usable();
    drop(service);
    let out = printed.out();
    let again = [
        "--json",
        "init",
        "--credentials",
        &printed.home.path("nats"),
    ];
    // The same ones are no change, and keys are never replaced.
    let same = printed.keyroll(&again).run().code(5);
    same.error_code("conflict");

    // A new scoped key, as the page says.
    let seed = |path: &Path| fs::read_to_string(path).expect("a seed").trim().to_owned();
    let old = seed(&out.join("clients.nk"));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = fs::read_to_string(page).expect("the page");
    let line = page.lines().find(|line| line.contains("/^clients_signing"));
    let line = line.expect("a command").trim();
    let line = line.replace("nats/", &format!("{}/", out.display()));
    let edited = Run::program("/bin/sh", "the command").args(["-ec", &line]);
    edited.env("PATH", "/usr/bin:/bin").run().code(0);
    let options = printed.options.clone();
    let asked = print(&printed.home, &options).run().code(2);
    asked.stderr_has("clients.nk differs").lacks(&old);
    print(&printed.home, &options).args(["--yes"]).run().code(0);
    printed.stop_nats();
    printed.serve_nats("keyroll-1.conf");
    // The operator's credentials stay offline.
    fs::remove_file(out.join("operator.creds")).expect("removed");

    let home = printed.home.data().join("nats");
    let before = all(&home);
    let refused = printed.keyroll(&again).run().code(2);
    refused
        .stderr_has("nats/clients.nk differs")
        .lacks("service.creds differs");
    assert_eq!(all(&home), before);
    let done = printed.keyroll(&again).args(["--yes"]).run().code(0).json();
    assert_eq!(done["replaced"], serde_json::json!(["nats/clients.nk"]));
    assert_eq!(
        seed(&home.join("clients.nk")),
        seed(&out.join("clients.nk"))
    );
    let _service = printed.serve();
    let reveal = printed.keyroll(&["secret", "reveal", "A"]).run().code(0);
    reveal.stdout("the value");
}

/// `init` does not say "exists already" when NATS is the reason.
#[test]
fn init_in_a_ledgers_home_names_the_real_error() {
    let mut printed = Printed::start(1);
    printed.init();
    let user = |name: &str| printed.home.path(&format!("nats/{name}.creds"));
    let (operator, responder) = (user("operator"), user("responder"));
    let wrong = ["init", "--operator-creds", &responder];
    let refused = printed.keyroll(&wrong).run().code(1);
    refused
        .stderr_has("stream KEYROLL_LOG")
        .lacks("exists already");
    printed.stop_nats();
    let silent = ["init", "--operator-creds", &operator];
    let refused = printed.keyroll(&silent).run().code(7);
    refused.lacks("exists already");
}

/// A ledger of an earlier program has no stream for tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_the_stream_of_tokens_is_completed_by_init() {
    let printed = Printed::start(1);
    printed.init();
    let creds = printed.out().join("operator.creds");
    let operator = keyroll_client::connect_nats(printed.url(), Some(&creds)).await;
    let subject = "$JS.API.STREAM.DELETE.KEYROLL_TOKENS";
    let deleted = operator
        .expect("connected")
        .request(subject, "".into())
        .await;
    deleted.expect("deleted");
    let serve = printed.keyroll(&["serve"]).run().code(1);
    serve
        .stderr_has("KEYROLL_TOKENS is missing")
        .stderr_has("keyroll init");
    let creds = creds.display().to_string();
    let complete = ["--json", "init", "--operator-creds", &creds];
    let added = printed.keyroll(&complete).run().code(0).json();
    assert_eq!(added["added"][0], "KEYROLL_TOKENS");
    let again = printed.keyroll(&complete).run().code(5);
    again.error_code("conflict");
    let _service = printed.serve();
    printed.is_usable();
}

/// A ledger of an earlier program: its streams lie under an account that is named LEDGER, and its service has
/// passwords in URLs.
fn as_before(printed: &mut Printed) {
    printed.stop_nats();
    let store = printed.home.scratch().join("store-0/jetstream");
    let account = fs::read_dir(&store).expect("accounts").flatten();
    let account = account.map(|entry| entry.path());
    let account: Vec<_> = account
        .filter(|path| path.join("streams").is_dir())
        .collect();
    fs::rename(&account[0], store.join("LEDGER")).expect("renamed");
    let path = printed.home.data().join("serve.toml");
    let text = fs::read_to_string(&path).expect("a file");
    let kept = text
        .lines()
        .filter(|line| !line.contains("nats/") && !line.starts_with("nats_url"));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    let urls = "ledger_url = \"nats://service:hunter2@h\"\nclient_account_url = \"nats://responder:hunter2@h\"\n";
    fs::write(&path, format!("{urls}{kept}")).expect("written");
    fs::remove_dir_all(printed.home.data().join("nats")).expect("removed");
}

#[test]
fn a_ledger_from_before_on_one_server_moves_as_the_page_says() {
    let mut printed = Printed::start(1);
    printed.init();
    let service = printed.serve();
    printed.is_usable();
    drop(service);
    as_before(&mut printed);

    let out = printed.out().display().to_string();
    let again = ["init", "--credentials", &out];
    printed.serve_nats("keyroll-1.conf");
    let refused = printed.keyroll(&["serve"]).run().code(2);
    refused.stderr_has("earlier version").lacks("hunter2");
    let refused = printed.keyroll(&again).run().code(1);
    refused.stderr_has("move them first");
    printed.stop_nats();

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, script) = page.split_once("```sh\n# Move").expect("the script");
    let (script, _) = script.split_once("```").expect("its end");
    let script = format!("# Move{script}")
        .replace("/var/lib/nats", &printed.home.path("store-0"))
        .replace(
            "nats/keyroll-1.conf",
            &printed.home.path("nats/keyroll-1.conf"),
        );
    let moved = Run::program("/bin/sh", "the script").args(["-ec", &script]);
    moved.env("PATH", "/usr/bin:/bin").run().code(0);
    printed.serve_nats("keyroll-1.conf");
    let done = printed.keyroll(&again).run().code(0);
    done.stderr_has("credentials in place of the passwords");
    let _service = printed.serve();
    let reveal = printed.keyroll(&["secret", "reveal", "A"]).run().code(0);
    reveal.stdout("the value");
    let create = ["secret", "create", "B", "--generate"];
    printed.keyroll(&create).run().code(0);
}
