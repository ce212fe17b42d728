//! The results of a run, and checks on them.
#![expect(
    clippy::return_self_not_must_use,
    reason = "a check may be the last of its chain"
)]

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// A run that has ended. Each check returns it for the next.
pub struct Done {
    pub(super) words: String,
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

/// The end of a longer output is left out.
const SHOWN: usize = 4_000;

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
        let (stdout, stderr) = (shown(&self.stdout), shown(&self.stderr));
        write!(
            f,
            "{}\nexit status {} after {:?}\nstdout: {stdout}\nstderr: {stderr}",
            self.words, self.code, self.took
        )
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

impl Done {
    /// The exit status is `code`.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert!(self.code == code, "exit status {code} was expected\n{self}");
        self
    }

    /// Whether the exit status is `code`.
    pub fn is_code(&self, code: i32) -> bool {
        self.code == code
    }

    /// The exit status is one of `codes`.
    #[track_caller]
    pub fn code_in(self, codes: &[i32]) -> Self {
        assert!(
            codes.contains(&self.code),
            "an exit status of {codes:?} was expected\n{self}"
        );
        self
    }

    /// Standard output is exactly this.
    #[track_caller]
    pub fn stdout(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        assert!(
            self.stdout == bytes,
            "{:?} was expected\n{self}",
            String::from_utf8_lossy(bytes)
        );
        self
    }

    /// Standard output holds this.
    #[track_caller]
    pub fn stdout_has(self, text: &str) -> Self {
        assert!(
            has(&self.stdout, text.as_bytes()),
            "stdout lacks {text:?}\n{self}"
        );
        self
    }

    /// Standard error is empty.
    #[track_caller]
    pub fn quiet(self) -> Self {
        assert!(
            self.stderr.is_empty(),
            "nothing was expected on stderr\n{self}"
        );
        self
    }

    /// Standard error holds this.
    #[track_caller]
    pub fn stderr_has(self, text: &str) -> Self {
        assert!(
            has(&self.stderr, text.as_bytes()),
            "stderr lacks {text:?}\n{self}"
        );
        self
    }

    /// Neither output holds this.
    #[track_caller]
    pub fn lacks(self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        let shown = String::from_utf8_lossy(part);
        assert!(!has(&self.stdout, part), "stdout repeats {shown:?}\n{self}");
        assert!(!has(&self.stderr, part), "stderr repeats {shown:?}\n{self}");
        self
    }

    /// It failed under this stable code, and printed no data.
    #[track_caller]
    pub fn error_code(self, code: &str) -> Self {
        let found = self.said_code();
        assert!(
            found.as_deref() == Some(code),
            "the code {code} was expected, found {found:?}\n{self}"
        );
        assert!(self.stdout.is_empty(), "a failure prints no data\n{self}");
        self
    }

    /// The code of the error on stderr: in JSON, or in brackets at the end of the message.
    fn said_code(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.stderr);
        let in_json = text.lines().find_map(|line| {
            let said: Value = serde_json::from_str(line).ok()?;
            said["error"]["code"].as_str().map(str::to_owned)
        });
        in_json.or_else(|| {
            let (_, error) = text.split_once("error: ")?;
            let error = error.trim_end().strip_suffix(')')?;
            error.rsplit_once('(').map(|(_, code)| code.to_owned())
        })
    }

    /// The message of the error on stderr.
    #[track_caller]
    pub fn message(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let said = text.lines().find_map(|line| {
            let said: Value = serde_json::from_str(line).ok()?;
            said["error"]["message"].as_str().map(str::to_owned)
        });
        said.unwrap_or_else(|| panic!("no error in JSON\n{self}"))
    }

    /// Standard output as text.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone())
            .unwrap_or_else(|_| panic!("stdout is no text\n{self}"))
    }

    /// Standard output, byte for byte.
    pub fn bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// Standard error, byte for byte.
    pub fn error_bytes(&self) -> &[u8] {
        &self.stderr
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no JSON: {error}\n{self}"))
    }

    /// Standard output as one JSON document per line.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        let row = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}\n{self}"))
        };
        self.text().lines().map(row).collect()
    }
}

/// A JSON object has the documented keys in their order, then at most the others named.
#[track_caller]
pub fn shape(object: &Value, documented: &[&str], others: &[&str]) {
    let keys: Vec<&str> = object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    let (known, more): (Vec<&str>, Vec<&str>) =
        keys.into_iter().partition(|key| documented.contains(key));
    assert_eq!(
        known, documented,
        "the documented keys, in their order: {object}"
    );
    let unexpected: Vec<&str> = more
        .into_iter()
        .filter(|key| !others.contains(key))
        .collect();
    assert!(
        unexpected.is_empty(),
        "undocumented keys {unexpected:?}: {object}"
    );
}
