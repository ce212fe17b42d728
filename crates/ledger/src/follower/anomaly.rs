//! Tells the next commit of a workspace from an anomaly.

use keyroll_core::{Code, Commit, Identity, LedgerId, Rejection, State, TreeSize, WorkspaceName};

use super::prepare::{OpenedCommit, open};

/// A message that is not the next commit of its workspace.
pub(crate) enum Anomaly {
    /// No commit. It is reported, and ignored.
    Foreign(String),
    /// A commit of entries that are already there. It is reported, and ignored.
    Duplicate {
        /// Its first entry.
        first: TreeSize,
    },
    /// A commit of later entries: entries before it are missing, and the workspace stops here.
    Gap {
        /// Its first entry.
        first: TreeSize,
    },
    /// A damaged commit: the workspace stops here.
    Broken(Code, String),
}

/// The consequence of an anomaly.
pub(super) enum Severity {
    /// It is reported as a problem of this kind.
    Ignored(&'static str),
    /// Nothing more of the workspace is folded in.
    Stops(Code),
}

impl Anomaly {
    /// How it is reported, and whether the workspace stops here. `size` is that of the workspace.
    pub(super) fn report(self, size: TreeSize) -> (Severity, String) {
        match self {
            Self::Foreign(why) => (Severity::Ignored("foreign"), why),
            Self::Duplicate { first } => {
                let message = format!("a commit of entry {first} again");
                (Severity::Ignored("stale"), message)
            }
            Self::Gap { first } => {
                let message = format!("entries {size} to {first} are missing before it");
                (Severity::Stops(Code::Corrupt), message)
            }
            Self::Broken(code, why) => (Severity::Stops(code), why),
        }
    }

    /// A commit with an entry that does not decode, or that only a later program knows.
    pub(super) fn malformed(rejection: Rejection) -> Self {
        let code = if rejection.code == Code::UpgradeNeeded {
            Code::UpgradeNeeded
        } else {
            Code::Corrupt
        };
        Self::Broken(code, rejection.message)
    }
}

impl std::fmt::Display for Anomaly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Foreign(why) | Self::Broken(_, why) => f.write_str(why),
            Self::Duplicate { first, .. } => write!(f, "a commit of entry {first} again"),
            Self::Gap { first, .. } => write!(f, "entries before entry {first} are missing"),
        }
    }
}

/// Checks that a commit belongs to a workspace of a ledger, wherever its place is.
///
/// # Errors
/// The workspace that it names instead.
pub(crate) fn check_owner(
    commit: &Commit,
    ledger: &LedgerId,
    workspace: &WorkspaceName,
) -> Result<(), String> {
    if commit.ledger == *ledger && commit.workspace == *workspace {
        return Ok(());
    }
    Err(format!(
        "a commit of workspace {} lies on the subject of {workspace}",
        commit.workspace
    ))
}

/// Checks that a message is the workspace's next commit.
pub(super) fn next(
    state: &State,
    ledger: &LedgerId,
    opened: Result<OpenedCommit, Rejection>,
) -> Result<OpenedCommit, Anomaly> {
    let opened = opened.map_err(|Rejection { code, message }| {
        if code == Code::UpgradeNeeded {
            Anomaly::Broken(Code::UpgradeNeeded, message)
        } else if matches!(code, Code::BadSignature | Code::Corrupt) {
            Anomaly::Broken(Code::Corrupt, message)
        } else {
            Anomaly::Foreign(message)
        }
    })?;
    let corrupt = |why: String| Err(Anomaly::Broken(Code::Corrupt, why));
    let commit = &opened.commit;
    if let Err(why) = check_owner(commit, ledger, state.workspace()) {
        return corrupt(why);
    }
    let first = commit.first;
    if first < state.size() {
        return Err(Anomaly::Duplicate { first });
    }
    if first > state.size() {
        return Err(Anomaly::Gap { first });
    }
    if commit.root_before() != state.root() {
        return corrupt(format!(
            "the root over the first {} entries is not the one it names",
            commit.first
        ));
    }
    if commit.entries.is_empty() {
        return corrupt("a commit without entries".to_owned());
    }
    if opened.rules < state.rules() {
        let (here, before) = (opened.rules.number(), state.rules().number());
        return corrupt(format!(
            "it was decided by rules {here}, the entries before it by rules {before}"
        ));
    }
    Ok(opened)
}

/// Folds a commit into a state, if it is the next one, and does nothing else.
///
/// # Errors
/// The anomaly. The state is then unchanged.
pub(crate) fn fold_next(
    state: &mut State,
    ledger: &LedgerId,
    key: &Identity,
    bytes: &[u8],
) -> Result<(), Anomaly> {
    let OpenedCommit { rules, entries, .. } = next(state, ledger, open(bytes, key))?;
    for recorded in &entries.map_err(Anomaly::malformed)? {
        state.apply(rules, recorded);
    }
    Ok(())
}
