//! How a client handles the lies of a ledger that holds its keys: an old value, another secret's
//! value, a secret without its hosts. The log stays consistent all the while.

mod hosts;
mod memory;
mod old;
mod other;

use std::path::PathBuf;

use keyroll_tests::harness::{Cluster, Dishonest, Done, Home, Run};

/// A ledger that can lie, and the owner of workspace `demo`.
struct World {
    ledger: Dishonest,
    cluster: Cluster,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::start(1, 1);
        let ledger = Dishonest::start(&cluster);
        let world = Self { ledger, cluster };
        world.run(["workspace", "create", "demo"]).code(0);
        world
    }

    fn home(&self) -> &Home {
        self.cluster.home()
    }

    fn keyroll<const N: usize>(&self, words: [&str; N]) -> Run {
        self.cluster.keyroll(words)
    }

    fn run<const N: usize>(&self, words: [&str; N]) -> Done {
        self.keyroll(words).run()
    }

    /// The same owner on another machine, without any memory of the ledger.
    fn elsewhere<const N: usize>(&self, words: [&str; N]) -> Run {
        let home = self.home().scratch().join("elsewhere");
        if !home.exists() {
            std::fs::create_dir(&home).expect("a directory");
        }
        self.keyroll(words)
            .env("KEYROLL_HOME", home)
            .env("KEYROLL_IDENTITY", self.home().data().join("identity.pem"))
    }

    fn create(&self, name: &str, value: &str) {
        let create = self.keyroll(["secret", "create", name, "--stdin"]);
        create.stdin(value).run().code(0);
    }

    fn create_for(&self, host: &str, name: &str, value: &str) {
        let words = ["secret", "create", name, "--stdin", "--allow-host", host];
        self.keyroll(words).stdin(value).run().code(0);
    }

    fn edit(&self, name: &str, value: &str) {
        let edit = self.keyroll(["secret", "edit", name, "--stdin"]);
        edit.stdin(value).run().code(0);
    }

    /// The owner reveals a secret, with an empty stderr.
    #[track_caller]
    fn reveals(&self, name: &str, value: &str) {
        let reveal = self.run(["secret", "reveal", name]);
        reveal.code(0).stdout(value).quiet();
    }

    fn entries(&self) -> usize {
        let rows = self.run(["audit", "log", "--json", "--limit", "10000"]);
        rows.code(0).rows().len()
    }

    /// A file of the owner's memory of the ledger.
    fn memory(&self, name: &str) -> PathBuf {
        let ledger = self.cluster.ledger().to_string().replace(':', "-");
        self.home().data().join("seen").join(ledger).join(name)
    }
}

/// The warnings of a document.
fn warnings(done: &Done) -> Vec<String> {
    let json = done.json();
    let warnings = json["warnings"].as_array().expect("warnings");
    let words = warnings.iter().map(|word| word.as_str().expect("words"));
    words.map(str::to_owned).collect()
}
