//! The verifier of a log. It checks every signature of the ledger, every index and every root; in
//! full depth also every actor's signature, and it decides every command again.
//!
//! It cannot detect a truncated tail without a later checkpoint, receipt or read model.

mod command_ids;
mod decode;

use keyroll_core::event::{Event, WorkspaceCreated};
use keyroll_core::statement::LedgerKey;
use keyroll_core::{
    Authority, Code, Index, LedgerId, Recorded, Rejection, Rules, State, WorkspaceName, decide,
};
use keyroll_merkle::Checkpoint;

use command_ids::CommandIds;
use decode::{DecodedCommit, DecodedEntry, ParallelDecoder, Undecodable, WorkerFailed};

use crate::report::{Problem, Report, UPGRADE_NEEDED};

/// How much to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The ledger's signatures, indexes and roots.
    Quick,
    /// Also every actor's signature, and every command is decided again.
    Full,
}

/// Verifies commits one after another.
pub struct Verifier {
    depth: Depth,
    state: State,
    /// The key that the ledger's id vouches for, in the form that `decide` needs.
    authority: Option<Authority>,
    command_ids: CommandIds,
    problems: Vec<Problem>,
    asserted: u64,
    /// The number of entries that are earlier than the one before them, and the first of these.
    time_jumps: u64,
    first_jump: Index,
    stopped: bool,
    decoder: ParallelDecoder,
}

/// Most problems in a report; a log with more is broken enough.
const PROBLEMS: usize = 1_000;

impl Verifier {
    /// A verifier of the log of `workspace`, which `ledger` vouches for.
    pub fn new(ledger: LedgerId, workspace: WorkspaceName, depth: Depth) -> Self {
        Self {
            depth,
            state: State::new(ledger, workspace),
            authority: None,
            command_ids: CommandIds::default(),
            problems: Vec::new(),
            asserted: 0,
            time_jumps: 0,
            first_jump: Index(0),
            stopped: false,
            decoder: ParallelDecoder::start(depth),
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

    /// Verifies the next commit, now or later. After a commit that does not fit, all further ones
    /// are ignored, since they cannot be verified.
    pub fn commit(&mut self, bytes: &[u8]) {
        if self.stopped {
            return;
        }
        match self.decoder.add(bytes) {
            Ok(ready) => ready
                .into_iter()
                .flatten()
                .for_each(|one| self.check_decoded(one)),
            Err(failed) => self.worker_failed(&failed),
        }
    }

    fn worker_failed(&mut self, WorkerFailed: &WorkerFailed) {
        let detail = "a thread that checks signatures failed: some signatures are unchecked";
        self.problem(None, "actor_signature", detail);
        self.stopped = true;
    }

    fn check_decoded(&mut self, decoded: Result<DecodedCommit, Undecodable>) {
        if self.stopped {
            return;
        }
        let checked = match decoded {
            Ok(decoded) => self.check_commit(decoded),
            Err(undecodable) => Err(self.undecodable(undecodable)),
        };
        if let Err((kind, words)) = checked {
            let next = self.state.size().next_index();
            self.problem(Some(next), kind, words);
            self.stopped = true;
        }
    }

    /// The problem with a commit that does not decode. A commit claims by itself that it is from a
    /// later program; the claim counts only with the ledger's signature.
    fn undecodable(&self, Undecodable { why, later }: Undecodable) -> (&'static str, String) {
        let key = self.authority.as_ref().map(|known| known.key.key);
        let is_ledgers = later.is_some_and(|signer| key.is_none_or(|key| key == signer));
        if why.code == Code::UpgradeNeeded && !is_ledgers {
            return not_signed();
        }
        undecoded(why)
    }

    fn check_commit(&mut self, decoded: DecodedCommit) -> Result<(), (&'static str, String)> {
        let commit = &decoded.commit;
        let known = self.authority.as_ref().map(|known| known.key.key);
        if !decoded.signed || known.is_some_and(|key| key != decoded.signer) {
            return Err(not_signed());
        }
        // This comes before the entries, which this program may be unable to decode.
        let rules = decoded.rules.clone().map_err(undecoded)?;
        if self.authority.is_none() {
            let key = self.vouched(&decoded)?;
            if key.key != decoded.signer {
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
                    "the commit is for workspace {} of {}",
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
        if decoded.entries.is_empty() && decoded.malformed.is_none() {
            return Err(("malformed", "a commit without entries".to_owned()));
        }
        for entry in decoded.entries {
            self.entry(rules, entry);
        }
        decoded.malformed.map_or(Ok(()), |why| Err(undecoded(why)))
    }

    /// The key that the first entry names, if the ledger's id vouches for it.
    fn vouched(&self, decoded: &DecodedCommit) -> Result<WorkspaceCreated, (&'static str, String)> {
        let unknown = |why: &str| ("ledger_key", why.to_owned());
        let Some(DecodedEntry { recorded, .. }) = decoded.entries.first() else {
            let why = decoded.malformed.clone().map(undecoded);
            return Err(why.unwrap_or_else(|| unknown("the first commit has no entry")));
        };
        let Some(Event::WorkspaceCreated(created)) = recorded.events.first() else {
            return Err(unknown("the first entry does not create the workspace"));
        };
        let statement = LedgerKey::open(&created.statement.0, self.state.ledger())
            .map_err(|r| ("ledger_key", r.message))?;
        if statement.key != created.key || statement.serial != created.serial {
            return Err(unknown(
                "the first entry names another key than the ledger vouches for",
            ));
        }
        Ok(created.clone())
    }

    fn entry(
        &mut self,
        rules: Rules,
        DecodedEntry {
            mut recorded,
            signed,
        }: DecodedEntry,
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
            self.command_ids.add(command.actor(), command.command().id);
        }
        self.state.apply(rules, &recorded);
    }

    fn decide_again(&mut self, rules: Rules, mut recorded: Recorded) -> Recorded {
        let Some(authority) = &self.authority else {
            return recorded;
        };
        if authority.key.key == recorded.command.signer() || recorded.index == Index(0) {
            self.asserted += 1;
        }
        // The signature was checked on another thread, and a bad one is reported.
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

    /// Ends the verification and compares the log with a verified checkpoint, if there is one.
    pub fn finish(mut self, checkpoint: Option<&Checkpoint>) -> Report {
        while !self.stopped {
            match self.decoder.rest() {
                Ok(Some(ready)) => ready.into_iter().for_each(|one| self.check_decoded(one)),
                Ok(None) => break,
                Err(failed) => self.worker_failed(&failed),
            }
        }
        for index in std::mem::take(&mut self.command_ids).repeated() {
            self.problem(Some(index), "repeated", "the command was executed before");
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
                "log.truncated: a recovery could not restore all entries; there were at least {size}"
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
                    "the root differs from the signed checkpoint",
                );
            }
            // The entries after a problem were not checked.
            Some(checkpoint) if checkpoint.size > entries && self.stopped => {}
            Some(checkpoint) => {
                let detail = format!(
                    "the signed checkpoint has {} entries, {entries} are here",
                    checkpoint.size
                );
                self.problem(None, "checkpoint", detail);
            }
            None => {
                warnings.push(
                    "the end is not proven: there was no later checkpoint to compare with"
                        .to_owned(),
                );
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

/// The problem with bytes that this program cannot decode.
fn undecoded(rejection: Rejection) -> (&'static str, String) {
    let kind = if rejection.code == Code::UpgradeNeeded {
        UPGRADE_NEEDED
    } else {
        "malformed"
    };
    (kind, rejection.message)
}

fn not_signed() -> (&'static str, String) {
    let words = "the commit is not signed by the ledger's key";
    ("signature", words.to_owned())
}
