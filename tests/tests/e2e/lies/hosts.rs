//! A secret without the hosts that it is bound to.

use keyroll_core::Version;
use keyroll_tests::harness::dishonest::truth;
use keyroll_tests::harness::http::{ALLOW, Echo};
use keyroll_wire::reply::Answer;
use serde_json::json;

use super::{World, warnings};

fn api(world: &World, url: &str) -> String {
    let block = json!({"name": "b", "type": "external_api", "method": "GET", "url": url,
        "headers": {"X-Key": "{{secrets.Key}}"}});
    let text = json!({"workflow": "w", "blocks": [block]}).to_string();
    world.home().write("api.json", text)
}

fn run_block(world: &World, file: &str) -> keyroll_tests::harness::Done {
    let words = ["block", "run", file];
    world.cluster.keyroll(words.iter().chain(&ALLOW)).run()
}

/// If only the answer to a query lifts the hosts, the entry still has them, and they count.
#[test]
fn hosts_are_those_of_the_entry() {
    let world = World::new();
    let server = Echo::start();
    world.create_for("api.example.com", "Key", "bound-value");
    let file = api(&world, &server.url("/"));
    run_block(&world, &file)
        .code(4)
        .error_code("host_not_allowed");
    let before = world.entries();
    world.ledger.lie_in_answers(|answer| {
        if let Answer::SecretShow(row) = answer {
            row.hosts.clear();
        }
    });
    let run = run_block(&world, &file).code(4);
    run.error_code("host_not_allowed").lacks("bound-value");
    assert_eq!(server.requests(), Vec::<String>::new());
    // A Python block with an open network could send the value anywhere, so it does not get it.
    let code = json!({"name": "b", "type": "python", "code": "result = secrets.Key + ''"});
    let text = json!({"workflow": "w", "blocks": [code]}).to_string();
    let python = world.home().write("python.json", text);
    for open in ["--allow-network", "--sandbox=off"] {
        let run = world.run(["block", "run", &python, open]);
        run.code(4)
            .error_code("host_not_allowed")
            .lacks("bound-value");
    }
    assert!(
        world.entries() > before,
        "it was tried with the entry's hosts"
    );
}

/// If the entry lifts them as well, the person is warned, once.
#[test]
fn lifted_hosts_are_told_once() {
    let world = World::new();
    let server = Echo::start();
    world.create_for("api.example.com", "Key", "bound-value");
    let file = api(&world, &server.url("/"));
    let lift = |world: &World| {
        world.ledger.lie_in_answers(|answer| {
            if let Answer::SecretShow(row) = answer {
                row.hosts.clear();
            }
        });
        world
            .ledger
            .lie_in_reveals(|_, revealed| revealed[0].hosts.clear());
    };
    lift(&world);
    let run = run_block(&world, &file).code(0);
    let [warning] = warnings(&run).try_into().expect("one warning");
    let words = "Key may be sent to any host now, where it was bound to api.example.com before";
    let warning: String = warning;
    assert!(warning.starts_with(words), "{warning}");
    run.stderr_has(words);
    let again = run_block(&world, &file).code(0).quiet();
    assert_eq!(warnings(&again), Vec::<String>::new());
    // Binding it again is accepted, and the next lie is compared with that.
    world.ledger.be_honest();
    world.reveals("Key", "bound-value");
    lift(&world);
    let reveal = world.run(["secret", "reveal", "Key"]).code(0);
    reveal.stdout("bound-value").stderr_has(words);
}

/// Hosts are compared with those of the entry, even for a past version.
#[test]
fn an_old_version_with_lifted_hosts_is_told() {
    let world = World::new();
    world.create_for("*.example.com", "Key", "first");
    world.edit("Key", "second");
    // By another client: more hosts, and then fewer.
    let describe = |host: &str| {
        let words = ["secret", "describe", "Key", "--allow-host", host];
        world.elsewhere(words).run().code(0);
    };
    describe("a.example.com");
    world.reveals("Key", "second");
    describe("*.example.com");
    let first = world
        .run(["secret", "reveal", "Key", "--version", "1"])
        .code(0);
    first
        .stdout("first")
        .stderr_has("may be sent to *.example.com now");
    world.reveals("Key", "second");
    world.ledger.lie_in_reveals(|state, revealed| {
        *revealed = vec![truth(state, "Key", 1)];
        revealed[0].version = Version(1);
        revealed[0].hosts.clear();
    });
    let first = world
        .run(["secret", "reveal", "Key", "--version", "1"])
        .code(0);
    first.stderr_has("may be sent to any host now");
    let second = world.run(["secret", "reveal", "Key"]);
    second.code(6).error_code("rollback").lacks("first");
}
