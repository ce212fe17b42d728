//! Compares the answers that callers got with the log, once all callers rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use keyroll_client::Client;
use keyroll_client::{RequestedValue, VerifiedAnswer};
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::{Blob, Code, Commit, Digest, Entry, Index, WorkspaceName, cbor};
use keyroll_wire::query::{AuditCommits, Question};
use keyroll_wire::reply::Answer;

use super::{Crowd, Record, Spy};
use crate::harness::Cluster;
use crate::harness::wait::within;

/// How long a ledger may take to answer again after the last fault. Only a failing test reaches it.
const RECOVERY: Duration = Duration::from_secs(60);
/// Values checked at the end.
const LOOKED_AT: usize = 200;

/// A workspace's entries.
pub struct Log {
    entries: Vec<Blob>,
}

/// The result of a check.
#[derive(Debug)]
pub struct Summary {
    /// Entries in the log.
    pub entries: usize,
    /// Entries that were acknowledged to a caller.
    pub acked: usize,
    /// Values released.
    pub released: usize,
    /// How often each refusal or failure came back.
    pub codes: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} entries, {} acknowledged, {} values released, refused or failed {:?}",
            self.entries, self.acked, self.released, self.codes
        )
    }
}

/// Retries a query: after a restart of nats-server, the read model is behind the log for a moment.
async fn ask_patiently(
    client: &Client,
    workspace: &WorkspaceName,
    ask: Question,
) -> VerifiedAnswer {
    loop {
        match client.query(Some(workspace), ask.clone()).await {
            Ok(answered) => return answered,
            // Also while a stream has no leader.
            Err(error) => assert!(
                matches!(error.code(), Code::Busy | Code::Unreachable),
                "{error}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Log {
    /// Fetches all commits of a workspace, as its read model kept them.
    ///
    /// # Panics
    /// When they cannot be fetched.
    pub async fn fetch(client: &Client, workspace: &WorkspaceName) -> Self {
        let (mut entries, mut next) = (Vec::new(), Some(Index(0)));
        while let Some(first) = next {
            let ask = Question::AuditCommits(AuditCommits { first });
            let answered = within("commits", ask_patiently(client, workspace, ask)).await;
            let Answer::AuditCommits(page) = answered.answer else {
                panic!("an answer to another question")
            };
            assert!(page.problems.is_empty(), "{:?}", page.problems);
            for commit in page.commits {
                let commit = Commit::decode(&commit.0).expect("a commit").payload;
                assert_eq!(commit.first.0, entries.len() as u64);
                entries.extend(commit.entries);
            }
            next = page.next;
        }
        Self { entries }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An entry's bytes.
    pub fn entry(&self, index: Index) -> Option<&Blob> {
        self.entries.get(usize::try_from(index.0).ok()?)
    }

    /// Every command in it, each once.
    ///
    /// # Panics
    /// When one is there twice.
    pub fn commands(&self) -> BTreeSet<Vec<u8>> {
        let mut commands = BTreeSet::new();
        for bytes in &self.entries {
            let entry: Entry = cbor::decode(&bytes.0).expect("an entry");
            assert!(
                commands.insert(entry.command.0),
                "a command is in the log twice"
            );
        }
        commands
    }
}

/// Waits until the ledger takes commands again.
async fn recovered(client: &Client, workspace: &WorkspaceName) {
    let end = Instant::now() + RECOVERY;
    loop {
        let wanted = [RequestedValue {
            name: "Shared_0".parse().expect("a name"),
            version: None,
        }];
        let purpose = Purpose::Run(Nothing {});
        match client.reveal(workspace, &wanted, &purpose, None).await {
            Ok(_) => return,
            Err(error) => assert!(Instant::now() < end, "it does not recover: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Resolves every command with an unknown outcome by sending its bytes again.
async fn resolve_doubts(crowd: &Crowd) {
    let end = Instant::now() + RECOVERY;
    loop {
        let doubtful = std::mem::take(&mut crowd.record().unknown);
        if doubtful.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{} are in doubt", doubtful.len());
        for bytes in doubtful {
            if let Err(error) = crowd.send_again(0, bytes).await {
                let fine = error.code() == Code::Stale || is_passing(error.code());
                assert!(fine, "{}: {error}", error.code());
            }
        }
    }
}

/// Whether a retry may succeed.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Busy | Code::AuditUnknown | Code::AuditUnavailable
    )
}

/// Compares all answers with the log, verifies the log, and rebuilds the read model.
///
/// # Panics
/// When an acknowledged entry is lost or different, a command is in the log twice, one that was
/// refused for good is in it, a value was released without its entry, a value is lost, verification
/// finds a problem, or the rebuilt read model differs.
pub async fn check(cluster: &Cluster, crowd: &Crowd, spies: Vec<Spy>) -> Summary {
    let (client, workspace) = (&crowd.clients()[0], crowd.workspace());
    recovered(client, workspace).await;
    resolve_doubts(crowd).await;
    let log = Log::fetch(client, workspace).await;
    let record: Record = std::mem::take(&mut *crowd.record());
    for (index, told) in &record.acked {
        assert_eq!(
            log.entry(*index),
            Some(told),
            "entry {index} was acknowledged and is not there"
        );
    }
    let commands = log.commands();
    for (refused, told) in &record.refused {
        assert!(
            !commands.contains(refused),
            "a command that was refused for good is in the log: {told}"
        );
    }
    for (described, _) in &record.described {
        assert!(commands.contains(described));
    }
    let mut released = BTreeSet::new();
    for spy in spies {
        for (index, entry) in spy.released() {
            released.insert(index);
            let held = log.entry(index).map(|bytes| Digest::of(&bytes.0));
            assert_eq!(held, Some(entry), "a value left without entry {index}");
        }
    }
    values_are_kept(client, workspace, &record).await;
    verified(cluster).await;
    Summary {
        entries: log.len(),
        acked: record.acked.len(),
        released: released.len(),
        codes: record.codes,
    }
}

async fn values_are_kept(client: &Client, workspace: &WorkspaceName, record: &Record) {
    for ((name, version), value) in record.kept.iter().take(LOOKED_AT) {
        let wanted = [RequestedValue {
            name: name.clone(),
            version: Some(*version),
        }];
        let purpose = Purpose::View(Nothing {});
        let end = Instant::now() + RECOVERY;
        // Servers that reconnect may elect a leader once more.
        let revealed = loop {
            match client.reveal(workspace, &wanted, &purpose, None).await {
                Ok(revealed) => break revealed,
                Err(error) if is_passing(error.code()) && Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("{version} of {name}: {error}"),
            }
        };
        let revealed = revealed.warn(|warning| panic!("a false alarm: {warning}"));
        assert_eq!(
            revealed.values[0].value.as_slice(),
            value.as_slice(),
            "{version} of {name}"
        );
    }
}

/// Verifies with the built program.
async fn verified(cluster: &Cluster) {
    let run = |words: &[&str]| {
        let run = cluster.keyroll(words);
        tokio::task::spawn_blocking(|| run.run().code(0).json())
    };
    let report = run(&["audit", "verify", "--full", "--json"]).await;
    let report = report.expect("it ran");
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
    let rebuilt = run(&["projection", "rebuild", "--json"]).await;
    let rebuilt = rebuilt.expect("it ran");
    assert_eq!(rebuilt["identical"], true, "{rebuilt}");
}
