//! Verification of a log by anybody who has its commits: every signature of the ledger, every
//! index and root; in full also every actor's signature, and every command decided again.
//!
//! What it cannot see without a later checkpoint, receipt or read model is a cut end.

mod names;
mod prepare;

use keyroll_core::event::{Event, WorkspaceCreated};
use keyroll_core::statement::LedgerKey;
use keyroll_core::{
    Authority, Code, Identity, Index, LedgerId, Recorded, Rejection, Rules, State, TreeSize,
    WorkspaceName, decide,
};
use keyroll_merkle::{Checkpoint, Hash};

use names::Names;
use prepare::{Lost, Preparation, Prepared, PreparedEntry, Unread};

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
    /// What sort: `malformed`, `ledger_key`, `signature`, `gap`, `root`, `rules`, `workspace`,
    /// `actor_signature`, `decision`, `repeated`, `checkpoint`; or [`UPGRADE_NEEDED`], which nobody is
    /// to blame for.
    pub kind: String,
    /// The words.
    pub detail: String,
}

/// The kind of problem that a later program does not have.
pub const UPGRADE_NEEDED: &str = Code::UpgradeNeeded.as_str();

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

    /// Whether all that is wrong is that this program is too old for the log.
    pub fn wants_upgrade(&self) -> bool {
        let upgrade = |problem: &Problem| problem.kind == UPGRADE_NEEDED;
        !self.ok() && self.problems.iter().all(upgrade)
    }
}

/// Verifies commits one after the other.
pub struct Verifier {
    depth: Depth,
    state: State,
    /// The key that the ledger's id vouches for, as deciding again wants it.
    authority: Option<Authority>,
    names: Names,
    problems: Vec<Problem>,
    asserted: u64,
    /// Entries that are earlier than the one before them: how many, and the first.
    time_jumps: u64,
    first_jump: Index,
    stopped: bool,
    preparation: Preparation,
}

/// Problems listed at most: after that a log is broken enough.
const PROBLEMS: usize = 1_000;

impl Verifier {
    /// A verifier of the log of `workspace`, which `ledger` vouches for.
    pub fn new(ledger: LedgerId, workspace: WorkspaceName, depth: Depth) -> Self {
        Self {
            depth,
            state: State::new(ledger, workspace),
            authority: None,
            names: Names::default(),
            problems: Vec::new(),
            asserted: 0,
            time_jumps: 0,
            first_jump: Index(0),
            stopped: false,
            preparation: Preparation::start(depth),
        }
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

    /// Verifies the next commit, now or later. After one that does not fit nothing further can be
    /// said, and nothing further is taken in.
    pub fn commit(&mut self, bytes: &[u8]) {
        if self.stopped {
            return;
        }
        match self.preparation.add(bytes) {
            Ok(ready) => ready
                .into_iter()
                .flatten()
                .for_each(|one| self.take_in(one)),
            Err(lost) => self.lost(&lost),
        }
    }

    fn lost(&mut self, Lost: &Lost) {
        let detail = "a thread that checks signatures failed: nothing is proven of them";
        self.problem(None, "actor_signature", detail);
        self.stopped = true;
    }

    fn take_in(&mut self, prepared: Result<Prepared, Unread>) {
        if self.stopped {
            return;
        }
        let taken = match prepared {
            Ok(prepared) => self.try_commit(prepared),
            Err(unread) => Err(self.unread(unread)),
        };
        if let Err((kind, words)) = taken {
            let next = self.state.size().next_index();
            self.problem(Some(next), kind, words);
            self.stopped = true;
        }
    }

    /// That a commit is of a later program is its signer's word: the ledger's, or nobody's.
    fn unread(&self, Unread { why, later }: Unread) -> (&'static str, String) {
        let key = self.authority.as_ref().map(|known| known.key.key);
        let is_ledgers = later.is_some_and(|signer| key.is_none_or(|key| key == signer));
        if why.code == Code::UpgradeNeeded && !is_ledgers {
            return not_signed();
        }
        undecoded(why)
    }

    fn try_commit(&mut self, prepared: Prepared) -> Result<(), (&'static str, String)> {
        let commit = &prepared.commit;
        let known = self.authority.as_ref().map(|known| known.key.key);
        if !prepared.signed || known.is_some_and(|key| key != prepared.signer) {
            return Err(not_signed());
        }
        // Before anything is said of its entries, which may have no form here.
        let rules = prepared.rules.clone().map_err(undecoded)?;
        if self.authority.is_none() {
            let key = self.vouched(&prepared)?;
            if key.key != prepared.signer {
                return Err(not_signed());
            }
            self.authority = Some(Authority {
                operator: true,
                key,
            });
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
        if rules < self.state.rules() {
            let (here, before) = (rules.number(), self.state.rules().number());
            let words = format!(
                "the commit was decided by rules {here}, the one before it by rules {before}"
            );
            return Err(("rules", words));
        }
        if prepared.entries.is_empty() && prepared.malformed.is_none() {
            return Err(("malformed", "a commit without entries".to_owned()));
        }
        for entry in prepared.entries {
            self.entry(rules, entry);
        }
        prepared.malformed.map_or(Ok(()), |why| Err(undecoded(why)))
    }

    /// The key that the first entry names, if the ledger's id vouches for it.
    fn vouched(&self, prepared: &Prepared) -> Result<WorkspaceCreated, (&'static str, String)> {
        let unknown = |why: &str| ("ledger_key", why.to_owned());
        let Some(PreparedEntry { recorded, .. }) = prepared.entries.first() else {
            let why = prepared.malformed.clone().map(undecoded);
            return Err(why.unwrap_or_else(|| unknown("the first commit has no entry")));
        };
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

    fn entry(
        &mut self,
        rules: Rules,
        PreparedEntry {
            mut recorded,
            signed,
        }: PreparedEntry,
    ) {
        if recorded.at < self.state.at() {
            if self.time_jumps == 0 {
                self.first_jump = recorded.index;
            }
            self.time_jumps += 1;
        }
        if self.depth == Depth::Full {
            if let Err(rejection) = signed {
                self.problem(Some(recorded.index), "actor_signature", rejection.message);
            }
            recorded = self.decide_again(rules, recorded);
            let command = &recorded.command;
            self.names.add(command.actor(), command.command().id);
        }
        self.state.apply(rules, &recorded);
    }

    fn decide_again(&mut self, rules: Rules, mut recorded: Recorded) -> Recorded {
        let Some(authority) = &self.authority else {
            return recorded;
        };
        if authority.key.key == recorded.command.actor() || recorded.index == Index(0) {
            self.asserted += 1;
        }
        // Its signature was checked by itself, and one that does not hold is reported.
        let command = recorded.command.assume_verified();
        let decided = decide(rules, &self.state, &command, recorded.at, authority);
        recorded.command = command.into_signed();
        match decided {
            Ok(events) if events == recorded.events => {}
            Ok(_) => self.problem(
                Some(recorded.index),
                "decision",
                "the command leads to other events",
            ),
            Err(rejection) => {
                self.problem(
                    Some(recorded.index),
                    "decision",
                    format!("the command should have been refused: {rejection}"),
                );
            }
        }
        recorded
    }

    /// What was found, held against a verified checkpoint when there is one.
    pub fn finish(mut self, checkpoint: Option<&Checkpoint>) -> Report {
        while !self.stopped {
            match self.preparation.rest() {
                Ok(Some(ready)) => ready.into_iter().for_each(|one| self.take_in(one)),
                Ok(None) => break,
                Err(lost) => self.lost(&lost),
            }
        }
        for index in std::mem::take(&mut self.names).repeated() {
            self.problem(
                Some(index),
                "repeated",
                "the command was carried out before",
            );
        }
        let (entries, root) = (self.state.size().0, self.state.root());
        let mut end_proven = false;
        let mut warnings = Vec::new();
        if self.time_jumps > 0 {
            let (count, first) = (self.time_jumps, self.first_jump);
            warnings.push(format!("time_jump: {count} entries are earlier than the one before them, entry {first} first"));
        }
        if let Some(size) = self.state.row().truncated {
            warnings.push(format!(
                "log.truncated: a recovery could not bring back all entries; there were {size} at least"
            ));
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
            // Behind a problem the rest was not looked at.
            Some(checkpoint) if checkpoint.size > entries && self.stopped => {}
            Some(checkpoint) => {
                let detail = format!(
                    "the signed checkpoint has {} entries, {entries} are here",
                    checkpoint.size
                );
                self.problem(None, "checkpoint", detail);
            }
            None => {
                warnings.push("the end is not proven: no later checkpoint was at hand".to_owned());
            }
        }
        Report {
            workspace: self.state.workspace().clone(),
            ledger: *self.state.ledger(),
            key: self.authority.map(|known| known.key.key),
            entries,
            root,
            end_proven,
            asserted: self.asserted,
            warnings,
            problems: self.problems,
        }
    }
}

/// What has no form that is known here.
fn undecoded(rejection: Rejection) -> (&'static str, String) {
    let kind = match rejection.code {
        Code::UpgradeNeeded => UPGRADE_NEEDED,
        _ => "malformed",
    };
    (kind, rejection.message)
}

fn not_signed() -> (&'static str, String) {
    let words = "the commit is not signed by the ledger's key";
    ("signature", words.to_owned())
}
