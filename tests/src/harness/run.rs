//! One run of a program, until it ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use super::done::Done;
use super::programs;
use super::wait::until;

/// A command to run.
#[must_use = "nothing runs before `run`"]
pub struct Run {
    command: Command,
    words: Vec<String>,
    stdin: Vec<u8>,
    out: Option<File>,
}

impl Run {
    /// `keyroll` with these words.
    pub fn keyroll<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Self {
        let run = Self::program(programs::keyroll(), "keyroll");
        let run = run.env("KEYROLL_NATS_BIN", programs::nats_server());
        words.into_iter().fold(run, Self::arg)
    }

    /// A program, called `name` where it is spoken of. Of the environment it gets what a shell
    /// needs, and nothing that belongs to whoever runs the tests.
    pub fn program(path: impl AsRef<OsStr>, name: &str) -> Self {
        let mut command = Command::new(path);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Nothing of a person's own is ever read or written.
        command.env("HOME", "/nonexistent");
        Self {
            command,
            words: vec![name.to_owned()],
            stdin: Vec::new(),
            out: None,
        }
    }

    /// One word more.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words
            .push(word.as_ref().to_string_lossy().into_owned());
        self.command.arg(word);
        self
    }

    /// Some words more.
    pub fn args<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Where it runs.
    pub fn in_directory(mut self, directory: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// What it reads from standard input; nothing when this is not said.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        bytes.as_ref().clone_into(&mut self.stdin);
        self
    }

    /// Writes its standard output into a file, where it can be read while it runs.
    ///
    /// # Panics
    /// When there is no such file to be made.
    pub fn out_to(mut self, file: impl AsRef<std::path::Path>) -> Self {
        self.out = Some(File::create(file).expect("a file for the output"));
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not start, or does not end.
    pub fn run(self) -> Done {
        self.start().wait()
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(mut self) -> Running {
        let begun = Instant::now();
        let piped = self
            .command
            .stdin(Stdio::piped())
            .stdout(self.out.take().map_or_else(Stdio::piped, Stdio::from))
            .stderr(Stdio::piped());
        let mut child = piped
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.words.join(" ")));
        let mut stdin = child.stdin.take().expect("piped");
        let bytes = std::mem::take(&mut self.stdin);
        thread::spawn(move || {
            // A program that takes no input closes the pipe.
            let _ = stdin.write_all(&bytes);
        });
        let stdout = child.stdout.take();
        let stdout = stdout.map_or_else(|| collect(std::io::empty()), collect);
        let stderr = collect(child.stderr.take().expect("piped"));
        Running {
            child,
            words: self.words,
            begun,
            output: Some((stdout, stderr)),
        }
    }
}

type Collected = thread::JoinHandle<Vec<u8>>;

fn collect(mut from: impl Read + Send + 'static) -> Collected {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still what came.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A run that goes on. Dropped before its end, it is killed.
pub struct Running {
    child: Child,
    words: Vec<String>,
    begun: Instant,
    output: Option<(Collected, Collected)>,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(mut self) -> Done {
        let words = self.words.join(" ");
        let status = until(&words, || self.child.try_wait().expect("its status"));
        let took = self.begun.elapsed();
        // As a shell puts it.
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        let (stdout, stderr) = self.output.take().expect("it is waited for once");
        let (stdout, stderr) = (
            stdout.join().expect("collected"),
            stderr.join().expect("collected"),
        );
        Done {
            words,
            code: code.expect("a code or a signal"),
            stdout,
            stderr,
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of what has ended already nothing is left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
