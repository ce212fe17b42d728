//! Writes a golden set: the data that a ledger of this program leaves behind, for all later
//! programs to read. Everything goes through the built program on a real nats-server; the clock is
//! the real one too, so this takes seven minutes. `tests/golden/README.md` explains its purpose.

mod acts;
mod recovered;
mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use keyroll_ledger::projection::SCHEMA;
use keyroll_tests::golden::{Bundle, DevDirectory, Expected, Rows};
use keyroll_tests::harness::{Dev, Home, Run};

/// The program's output about a workspace, which the tests compare later.
fn rows(dev: &Dev, workspace: &str) -> Rows {
    let ask = |words: &[&str]| dev.keyroll(["-w", workspace, "--json"]).args(words).run();
    let secrets = ask(&["secret", "list"]).code(0).rows();
    let history = |row: &serde_json::Value| {
        let name = row["name"].as_str().expect("a name").to_owned();
        let rows = ask(&["secret", "history", &name]).code(0).rows();
        (name, rows)
    };
    Rows {
        history: secrets.iter().map(history).collect(),
        secrets,
        deleted: ask(&["secret", "list", "--deleted"]).code(0).rows(),
        members: ask(&["member", "list", "--removed"]).code(0).rows(),
        audit: ask(&["audit", "log", "--limit", "10000"]).code(0).rows(),
        values: BTreeMap::new(),
    }
}

/// Exports a workspace into the set. Returns the program's output about the bundle.
fn export(dev: &Dev, out: &Path, workspace: &str, file: &str) -> Bundle {
    let path = out.join(file);
    let path = path.to_str().expect("a path in UTF-8");
    let words = ["-w", workspace, "--json"];
    let export = dev.keyroll(words).args(["audit", "export", "--out", path]);
    let exported = export.run().code(0).json();
    let key = dev.keyroll(["-w", workspace, "audit", "key"]).run().code(0);
    let key = key.text().trim().to_owned();
    let log = ["audit", "log", "--limit", "10000"];
    let log = dev.keyroll(words).args(log).run().code(0).rows();
    let words = ["--json", "audit", "verify", "--bundle", path, "--key", &key];
    let report = Run::keyroll(words).run().code(0).json();
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
    let text = |field: &str| exported[field].as_str().expect("text").to_owned();
    Bundle {
        workspace: workspace.to_owned(),
        entries: exported["entries"].as_u64().expect("a number"),
        root: text("root"),
        key,
        rows: log.iter().map(keyroll_tests::golden::row).collect(),
    }
}

/// Packs the whole data directory. Modes matter: keys that others can read are refused.
fn pack(home: &Home, out: &Path) {
    let parent = home.data().parent().expect("a directory").to_owned();
    let mut tar = Command::new("python3");
    let tar = tar.current_dir(parent).args(["-m", "tarfile", "-c"]);
    let status = tar.arg(out.join("dev.tar.gz")).arg("data").status();
    assert!(status.expect("Python 3").success(), "the archive");
}

/// JSON in ASCII: some names have invisible characters, or characters that change how their
/// neighbours are shown.
fn escaped(json: &str) -> String {
    let one = |character: char| {
        if character.is_ascii() {
            return character.to_string();
        }
        let mut units = [0; 2];
        let units = character.encode_utf16(&mut units).iter();
        let units: Vec<String> = units.map(|unit| format!("\\u{unit:04x}")).collect();
        units.concat()
    };
    json.chars().map(one).collect()
}

async fn make(out: &Path) {
    let mut bundles = BTreeMap::new();
    bundles.insert(
        "recovered.bundle".to_owned(),
        recovered::make(|dev| export(dev, out, "demo", "recovered.bundle")).await,
    );
    // A value stored before a service has scanned the vault is never swept.
    let dev = Dev::start_in(Dev::start().stop());
    acts::begin(&dev).await;
    let early = export(&dev, out, "demo", "early.bundle");
    bundles.insert("early.bundle".to_owned(), early);
    acts::go_on(&dev);
    acts::orphan(&dev).await;
    refused::all(&dev);
    let dev = acts::until_swept(dev);
    let mut workspaces = BTreeMap::new();
    for workspace in ["demo", "second"] {
        let values = acts::values(&dev, workspace);
        let found = rows(&dev, workspace);
        workspaces.insert(workspace.to_owned(), Rows { values, ..found });
    }
    for workspace in ["demo", "second"] {
        let file = format!("{workspace}.bundle");
        let bundle = export(&dev, out, workspace, &file);
        bundles.insert(file, bundle);
    }
    let prove = ["--json", "audit", "prove", "7"];
    let proof = dev.keyroll(prove).run().code(0).json();
    dev.verifies();
    let digest = dev.digest();
    let home = dev.stop();
    // Created again at every start.
    home.remove("run");
    pack(&home, out);
    let version = Run::keyroll(["-V"]).run().code(0).text();
    let expected = Expected {
        program: version.trim().to_owned(),
        dev: DevDirectory {
            digests: BTreeMap::from([(SCHEMA, digest)]),
            workspaces,
        },
        proof,
        bundles,
    };
    let text = serde_json::to_string_pretty(&expected).expect("JSON");
    fs::write(out.join("expected.json"), escaped(&text) + "\n").expect("written");
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(out) = std::env::args_os().nth(1) else {
        eprintln!("usage: golden DIR (tests/golden/NAME, which must not be there)");
        return ExitCode::from(2);
    };
    // An existing set is evidence: it is never made again.
    if let Err(error) = fs::create_dir(&out) {
        eprintln!("golden: {}: {error}", Path::new(&out).display());
        return ExitCode::FAILURE;
    }
    // Other programs run in other directories and get the paths.
    let out = fs::canonicalize(&out).expect("it was just made");
    make(&out).await;
    ExitCode::SUCCESS
}
