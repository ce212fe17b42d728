//! An old version, returned as the current one.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use keyroll_core::{Event, Version};
use keyroll_tests::harness::browse::Browse;
use keyroll_tests::harness::dishonest::truth;
use keyroll_tests::harness::http::Echo;
use keyroll_tests::harness::{Done, programs};
use keyroll_wire::reply::Answer;
use serde_json::json;

use super::{World, warnings};

const OLD: &str = "old-value-of-yesterday";
const NEW: &str = "new-value-of-today";

/// A secret at version 2, and a ledger that returns version 1 for it.
fn gives_old_values() -> World {
    let world = World::new();
    world.create("API_Key", OLD);
    world.edit("API_Key", NEW);
    lie(&world);
    world
}

fn lie(world: &World) {
    world.ledger.lie_in_reveals(|state, revealed| {
        for one in revealed.iter_mut().filter(|one| one.version == Version(2)) {
            *one = truth(state, one.name.as_str(), 1);
        }
    });
}

#[track_caller]
fn is_rollback(done: Done) -> Done {
    let done = done.code(6).error_code("rollback").lacks(OLD).stdout("");
    done.stderr_has("version 1 of API_Key")
}

fn blocks(world: &World, url: &str) -> [String; 2] {
    let api = json!({"name": "b", "type": "external_api", "method": "GET", "url": url,
        "headers": {"X-Key": "{{secrets.API_Key}}"}});
    let code = "result = 'long' if len(secrets.API_Key) > 1 else 'short'";
    let python = json!({"name": "b", "type": "python", "code": code});
    [("api.json", api), ("python.json", python)].map(|(file, block)| {
        let text = json!({"workflow": "w", "blocks": [block]}).to_string();
        world.home().write(file, text)
    })
}

#[test]
fn no_command_takes_an_old_value_for_the_current_one() {
    let world = gives_old_values();
    let server = Echo::start();
    let [api, python] = blocks(&world, &server.url("/"));
    let out = world.home().path("export.json");
    is_rollback(world.run(["secret", "reveal", "API_Key"]));
    is_rollback(world.run(["secret", "reveal", "API_Key", "--json"]));
    is_rollback(world.run(["run", "--", "sh", "-c", "echo started $API_Key"]));
    is_rollback(world.run(["run", "--only", "API_Key", "--no-masking", "--", "env"]));
    is_rollback(world.run(["export", "--format", "json"]));
    is_rollback(world.run(["export", "--out", &out]));
    assert!(!std::path::Path::new(&out).exists());
    let allow = [
        "--allow-address",
        "127.0.0.0/8",
        "--allow-http",
        "127.0.0.1",
    ];
    let [a, b, c, d] = allow;
    is_rollback(world.run(["block", "run", &api, a, b, c, d]));
    assert_eq!(server.requests(), Vec::<String>::new());
    is_rollback(world.run(["block", "run", &python]));
    let checked = world.run(["block", "check", &api, "--values"]);
    checked.code(6).lacks(OLD).stderr_has("(rollback)");

    // A version requested by its number is no lie, and changes no memory.
    let first = ["secret", "reveal", "API_Key", "--version", "1"];
    world.run(first).code(0).stdout(OLD).quiet();
    is_rollback(world.run(["secret", "reveal", "API_Key"]));
    world.ledger.be_honest();
    world.reveals("API_Key", NEW);
    world.run(first).code(0).stdout(OLD).quiet();
    // The same holds for a rollback by its owner: it makes a version 3.
    let back = ["secret", "rollback", "API_Key", "--to", "1"];
    world.run(back).code(0);
    world.reveals("API_Key", OLD);

    // The log holds the lie: deciding the log again finds it.
    let report = world.run(["audit", "verify", "--json"]).code(0).json();
    assert_eq!(report["ok"], true, "{report}");
    let report = world.run(["audit", "verify", "--full", "--json"]).code(6);
    let report = report.json();
    let problems = report["problems"].as_array().expect("problems");
    assert!(problems.len() >= 8, "{report}");
}

/// A block that catches the error and continues has no value, and its run still fails.
#[test]
fn a_python_block_cannot_hush_it_up() {
    let world = gives_old_values();
    let code = "
try:
    got = secrets.API_Key
except Exception:
    got = None
result = {'got': got}
";
    let block = json!({"name": "b", "type": "python", "code": code});
    let text = json!({"workflow": "w", "blocks": [block]}).to_string();
    let file = world.home().write("python.json", text);
    let run = world.run(["block", "run", &file, "--json"]);
    let run = run.code(6).lacks(OLD).stdout_has("{\"got\":null}");
    assert!(run.text().contains("\"status\":\"ok\""));
    assert!(String::from_utf8_lossy(run.error_bytes()).contains("\"rollback\""));
}

/// A client learns a secret's version by reading it, by writing it, or from another process.
#[test]
fn whoever_has_read_a_version_expects_no_older_one() {
    let world = World::new();
    world.create("API_Key", OLD);
    let elsewhere = || world.elsewhere(["secret", "reveal", "API_Key"]).run();
    elsewhere().code(0).stdout(OLD);
    world.edit("API_Key", NEW);
    lie(&world);
    // The other machine has never seen version 2, so the lie is a valid answer to it.
    elsewhere().code(0).stdout(OLD);
    is_rollback(world.run(["secret", "reveal", "API_Key"]));
    world.ledger.be_honest();
    elsewhere().code(0).stdout(NEW);
    lie(&world);
    is_rollback(elsewhere());
    // Under a name in another case, or after a rename, it is the same secret.
    world.ledger.be_honest();
    world
        .run(["secret", "rename", "API_Key", "api_KEY"])
        .code(0);
    lie(&world);
    let renamed = world.run(["secret", "reveal", "api_KEY"]);
    renamed.code(6).error_code("rollback").lacks(OLD);
    // Of several values none is released.
    world.ledger.be_honest();
    world.create("Other", "another-value");
    lie(&world);
    let all = world.run(["export", "--format", "json"]);
    all.code(6).stdout("").lacks("another-value");
}

#[test]
fn an_old_version_in_a_list_is_a_lie_as_well() {
    let world = World::new();
    world.create("API_Key", OLD);
    world.edit("API_Key", NEW);
    let moment = world.entries().to_string();
    world.ledger.lie_in_answers(|answer| match answer {
        Answer::SecretShow(row) => row.version = Version(1),
        Answer::SecretList(page) => page
            .rows
            .iter_mut()
            .for_each(|row| row.version = Version(1)),
        _ => {}
    });
    let refused = [
        world.run(["secret", "show", "API_Key"]),
        world.run(["secret", "list"]),
        world.run(["run", "--", "true"]),
        // Otherwise it would seal the value for version 2 again.
        world
            .keyroll(["secret", "edit", "API_Key", "--stdin"])
            .stdin("newest")
            .run(),
    ];
    for done in refused {
        done.code(6).error_code("rollback");
    }
    // At that point in the past it was true.
    world.run(["secret", "list", "--at", &moment]).code(0);
}

/// The value is stored, but the entry records another result of the edit.
#[test]
fn an_entry_that_does_not_fit_its_command_is_not_believed() {
    let world = World::new();
    world.create("API_Key", OLD);
    let nothing = keyroll_core::command::Nothing {};
    let lies: [fn(&mut Vec<Event>); 4] = [
        |events| events[0] = Event::SecretDeleted(keyroll_core::command::Nothing {}),
        |events| {
            if let Event::SecretEdited(stored) = &mut events[0] {
                stored.place.0[0] ^= 1;
            }
        },
        |events| {
            if let Event::SecretEdited(stored) = &mut events[0] {
                stored.item = 1;
            }
        },
        |events| events.push(events[0].clone()),
    ];
    for lie in lies {
        world.ledger.lie_in_entries(move |_, _, events| lie(events));
        let edit = world.keyroll(["secret", "edit", "API_Key", "--stdin"]);
        let edit = edit.stdin(NEW).run().code(6).error_code("corrupt");
        edit.stderr_has("cannot result from secret.edit");
        world.ledger.be_honest();
    }
    world.ledger.lie_in_entries(move |_, _, events| {
        if matches!(events[0], Event::SecretDeleted(_)) {
            events[0] = Event::SecretRestored(nothing);
        }
    });
    let delete = world.run(["secret", "delete", "API_Key", "--yes"]);
    delete.code(6).error_code("corrupt");
}

#[test]
fn a_recovery_that_was_accepted_begins_anew() {
    let world = World::new();
    world.create("API_Key", OLD);
    world.edit("API_Key", NEW);
    // The ledger really holds version 2, so there is nothing to accept.
    let nothing = world.run(["audit", "accept"]).code(0);
    nothing.stderr_has("nothing to accept");
    lie(&world);
    world
        .run(["audit", "accept"])
        .code(0)
        .stderr_has("nothing to accept");
    is_rollback(world.run(["secret", "reveal", "API_Key"]));
    // A memory of more than the log holds, as after a recovery elsewhere.
    let facts = world.memory("demo.secrets");
    let text = std::fs::read_to_string(&facts).expect("facts");
    assert!(text.contains(" 2@"), "{text}");
    std::fs::write(&facts, text.replace(" 2@", " 7@")).expect("written");
    world.ledger.be_honest();
    world
        .run(["secret", "reveal", "API_Key"])
        .code(6)
        .error_code("rollback")
        .lacks(NEW);
    let dry = world
        .run(["audit", "accept", "--dry-run", "--json"])
        .code(0)
        .json();
    assert_eq!(dry["forgotten"], 1, "{dry}");
    world.run(["secret", "reveal", "API_Key"]).code(6);
    let accepted = world.run(["audit", "accept"]).code(0);
    accepted.stderr_has("the trusted versions of 1 secrets");
    world.reveals("API_Key", NEW);
    let evidence = world.home().data().join("evidence");
    let mut kept = std::fs::read_dir(evidence).expect("evidence").flatten();
    let text = std::fs::read_to_string(kept.next().expect("a file").path()).expect("read");
    assert!(
        text.contains("keyroll/") && text.contains("name API_Key "),
        "{text}"
    );
    assert!(kept.next().is_none());
}

/// A person's console, which ends with the test.
struct Console {
    child: Child,
    link: String,
}

impl Console {
    fn start(world: &World) -> Self {
        let mut child = Command::new(programs::keyroll())
            .args(["console", "--json"])
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("KEYROLL_HOME", world.home().data())
            .env("KEYROLL_NATS_URL", world.cluster.nats_url(0))
            .env("KEYROLL_NATS_CREDS", world.cluster.client_creds(0))
            .env("KEYROLL_WORKSPACE", "demo")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let link = ready["console_url"].as_str().expect("a link").to_owned();
        Self { child, link }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_console_shows_no_old_value() {
    let world = World::new();
    world.create("API_Key", OLD);
    world.create("Free", "free-value");
    let console = Console::start(&world);
    let mut window = Browse::open(&console.link);
    let shown = window.post("/w/demo/secrets/API_Key/view", &[]);
    assert!(
        shown.status == 200 && shown.body.contains(OLD),
        "{}",
        shown.body
    );
    // The console knows everything that the command line learns meanwhile.
    world.edit("API_Key", NEW);
    lie(&world);
    let shown = window.post("/w/demo/secrets/API_Key/view", &[]);
    assert_eq!(shown.status, 502, "{}", shown.body);
    assert!(!shown.body.contains(OLD), "{}", shown.body);
    let words = "gives version 1 of API_Key as the current one";
    assert!(shown.body.contains(words), "{}", shown.body);
    // Until the log is verified again, no value is shown at all.
    let other = window.post("/w/demo/secrets/Free/view", &[]);
    assert!(
        other.status == 409 && !other.body.contains("free-value"),
        "{}",
        other.body
    );
}

/// The console shows its owner's warnings beside the value.
#[test]
fn a_console_tells_of_another_secret() {
    let world = World::new();
    world.create("API_Key", OLD);
    world.run(["secret", "delete", "API_Key", "--yes"]).code(0);
    let anew = world.elsewhere(["secret", "create", "API_Key", "--stdin"]);
    anew.stdin(NEW).run().code(0);
    let console = Console::start(&world);
    let mut window = Browse::open(&console.link);
    let shown = window.post("/w/demo/secrets/API_Key/view", &[]);
    assert!(
        shown.status == 200 && shown.body.contains(NEW),
        "{}",
        shown.body
    );
    assert!(
        shown.body.contains("API_Key is another secret than before"),
        "{}",
        shown.body
    );
    let shown = window.post("/w/demo/secrets/API_Key/view", &[]);
    assert!(!shown.body.contains("another secret"), "{}", shown.body);
    let reveal = world.run(["secret", "reveal", "API_Key", "--json"]).code(0);
    assert_eq!(warnings(&reveal), Vec::<String>::new());
}
