//! Servers, ledger and members from the files that `keyroll init --print-nats-config` writes.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use keyroll_tests::harness::home::files;
use keyroll_tests::harness::replica::Replica;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Home, Run, free_addresses, programs, tied};
use serde_json::Value;

mod present;

/// Printed files, the servers that run from them, and a home for the service.
struct Printed {
    home: Home,
    servers: Vec<Child>,
    monitoring: Vec<String>,
    options: Vec<String>,
    said: Value,
}

impl Drop for Printed {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // One that has ended is only reaped.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// The options for servers on this machine.
fn words(home: &Home, servers: usize) -> (Vec<String>, Vec<String>) {
    let mut words: Vec<String> = ["--json", "init", "--print-nats-config", "--servers"]
        .map(str::to_owned)
        .to_vec();
    words.push(servers.to_string());
    words.extend(["--out".to_owned(), home.path("nats")]);
    let mut pages = Vec::new();
    for number in 0..servers {
        let [listen, monitoring, routes] = free_addresses::<3>();
        pages.push(format!("http://{monitoring}"));
        for (option, value) in [
            ("--store-dir", home.path(&format!("store-{number}"))),
            ("--listen", listen.to_string()),
            ("--monitoring-listen", monitoring.to_string()),
            ("--cluster-listen", routes.to_string()),
        ] {
            words.extend([option.to_owned(), value]);
        }
    }
    (words, pages)
}

fn print(home: &Home, words: &[String]) -> Run {
    Run::keyroll(words).env("KEYROLL_HOME", home.data())
}

impl Printed {
    fn start(servers: usize) -> Self {
        let home = Home::new();
        let (words, monitoring) = words(&home, servers);
        let said = print(&home, &words).run().code(0).json();
        let configurations = said["servers"].as_array().expect("files").clone();
        let mut this = Self {
            servers: Vec::new(),
            monitoring,
            options: words,
            said,
            home,
        };
        for file in configurations {
            this.serve_nats(file.as_str().expect("a name"));
        }
        this
    }

    fn serve_nats(&mut self, file: &str) {
        let config = self.out().join(file);
        let log = fs::File::create(self.home.scratch().join(file).with_extension("log"));
        let log = log.expect("a log");
        let mut command = tied::command(programs::nats_server(), &config);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.servers.push(tied::start(command));
        let text = fs::read_to_string(config).expect("a configuration");
        let (_, rest) = text.split_once("listen: \"").expect("an address");
        let (address, _) = rest.split_once('"').expect("an address");
        until("a nats-server", || TcpStream::connect(address).ok());
    }

    fn stop_nats(&mut self) {
        for mut server in self.servers.drain(..) {
            server.kill().expect("killed");
            server.wait().expect("reaped");
        }
    }

    fn out(&self) -> PathBuf {
        self.home.scratch().join("nats")
    }

    fn url(&self) -> &str {
        self.said["nats_url"].as_str().expect("a URL")
    }

    fn init(&self) {
        let replicas = self.servers.len().to_string();
        let mut init = vec!["--nats", self.url(), "init", "--replicas", &replicas];
        let out = self.out().display().to_string();
        init.extend(["--credentials", &out]);
        for page in &self.monitoring {
            init.extend(["--monitoring", page]);
        }
        until("the ledger to be made", || {
            let run = Run::keyroll(&init).env("KEYROLL_HOME", self.home.data());
            let run = run.run();
            run.is_code(0).then_some(run)
        });
    }

    fn serve(&self) -> Replica {
        let words = [
            programs::keyroll().into(),
            "--json".into(),
            "--home".into(),
            self.home.data().into(),
            "serve".into(),
        ];
        let stderr = self.home.scratch().join("serve.stderr");
        let mut service = Replica::start(tied::command_line(&words), &[], stderr);
        assert!(service.is_ready(), "not ready: {}", service.stderr());
        service
    }

    /// A command of the owner, who gets NATS credentials from the service.
    fn keyroll(&self, words: &[&str]) -> Run {
        Run::keyroll(words)
            .env("KEYROLL_HOME", self.home.data())
            .env("KEYROLL_NATS_URL", self.url())
            .env("KEYROLL_WORKSPACE", "demo")
    }

    fn is_usable(&self) {
        self.keyroll(&["workspace", "create", "demo"]).run().code(0);
        let create = ["secret", "create", "A", "--stdin"];
        self.keyroll(&create).stdin("the value").run().code(0);
        let reveal = self.keyroll(&["secret", "reveal", "A"]).run().code(0);
        reveal.stdout("the value");
        let status = self.keyroll(&["--json", "status"]).run().code(0).json();
        assert_eq!(status["problems"], serde_json::json!([]), "{status}");
    }
}

/// The content of all files.
fn all(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.clone(), fs::read(&path).expect("readable"));
    files(directory).into_iter().map(read).collect()
}

#[test]
fn one_server_runs_from_the_printed_files() {
    let printed = Printed::start(1);
    printed.init();
    let _service = printed.serve();
    printed.is_usable();
}

#[test]
fn three_servers_run_from_the_printed_files() {
    let printed = Printed::start(3);
    printed.init();
    let _service = printed.serve();
    printed.is_usable();
}

#[test]
fn the_same_options_write_the_same_files_and_others_are_named() {
    let home = Home::new();
    let (words, _) = words(&home, 3);
    print(&home, &words).run().code(0);
    let out = home.scratch().join("nats");
    let first = all(&out);
    for path in first.keys() {
        let mode = fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    print(&home, &words).run().code(0);
    assert_eq!(all(&out), first);

    let mut other = words.clone();
    let at = other.iter().position(|word| word == "--store-dir");
    other[at.expect("an option") + 1] = "/elsewhere".to_owned();
    let refused = print(&home, &other).run().code(2);
    refused
        .stderr_has("keyroll-1.conf differs")
        .stderr_has("store_dir")
        .lacks("password")
        .lacks("eyJ");
    assert_eq!(all(&out), first);
    other.push("--yes".to_owned());
    print(&home, &other).run().code(0);
    let changed = all(&out);
    let differ = first.keys().filter(|path| first[*path] != changed[*path]);
    let differ: Vec<_> = differ.collect();
    assert_eq!(differ, [&out.join("keyroll-1.conf")]);

    // Other keys would lock everybody out.
    fs::remove_file(out.join("offline/nats-keys.toml")).expect("removed");
    let refused = print(&home, &words).run().code(5);
    refused.stderr_has("nats-keys.toml is missing");
    assert_eq!(all(&out).len(), first.len() - 1);
}

#[test]
fn what_cannot_be_a_cluster_is_refused_before_anything_is_written() {
    let home = Home::new();
    let out = home.path("nats");
    for (words, why) in [
        (&["--servers", "2"] as &[&str], "an even number"),
        (&["--servers", "3", "--host", "a"], "once for each server"),
        (
            &["--servers", "3", "--host=a", "--host=b", "--host=c"],
            "only the services reach",
        ),
        (
            &[
                "--servers",
                "3",
                "--host=a",
                "--host=b",
                "--host=c",
                "--monitoring-listen=10.0.0.1:8222",
                "--monitoring-listen=10.0.0.2:8222",
                "--monitoring-listen=10.0.0.3:8222",
            ],
            "needs TLS",
        ),
        (&["--host", "a\"b"], "needs TLS"),
    ] {
        let run = Run::keyroll(["init", "--print-nats-config", "--out", &out]).args(words);
        let run = run.env("KEYROLL_HOME", home.data()).run().code(2);
        run.stderr_has(why);
        assert!(!Path::new(&out).exists(), "{words:?}");
    }
}

/// The monitoring pages name users and workspaces, in plain HTTP.
#[test]
fn monitoring_is_on_loopback_unless_an_address_is_given() {
    let home = Home::new();
    let out = home.path("nats");
    let print = |words: &[&str]| {
        let tls = ["--tls-cert", "/c", "--tls-key", "/k"];
        let run = Run::keyroll(["init", "--print-nats-config", "--yes", "--out", &out]).args(tls);
        let run = run.args(words).env("KEYROLL_HOME", home.data()).run();
        run.code(0)
    };
    let pages = || {
        let text = fs::read_to_string(Path::new(&out).join("keyroll-1.conf")).expect("a file");
        let page = text.lines().find(|line| line.starts_with("http:"));
        page.expect("an address").to_owned()
    };
    print(&["--host=a"]).lacks("plain HTTP");
    assert_eq!(pages(), "http: \"127.0.0.1:8222\"");
    print(&["--host=a", "--monitoring-listen=10.0.0.1:8222"])
        .stderr_has("10.0.0.1:8222 are plain HTTP");
    assert_eq!(pages(), "http: \"10.0.0.1:8222\"");
}

#[test]
fn what_differs_is_named_without_a_secret() {
    let home = Home::new();
    let (words, _) = words(&home, 3);
    print(&home, &words).run().code(0);
    let out = home.scratch().join("nats");
    let before = all(&out);
    // The old files have secrets of other keys, and a setting of somebody's own.
    let keys = out.join("offline/nats-keys.toml");
    let other = Home::new();
    print(&other, &self::words(&other, 3).0).run().code(0);
    let from = other.scratch().join("nats");
    fs::copy(from.join("offline/nats-keys.toml"), &keys).expect("copied");
    let config = out.join("keyroll-2.conf");
    let text = fs::read_to_string(&config).expect("a file");
    fs::write(&config, format!("token: hunter2\n{text}")).expect("written");
    let mut refused = print(&home, &words).run().code(2);
    for path in before.keys().filter(|path| **path != keys) {
        let name = path.strip_prefix(&out).expect("below").display();
        refused = refused.stderr_has(&format!("{name} differs"));
        let text = fs::read_to_string(path).expect("text");
        for secret in text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)) {
            // Seeds, JWTs and passwords are long.
            if secret.len() > 20 && !secret.contains("keyroll") {
                refused = refused.lacks(secret);
            }
        }
    }
    refused.lacks("hunter2").lacks("password").lacks("eyJ");
}

#[test]
fn a_console_without_credentials_is_refused_at_the_start() {
    let printed = Printed::start(1);
    printed.init();
    let path = printed.home.data().join("serve.toml");
    let text = fs::read_to_string(&path).expect("a file");
    let kept = text.lines().filter(|line| !line.contains("console"));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    fs::write(&path, kept).expect("written");
    let serve = ["serve", "--console", "127.0.0.1:0"];
    let refused = printed.keyroll(&serve).run().code(2);
    refused.stderr_has("--console-creds");
}

#[test]
fn a_service_with_another_users_credentials_names_user_and_subject() {
    let printed = Printed::start(1);
    printed.init();
    for (user, subject) in [
        ("responder", "$JS.API.STREAM.INFO.KEYROLL_LOG"),
        ("backup", "_INBOX_service."),
    ] {
        let path = printed.out().join(format!("{user}.creds"));
        let path = path.display().to_string();
        let serve = ["serve", "--service-creds", &path];
        let refused = printed.keyroll(&serve).run().code(1);
        refused
            .stderr_has(&format!("service (its JWT names {user})"))
            .stderr_has(subject);
    }
    // No user at all is a guest, and credentials of nobody are refused.
    let nobody = ["serve", "--service-creds", "/nonexistent.creds"];
    printed.keyroll(&nobody).run().code(2);
}
