//! The result of a verification.

use keyroll_core::{Code, Identity, Index, LedgerId, TreeSize, WorkspaceName};
use keyroll_merkle::Hash;

/// One problem that verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The entry, when the problem belongs to one.
    pub index: Option<Index>,
    /// The kind: `malformed`, `ledger_key`, `signature`, `gap`, `root`, `rules`, `workspace`,
    /// `actor_signature`, `decision`, `repeated`, `checkpoint`; or [`UPGRADE_NEEDED`], which is
    /// no fault of the log.
    pub kind: String,
    /// A description.
    pub detail: String,
}

/// The kind of a problem that a later version of this program does not report.
pub const UPGRADE_NEEDED: &str = Code::UpgradeNeeded.as_str();

/// The result of a verification.
#[derive(Debug, Clone)]
pub struct Report {
    /// The workspace.
    pub workspace: WorkspaceName,
    /// The ledger.
    pub ledger: LedgerId,
    /// The key that signed the commits: the first entry names it, and the ledger's id vouches for
    /// it.
    pub key: Option<Identity>,
    /// The number of entries from the first on that verified.
    pub entries: u64,
    /// The root over them.
    pub root: Hash,
    /// Whether a signed checkpoint covers exactly these entries.
    pub end_proven: bool,
    /// Entries that only the ledger itself can vouch for: its own actions, and who may create
    /// workspaces.
    pub asserted: u64,
    /// Observations that are no problem.
    pub warnings: Vec<String>,
    /// The problems.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Counts the end as proven only up to a checkpoint from before this verification. A checkpoint
    /// that was signed for it proves nothing, since the ledger may have signed a shorter log.
    pub fn against(&mut self, trusted: Option<TreeSize>) {
        let reaches = trusted.unwrap_or(TreeSize(0)).0;
        if self.end_proven && reaches < self.entries {
            self.end_proven = false;
            self.warnings.push(format!(
                "the end is not proven: before this, entries up to {reaches} of {} were seen; later entries could be missing",
                self.entries
            ));
        }
    }

    /// Whether there are no problems.
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether the only problem is that this program is too old for the log.
    pub fn wants_upgrade(&self) -> bool {
        let upgrade = |problem: &Problem| problem.kind == UPGRADE_NEEDED;
        !self.ok() && self.problems.iter().all(upgrade)
    }
}
