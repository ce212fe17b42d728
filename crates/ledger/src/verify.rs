//! Verification of a log by anybody who has its commits: every signature of the ledger, every
//! index and root; in full also every actor's signature, and every command decided again.
//!
//! What it cannot see without a later checkpoint, receipt or read model is a cut end.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use keyroll_core::event::{Event, WorkspaceCreated};
use keyroll_core::statement::LedgerKey;
use keyroll_core::{
    Authority, Code, CommandId, Commit, Identity, Index, LedgerId, Recorded, Rejection,
    SignedCommand, State, TreeSize, WorkspaceName, decide,
};
use keyroll_merkle::{Checkpoint, Hash};

/// How much to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The ledger's signatures, indexes and roots.
    Quick,
    /// Also every actor's signature, and every command decided again.
    Full,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The entry, when it is one entry's.
    pub index: Option<Index>,
    /// What sort: `malformed`, `ledger_key`, `signature`, `gap`, `root`, `workspace`, `actor_signature`,
    /// `decision`, `repeated`, `checkpoint`.
    pub kind: String,
    /// The words.
    pub detail: String,
}

/// What verification found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The workspace.
    pub workspace: WorkspaceName,
    /// The ledger.
    pub ledger: LedgerId,
    /// The key that signed the commits, as the first entry says and the ledger's id vouches.
    pub key: Option<Identity>,
    /// Entries that follow each other without a problem from the first on.
    pub entries: u64,
    /// Root over them.
    pub root: Hash,
    /// Whether a signed checkpoint covers exactly these entries.
    pub end_proven: bool,
    /// Entries whose rightness only the ledger can know: acts of its own key, and who may make workspaces.
    pub asserted: u64,
    /// What is no problem and should be known.
    pub warnings: Vec<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Takes the end for proven only as far as a checkpoint from before this verification reaches:
    /// one that was signed for it says what the ledger likes.
    pub fn against(&mut self, seen_before: Option<TreeSize>) {
        let reaches = seen_before.unwrap_or(TreeSize(0)).0;
        if self.end_proven && reaches < self.entries {
            self.end_proven = false;
            self.warnings.push(format!(
                "the end is not proven: before this, entries up to {reaches} of {} were seen; later entries could be missing",
                self.entries
            ));
        }
    }

    /// Whether nothing is wrong.
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Verifies commits one after the other.
pub struct Verifier {
    depth: Depth,
    state: State,
    key: Option<WorkspaceCreated>,
    seen: BTreeSet<(Identity, CommandId)>,
    problems: Vec<Problem>,
    asserted: u64,
    /// Entries that are earlier than the one before them: how many, and the first.
    time_jumps: u64,
    first_jump: Index,
    stopped: bool,
    signatures: Option<Signatures>,
}

/// Problems listed at most: after that a log is broken enough.
const PROBLEMS: usize = 1_000;

impl Verifier {
    /// A verifier of the log of `workspace`, which `ledger` vouches for.
    pub fn new(ledger: LedgerId, workspace: WorkspaceName, depth: Depth) -> Self {
        Self {
            depth,
            state: State::new(ledger, workspace),
            key: None,
            seen: BTreeSet::new(),
            problems: Vec::new(),
            asserted: 0,
            time_jumps: 0,
            first_jump: Index(0),
            stopped: false,
            signatures: (depth == Depth::Full).then(Signatures::start),
        }
    }

    /// Entries verified so far.
    pub fn entries(&self) -> u64 {
        self.state.size().0
    }

    fn problem(&mut self, index: Option<Index>, kind: &str, detail: impl Into<String>) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(Problem {
                index,
                kind: kind.to_owned(),
                detail: detail.into(),
            });
        }
    }

    /// Verifies the next commit. After one that does not fit nothing further can be said, and
    /// nothing further is taken in.
    pub fn commit(&mut self, bytes: &[u8]) {
        if self.stopped {
            return;
        }
        if let Err((kind, rejection)) = self.try_commit(bytes) {
            let next = self.state.size().next_index();
            self.problem(Some(next), kind, rejection);
            self.stopped = true;
        }
    }

    fn try_commit(&mut self, bytes: &[u8]) -> Result<(), (&'static str, String)> {
        let malformed = |rejection: Rejection| ("malformed", rejection.message);
        let opened = Commit::decode_strict(bytes).map_err(malformed)?;
        let commit = &opened.payload;
        if self.key.is_none() {
            self.key = Some(self.vouched(commit)?);
        }
        let signer = self.key.as_ref().map(|created| created.key);
        if signer != Some(opened.signer) || opened.verify().is_err() {
            return Err((
                "signature",
                "the commit is not signed by the ledger's key".to_owned(),
            ));
        }
        if commit.ledger != *self.state.ledger() || commit.workspace != *self.state.workspace() {
            return Err((
                "workspace",
                format!(
                    "the commit is of workspace {} of {}",
                    commit.workspace, commit.ledger
                ),
            ));
        }
        if commit.first != self.state.size() {
            let (have, want) = (self.state.size(), commit.first);
            return Err((
                "gap",
                format!("the commit begins at entry {want}, entry {have} comes next"),
            ));
        }
        if commit.root_before() != self.state.root() {
            return Err((
                "root",
                format!(
                    "the root before entry {} is not the one the commit names",
                    commit.first
                ),
            ));
        }
        if commit.entries.is_empty() {
            return Err(("malformed", "a commit without entries".to_owned()));
        }
        for (index, entry) in (commit.first.0..).zip(&commit.entries) {
            let recorded = Recorded::decode_strict(Index(index), &entry.0).map_err(malformed)?;
            self.entry(&recorded);
        }
        Ok(())
    }

    /// The key that the first entry names, if the ledger's id vouches for it.
    fn vouched(&self, commit: &Commit) -> Result<WorkspaceCreated, (&'static str, String)> {
        let unknown = |why: &str| ("ledger_key", why.to_owned());
        let first = commit
            .entries
            .first()
            .ok_or_else(|| unknown("the first commit has no entry"))?;
        let recorded =
            Recorded::decode_strict(Index(0), &first.0).map_err(|r| ("malformed", r.message))?;
        let Some(Event::WorkspaceCreated(created)) = recorded.events.first() else {
            return Err(unknown("the first entry does not make the workspace"));
        };
        let said = LedgerKey::open(&created.statement.0, self.state.ledger())
            .map_err(|r| ("ledger_key", r.message))?;
        if said.key != created.key || said.serial != created.serial {
            return Err(unknown(
                "the first entry names another key than the ledger vouches for",
            ));
        }
        Ok(created.clone())
    }

    fn entry(&mut self, recorded: &Recorded) {
        if recorded.at < self.state.at() {
            if self.time_jumps == 0 {
                self.first_jump = recorded.index;
            }
            self.time_jumps += 1;
        }
        if self.depth == Depth::Full {
            self.decide_again(recorded);
            let name = (recorded.command.actor(), recorded.command.command().id);
            if !self.seen.insert(name) {
                self.problem(
                    Some(recorded.index),
                    "repeated",
                    "the command was carried out before",
                );
            }
            if let Some(signatures) = &self.signatures {
                signatures.check(recorded.index, recorded.command.clone());
            }
        }
        self.state.apply(recorded);
    }

    fn decide_again(&mut self, recorded: &Recorded) {
        let own = self
            .key
            .as_ref()
            .is_some_and(|created| created.key == recorded.command.actor());
        if own || recorded.index == Index(0) {
            self.asserted += 1;
        }
        let Some(key) = self.key.clone() else { return };
        // Its signature is checked on another thread, and reported there.
        let command = recorded.command.clone().assume_verified();
        let decided = decide(
            &self.state,
            &command,
            recorded.at,
            &Authority {
                operator: true,
                key,
            },
        );
        match decided {
            Ok(events) if events == recorded.events => {}
            Ok(_) => self.problem(
                Some(recorded.index),
                "decision",
                "the command leads to other events",
            ),
            // An act that these rules do not know yet is not judged by them.
            Err(rejection) if rejection.code == Code::UpgradeNeeded => self.asserted += 1,
            Err(rejection) => {
                self.problem(
                    Some(recorded.index),
                    "decision",
                    format!("the command should have been refused: {rejection}"),
                );
            }
        }
    }

    /// What was found, held against a verified checkpoint when there is one.
    pub fn finish(mut self, checkpoint: Option<&Checkpoint>) -> Report {
        if let Some(signatures) = self.signatures.take() {
            self.problems.extend(signatures.finish());
            self.problems.sort_by_key(|problem| problem.index);
        }
        let (entries, root) = (self.state.size().0, self.state.root());
        let mut end_proven = false;
        let mut warnings = Vec::new();
        if self.time_jumps > 0 {
            let (count, first) = (self.time_jumps, self.first_jump);
            warnings.push(format!("time_jump: {count} entries are earlier than the one before them, entry {first} first"));
        }
        match checkpoint {
            Some(checkpoint) if checkpoint.size == entries && checkpoint.root == root => {
                end_proven = true;
            }
            Some(checkpoint) if checkpoint.size == entries => {
                self.problem(
                    None,
                    "checkpoint",
                    "the root is not that of the signed checkpoint",
                );
            }
            Some(checkpoint) if checkpoint.size > entries && !self.stopped => {
                let detail = format!(
                    "the signed checkpoint has {} entries, {entries} are here",
                    checkpoint.size
                );
                self.problem(None, "checkpoint", detail);
            }
            Some(_) => {}
            None => {
                warnings.push("the end is not proven: no later checkpoint was at hand".to_owned());
            }
        }
        Report {
            workspace: self.state.workspace().clone(),
            ledger: *self.state.ledger(),
            key: self.key.map(|created| created.key),
            entries,
            root,
            end_proven,
            asserted: self.asserted,
            warnings,
            problems: self.problems,
        }
    }
}

/// Verifies actors' signatures on all cores while the log is folded on one.
struct Signatures {
    work: SyncSender<(Index, SignedCommand)>,
    workers: Vec<JoinHandle<()>>,
    problems: Arc<Mutex<Vec<Problem>>>,
}

/// Commands that may wait for a worker.
const WAITING: usize = 1_024;

impl Signatures {
    fn start() -> Self {
        let (work, waiting) = sync_channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let problems = Arc::new(Mutex::new(Vec::new()));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let worker = |_| {
            let (waiting, problems) = (Arc::clone(&waiting), Arc::clone(&problems));
            std::thread::spawn(move || check_all(&waiting, &problems))
        };
        Self {
            work,
            workers: (0..cores).map(worker).collect(),
            problems,
        }
    }

    fn check(&self, index: Index, command: SignedCommand) {
        // Fails only when every worker is gone, and then `finish` says so.
        drop(self.work.send((index, command)));
    }

    fn finish(self) -> Vec<Problem> {
        drop(self.work);
        let mut lost = 0;
        for worker in self.workers {
            lost += usize::from(worker.join().is_err());
        }
        let mut problems =
            std::mem::take(&mut *self.problems.lock().unwrap_or_else(PoisonError::into_inner));
        if lost > 0 {
            let detail =
                "a thread that checks signatures failed: nothing is proven of them".to_owned();
            problems.push(Problem {
                index: None,
                kind: "actor_signature".to_owned(),
                detail,
            });
        }
        problems
    }
}

fn check_all(waiting: &Mutex<Receiver<(Index, SignedCommand)>>, problems: &Mutex<Vec<Problem>>) {
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok((index, command)) = next else { return };
        if let Err(rejection) = command.check_signatures() {
            let mut problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
            if problems.len() < PROBLEMS {
                let kind = "actor_signature".to_owned();
                problems.push(Problem {
                    index: Some(index),
                    kind,
                    detail: rejection.message,
                });
            }
        }
    }
}
