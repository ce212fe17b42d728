//! The files of a client's memory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keyroll_tests::harness::home::files;
use keyroll_tests::harness::{Dev, Run, programs};
use serde_json::json;

use super::{World, warnings};

/// Runs keyroll under a umask that its caller may have set.
fn under(dev: &Dev, umask: &str, home: &Path, words: &[&str]) -> Run {
    let script = format!("umask {umask}; exec \"$0\" \"$@\"");
    let run = Run::program("/bin/sh", "sh").args(["-c", &script]);
    run.arg(programs::keyroll())
        .args(words)
        .env("KEYROLL_HOME", home)
        .env("KEYROLL_NATS_URL", dev.nats_url())
        .env("KEYROLL_NATS_CREDS", dev.nats_creds())
        .env("KEYROLL_WORKSPACE", "demo")
        .in_directory(dev.home().scratch())
}

/// Every file and directory of a home that others have access to, with its mode.
fn open_to_others(home: &Path) -> Vec<String> {
    let mut paths = files(home);
    let directories: Vec<_> = paths
        .iter()
        .filter_map(|path| path.parent().map(Path::to_path_buf))
        .collect();
    paths.extend(directories);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let wrong = |path: &&std::path::PathBuf| {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        mode(path) != expected
    };
    let wrong = paths.iter().filter(wrong);
    wrong
        .map(|path| format!("{} {:o}", path.display(), mode(path)))
        .collect()
}

/// Creates every file that a client ever keeps.
fn use_everything(dev: &Dev, umask: &str, home: &Path) {
    let run = |words: &[&str]| under(dev, umask, home, words);
    run(&["identity", "new"]).run().code(0);
    let shown = run(&["identity", "show"]).run().code(0).text();
    let key = shown.split_whitespace().next().expect("a key").to_owned();
    let name = format!("user{umask}");
    let add = ["member", "add", &name, &key, "--role", "owner"];
    dev.keyroll(add).run().code(0);
    let secret = format!("S{umask}");
    let create = run(&["secret", "create", &secret, "--stdin"]);
    create.stdin("the-value").run().code(0);
    run(&["secret", "reveal", &secret]).run().code(0);
    // An interpreter creates its own files, and must be able to.
    if umask != "777" {
        let code = format!("result = len(secrets.{secret})");
        let block = json!({"name": "b", "type": "python", "code": code});
        let text = json!({"workflow": "w", "blocks": [block]}).to_string();
        let file = dev.home().write(&format!("{umask}.json"), text);
        run(&["block", "run", &file]).run().code(0);
    }
}

#[test]
fn files_of_a_client_are_its_owners_alone_whatever_the_umask() {
    let dev = Dev::start();
    for umask in ["000", "002", "022", "077", "777"] {
        let home = dev.home().scratch().join(format!("home-{umask}"));
        use_everything(&dev, umask, &home);
        assert_eq!(open_to_others(&home), Vec::<String>::new(), "umask {umask}");
        let names = files(&home.join("seen"));
        let name = |path: &std::path::PathBuf| path.file_name().map(std::ffi::OsStr::to_owned);
        let names: Vec<_> = names.iter().filter_map(name).collect();
        assert_eq!(names, [".lock", "demo", "demo.secrets"], "umask {umask}");
        assert!(home.join("config.toml").is_file() && home.join("identity.pem").is_file());
    }
}

#[test]
fn accepted_evidence_is_its_owners_alone() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let home = dev.stop();
    home.save("jetstream", "earlier");
    let dev = Dev::start_in(home);
    dev.keyroll(["secret", "edit", "A", "--stdin"])
        .stdin("newer")
        .run()
        .code(0);
    let home = dev.stop();
    home.put_back("earlier", "jetstream");
    home.remove("ledger.redb");
    let dev = Dev::start_in(home);
    let data = dev.home().data();
    under(&dev, "000", &data, &["secret", "reveal", "A"])
        .run()
        .code(6);
    under(&dev, "000", &data, &["audit", "accept"])
        .run()
        .code(0);
    under(&dev, "000", &data, &["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    for (directory, count) in [("seen", 3), ("evidence", 1)] {
        let path = data.join(directory);
        assert_eq!(files(&path).len(), count);
        assert_eq!(open_to_others(&path), Vec::<String>::new());
    }
}

/// Files as an earlier keyroll left them.
#[test]
fn what_others_could_read_is_closed_to_them() {
    let world = World::new();
    world.create("Key", "first");
    let (facts, checkpoint) = (world.memory("demo.secrets"), world.memory("demo"));
    let directory = facts.parent().expect("a directory").to_path_buf();
    let above = directory.parent().expect("seen").to_path_buf();
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("opened");
    };
    open(&above, 0o777);
    open(&directory, 0o755);
    open(&checkpoint, 0o644);
    open(&facts, 0o666);
    world.edit("Key", "second");
    assert_eq!(open_to_others(&above), Vec::<String>::new());
    world.reveals("Key", "second");
}

#[test]
fn a_damaged_memory_is_named_before_anything_is_recorded() {
    let world = World::new();
    world.create("Key", "first");
    let facts = world.memory("demo.secrets");
    let whole = fs::read(&facts).expect("facts");
    let before = world.entries();
    let large = vec![b'x'; 17 * 1024 * 1024];
    for bad in [
        b"".as_slice(),
        b"nothing",
        &whole[..whole.len() - 3],
        &large,
    ] {
        fs::write(&facts, bad).expect("written");
        for words in [
            &["secret", "reveal", "Key"] as &[&str],
            &["run", "--only", "Key", "--", "true"],
            &["secret", "list"],
        ] {
            let done = world.cluster.keyroll(words).run().code(1).stdout("");
            let path = facts.to_str().expect("a path");
            done.lacks("first").stderr_has(path);
        }
    }
    assert_eq!(world.entries(), before);
    // Without the file, the client trusts anew.
    fs::rename(&facts, world.home().path("away")).expect("moved");
    world.reveals("Key", "first");
}

#[test]
fn many_processes_remember_together() {
    let world = World::new();
    let names: Vec<String> = (0..6).map(|number| format!("S{number}")).collect();
    for name in &names {
        world.create(name, "first");
    }
    // Each edits its own secret and reads all, at once.
    let edits: Vec<_> = names
        .iter()
        .map(|name| {
            let edit = world.cluster.keyroll(["secret", "edit", name, "--stdin"]);
            edit.stdin("second").start()
        })
        .collect();
    let exports: Vec<_> = (0..4)
        .map(|_| world.keyroll(["export", "--format", "json"]).start())
        .collect();
    for running in edits {
        running.wait().code(0);
    }
    for running in exports {
        running.wait().code(0).quiet();
    }
    let text = fs::read_to_string(world.memory("demo.secrets")).expect("facts");
    assert_eq!(text.matches(" 2@").count(), names.len(), "{text}");
    // Of many processes that see a secret created again, one warns.
    world
        .elsewhere(["secret", "delete", "S0", "--yes"])
        .run()
        .code(0);
    let anew = world.elsewhere(["secret", "create", "S0", "--stdin"]);
    anew.stdin("third").run().code(0);
    let reveals: Vec<_> = (0..6)
        .map(|_| world.keyroll(["secret", "reveal", "S0", "--json"]).start())
        .collect();
    let told: usize = reveals
        .into_iter()
        .map(|running| warnings(&running.wait().code(0)).len())
        .sum();
    assert_eq!(told, 1);
}
