//! A running `keyroll dev`.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::home::Home;
use super::process::{Frozen, Process};
use super::programs;
use super::run::Run;
use super::wait::{PATIENCE, until};

/// A private ledger with workspace `demo`, and its owner's home. It is killed when dropped.
pub struct Dev {
    child: Child,
    home: Option<Home>,
    ready: Value,
    // Held open: a process that writes to a closed pipe is killed.
    stdout: Option<BufReader<ChildStdout>>,
}

/// Another person, with their own identity and home.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// Their home.
    pub home: PathBuf,
    /// Their public key.
    pub key: String,
}

impl Dev {
    /// Starts one in a fresh directory.
    pub fn start() -> Self {
        Self::start_in(Home::new())
    }

    /// Starts one in a directory that may have been used before.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_in(home: Home) -> Self {
        Self::start_program(home, programs::keyroll(), None)
    }

    /// As [`Dev::start_in`]; it ends at the first visit of a failpoint.
    pub fn start_armed(home: Home, failpoint: &str) -> Self {
        Self::start_program(home, programs::keyroll_with_failpoints(), Some(failpoint))
    }

    fn start_program(home: Home, program: &Path, failpoint: Option<&str>) -> Self {
        let path = home.scratch().join("dev.stderr");
        let stderr = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .expect("a file for stderr");
        let armed = failpoint.map(|point| ("KEYROLL_FAILPOINT", format!("{point}:1")));
        let mut child = Command::new(program)
            .args(["dev", "--json", "--no-open", "--data-dir"])
            .arg(home.data())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KEYROLL_NATS_BIN", programs::nats_server())
            .env("HOME", "/nonexistent")
            .envs(armed)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("keyroll dev starts");
        let stdout = child.stdout.take().expect("piped");
        // From here on `Drop` kills it, whatever else happens.
        let mut dev = Self {
            child,
            home: Some(home),
            ready: Value::Null,
            stdout: None,
        };
        let (line, stdout) = first_line(stdout);
        dev.ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("keyroll dev is not ready: {line:?}\n{}", dev.stderr()));
        dev.stdout = Some(stdout);
        dev
    }

    /// The line that it printed when it was ready.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Its directory.
    pub fn home(&self) -> &Home {
        self.home.as_ref().expect("there until it is stopped")
    }

    /// `nats://host:port`.
    pub fn nats_url(&self) -> &str {
        self.ready["nats_url"].as_str().expect("an address")
    }

    /// The file with a client's NATS credentials.
    pub fn nats_creds(&self) -> PathBuf {
        let path = self.ready["nats_creds"].as_str();
        PathBuf::from(path.expect("a file of credentials"))
    }

    /// A command of the owner.
    pub fn keyroll<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Run {
        Run::keyroll(words)
            .env("KEYROLL_HOME", self.home().data())
            .in_directory(self.home().scratch())
    }

    /// A new person, who is no member of any workspace.
    pub fn person(&self, name: &str) -> Person {
        let home = self.home().scratch().join(format!("home-{name}"));
        let made = Run::keyroll(["identity", "new"])
            .env("KEYROLL_HOME", &home)
            .run()
            .code(0)
            .text();
        let key = made.split(' ').next().expect("the public id").to_owned();
        Person {
            name: name.to_owned(),
            home,
            key,
        }
    }

    /// A new person, who is a member of `demo` in a role, for the names that fit a pattern.
    pub fn member(&self, name: &str, role: &str, secrets: &str) -> Person {
        let person = self.person(name);
        let add = [
            "member",
            "add",
            name,
            &person.key,
            "--role",
            role,
            "--secrets",
            secrets,
        ];
        self.keyroll(add).run().code(0);
        person
    }

    /// A command of another person.
    pub fn keyroll_as<W: AsRef<OsStr>>(
        &self,
        who: &Person,
        words: impl IntoIterator<Item = W>,
    ) -> Run {
        Run::keyroll(words)
            .env("KEYROLL_HOME", &who.home)
            .env("KEYROLL_NATS_URL", self.nats_url())
            .env("KEYROLL_NATS_CREDS", self.nats_creds())
            .env("KEYROLL_WORKSPACE", "demo")
            .in_directory(self.home().scratch())
    }

    /// Creates a secret.
    pub fn create(&self, name: &str, value: impl AsRef<[u8]>) {
        self.keyroll(["secret", "create", name, "--stdin"])
            .stdin(value)
            .run()
            .code(0);
    }

    /// Imports a file of many secrets. On a busy machine a large commit may take longer than the
    /// client waits; the same import then continues.
    pub fn import_many(&self, file: &str) {
        until("a large import", || {
            let import = ["import", file, "--yes", "--skip-existing"];
            let run = self.keyroll(import).run();
            let is_done = run.is_code(0);
            if !is_done {
                run.code(8).stderr_has("audit_unknown");
            }
            is_done.then_some(())
        });
    }

    /// The rows of the list of secrets.
    pub fn secrets(&self) -> Vec<Value> {
        self.keyroll(["secret", "list", "--json"])
            .run()
            .code(0)
            .rows()
    }

    /// The rows of the audit log.
    pub fn audit(&self) -> Vec<Value> {
        self.keyroll(["audit", "log", "--json", "--limit", "10000"])
            .run()
            .code(0)
            .rows()
    }

    /// The digest of the read model.
    pub fn digest(&self) -> String {
        let digest = self
            .keyroll(["projection", "digest", "--json"])
            .run()
            .code(0)
            .json();
        digest["digest"].as_str().expect("a digest").to_owned()
    }

    /// Full verification finds no problem. (Whether the end is proven depends on the owner's
    /// trusted checkpoint.)
    #[track_caller]
    pub fn verifies(&self) -> Value {
        let verify = ["audit", "verify", "--full", "--json"];
        let report = self.keyroll(verify).run().code(0).json();
        assert_eq!(report["ok"], true, "{report}");
        assert_eq!(report["problems"], Value::Array(Vec::new()), "{report}");
        report
    }

    /// This process.
    pub fn process(&self) -> Process {
        Process {
            pid: self.child.id(),
        }
    }

    /// Its nats-server.
    ///
    /// # Panics
    /// When there is none.
    pub fn nats_server(&self) -> Process {
        let pid = self.child.id();
        let found = Process::child(pid, "nats-server");
        found.unwrap_or_else(|| panic!("process {pid} has no nats-server"))
    }

    /// Stops the nats-server until the returned guard is dropped.
    pub fn freeze_nats(&self) -> Frozen {
        Frozen::new(self.nats_server())
    }

    /// The stderr of this process and of its predecessors in this directory.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.home().scratch().join("dev.stderr")).expect("stderr")
    }

    /// Stops it with SIGTERM and returns its directory.
    ///
    /// # Panics
    /// When it does not end with status 0.
    pub fn stop(mut self) -> Home {
        self.process().signal(Signal::SIGTERM);
        let said = self.stderr();
        let status = self.ended();
        assert_eq!(status, Some(0), "keyroll dev did not stop well: {said}");
        self.home.take().expect("there until now")
    }

    /// Kills it and its nats-server, and returns its directory.
    pub fn kill(mut self) -> Home {
        let nats_server = self.nats_server();
        self.process().signal(Signal::SIGKILL);
        self.ended();
        nats_server.wait_gone();
        self.home.take().expect("there until now")
    }

    /// The directory of one that has ended by itself.
    ///
    /// # Panics
    /// When it has not.
    pub fn into_home(mut self) -> Home {
        self.ended();
        self.home.take().expect("there until now")
    }

    /// Waits until it has ended. Returns its exit status; `None` when a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        until("the end of keyroll dev", || {
            self.child.try_wait().expect("its status")
        })
        .code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // The nats-server ends with it. A process that has ended is already reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.stdout.take());
    }
}

/// Reads the first line, in bounded time.
pub(super) fn first_line(stdout: ChildStdout) -> (String, BufReader<ChildStdout>) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        // If nothing was read, the line is empty; the caller then reports stderr.
        let _ = reader.read_line(&mut line);
        let _ = sender.send((line, reader));
    });
    receiver
        .recv_timeout(PATIENCE)
        .expect("keyroll dev prints a line")
}
