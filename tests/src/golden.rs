//! Golden sets: data of earlier programs, with the output of those programs about it.
//! `tests/golden/README.md` explains why.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::harness::Home;

/// A program's output about the data that it left behind.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The program.
    pub program: String,
    /// The output about the data directory of `keyroll dev`, `dev.tar.gz`.
    pub dev: DevDirectory,
    /// `audit prove` of an entry of `demo`.
    pub proof: Value,
    /// The output about each bundle, by its file.
    pub bundles: BTreeMap<String, Bundle>,
}

/// A data directory of `keyroll dev`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevDirectory {
    /// The digest of the read model, by the schema of the rows that it is over. A new schema has a
    /// new one, added once all the rest here is found to be unchanged.
    pub digests: BTreeMap<u32, String>,
    /// The output about each workspace.
    pub workspaces: BTreeMap<String, Rows>,
}

/// The output about a workspace, as JSON of the command line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Rows {
    pub secrets: Vec<Value>,
    pub deleted: Vec<Value>,
    pub history: BTreeMap<String, Vec<Value>>,
    pub members: Vec<Value>,
    pub audit: Vec<Value>,
    /// The value of each secret that the owner may reveal.
    pub values: BTreeMap<String, String>,
}

/// A bundle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The workspace.
    pub workspace: String,
    /// Entries in it.
    pub entries: u64,
    /// Root over them.
    pub root: String,
    /// The key that checks its checkpoint.
    pub key: String,
    /// One row for each event: [`row`].
    pub rows: Vec<String>,
}

/// A row of the audit log in one line: index, event, actor, outcome, and the entry's leaf.
pub fn row(row: &Value) -> String {
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let (event, actor, outcome) = (text("type"), text("actor"), text("outcome"));
    let (index, leaf) = (&row["index"], text("digest"));
    format!("{index} {event} {actor} {outcome} {leaf}")
}

/// A golden set.
#[derive(Debug)]
pub struct Set {
    /// Its directory.
    pub directory: PathBuf,
    /// The output of its program.
    pub expected: Expected,
}

/// Every existing set, by name.
///
/// # Panics
/// When one cannot be read.
pub fn sets() -> Vec<Set> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let entries = fs::read_dir(&golden).expect("tests/golden");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut directories: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    directories.sort();
    directories.into_iter().map(Set::read).collect()
}

impl Set {
    fn read(directory: PathBuf) -> Self {
        let path = directory.join("expected.json");
        let text = fs::read_to_string(&path).map_err(|error| error.to_string());
        let expected =
            text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        Self {
            expected: expected.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            directory,
        }
    }

    /// The bytes of a bundle.
    ///
    /// # Panics
    /// When it is not there.
    pub fn bundle(&self, file: &str) -> Vec<u8> {
        let path = self.directory.join(file);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Unpacks the data directory of `keyroll dev`.
    ///
    /// # Panics
    /// When that fails.
    pub fn unpack(&self) -> Home {
        let home = Home::new();
        let data = home.data();
        let parent = data.parent().expect("a directory");
        let mut tar = Command::new("python3");
        let tar = tar.args(["-W", "ignore", "-m", "tarfile", "-e"]);
        let tar = tar.arg(self.directory.join("dev.tar.gz")).arg(parent);
        let done = tar.output().expect("Python 3");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        home
    }
}
