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

    /// A program, called `name` in messages. Its environment has the variables that a shell needs,
    /// and none of the user who runs the tests.
    pub fn program(path: impl AsRef<OsStr>, name: &str) -> Self {
        let mut command = Command::new(path);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // No file of the user's own is ever read or written.
        command.env("HOME", "/nonexistent");
        Self {
            command,
            words: vec![name.to_owned()],
            stdin: Vec::new(),
            out: None,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words
            .push(word.as_ref().to_string_lossy().into_owned());
        self.command.arg(word);
        self
    }

    /// Adds arguments.
    pub fn args<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets its working directory.
    pub fn in_directory(mut self, directory: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Sets its standard input, which is empty by default.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        bytes.as_ref().clone_into(&mut self.stdin);
        self
    }

    /// Writes its standard output to a file, which can be read while it runs.
    ///
    /// # Panics
    /// When the file cannot be created.
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
        // The output before an error still counts.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A running program. It is killed when dropped before its end.
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
        // Like a shell.
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
        // A process that has ended need not be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
