//! Folding messages into a projection: decode, check the ledger's signature, the place and the
//! root, fold, write.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keyroll_core::names::Label;
use keyroll_core::{
    Code, Commit, Digest, Identity, LedgerId, Rejection, Sequence, State, TreeSize, WorkspaceName,
};

use tokio::time::Instant;

use super::entries::apply;
use super::prepare::{Opened, Prepared, open, prepare};
use super::{IDLE, Notice, Progress};
use crate::health::Health;
use crate::projection::{
    Problem, Projection, ProjectionError, WorkspaceHead, WriteBatch, catch_panics,
};
use keyroll_store::log::Message;

/// How often within that time it is looked for workspaces that are idle.
const IDLE_LOOKS: u32 = 10;

/// A workspace as it is at this place of the log.
pub(super) struct Slot {
    number: u32,
    pub(super) state: State,
    sequence: Sequence,
    pub(super) latest: u64,
    /// Why nothing more of it is folded in.
    wrong: Option<Rejection>,
    /// When it was last folded into.
    used: Instant,
}

/// Folds messages into a projection.
pub struct Fold {
    ledger: LedgerId,
    key: Identity,
    health: Arc<Health>,
    projection: Projection,
    slots: HashMap<WorkspaceName, Slot>,
    numbers: u32,
    sequence: Sequence,
    /// How long an unused workspace stays in memory.
    idle: Duration,
}

/// What a message turned out to be, if not the next commit.
pub(crate) enum Anomaly {
    /// No commit: reported, and nothing else.
    Foreign(String),
    /// A commit of entries that are there: reported, and nothing else.
    Duplicate {
        /// Its first entry.
        first: TreeSize,
    },
    /// A commit of later entries: what comes before it is missing, and the workspace stops here.
    Gap {
        /// Its first entry.
        first: TreeSize,
    },
    /// The workspace stops here.
    Broken(Code, String),
}

impl Anomaly {
    /// Of a commit with an entry that is none, or one that only a later program knows.
    pub(super) fn malformed(rejection: Rejection) -> Self {
        let code = match rejection.code {
            Code::UpgradeNeeded => Code::UpgradeNeeded,
            _ => Code::Corrupt,
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

impl Fold {
    /// Goes on where a projection is. The ledger's online key is `key`.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn resume(
        projection: Projection,
        ledger: LedgerId,
        key: Identity,
        health: Arc<Health>,
    ) -> Result<Self, ProjectionError> {
        let view = projection.view()?;
        let sequence = view.head()?.map_or(Sequence(0), |(sequence, _)| sequence);
        let workspaces = view.workspaces()?;
        for (_, head) in &workspaces {
            if let Some(wrong) = &head.wrong {
                health.fail_workspace(&head.name, wrong.clone());
            }
        }
        let numbers = u32::try_from(workspaces.len()).unwrap_or(u32::MAX);
        drop(view);
        Ok(Self {
            ledger,
            key,
            health,
            projection,
            slots: HashMap::new(),
            numbers,
            sequence,
            idle: IDLE,
        })
    }

    /// Has workspaces leave memory after so long without an entry.
    pub fn forget_after(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// How long an unused workspace stays in memory.
    pub(super) const fn idle(&self) -> Duration {
        self.idle
    }

    /// How often to look for workspaces that are idle.
    pub(super) fn idle_check_interval(&self) -> Duration {
        (self.idle / IDLE_LOOKS).max(Duration::from_millis(1))
    }

    /// Drops workspaces that are idle: all of them is in the read model, and read when they are used.
    pub(super) fn forget_idle(&mut self) {
        let idle = self.idle;
        self.slots.retain(|_, slot| slot.used.elapsed() < idle);
        self.slots.shrink_to_fit();
    }

    /// The last message folded in.
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Tells how far it is.
    pub(super) fn update_progress(&self, progress: &mut Progress) {
        progress.sequence = self.sequence;
        progress.loaded = self.slots.len();
        for (workspace, slot) in &self.slots {
            progress
                .workspaces
                .insert(workspace.clone(), (slot.sequence, slot.state.size()));
            if slot.state.row().is_unfinished() {
                progress.unfinished.insert(workspace.clone());
            } else {
                progress.unfinished.remove(workspace);
            }
        }
    }

    /// Moves its file.
    pub(super) fn move_to(&mut self, path: &std::path::Path) -> Result<(), ProjectionError> {
        crate::durable::rename(self.projection.path(), path)
            .map_err(|error| ProjectionError::Storage(error.to_string()))?;
        self.projection = self.projection.clone().moved_to(path);
        Ok(())
    }

    /// Opens its file again after the disk failed it, and goes on where that is.
    ///
    /// # Errors
    /// [`ProjectionError`]: then this can be tried again.
    pub(super) fn reopen(&mut self, why: &ProjectionError) -> Result<(), ProjectionError> {
        self.projection.reopen(&self.ledger, why)?;
        let (projection, health) = (self.projection.clone(), Arc::clone(&self.health));
        let idle = self.idle;
        *self = catch_panics(|| Self::resume(projection, self.ledger, self.key, health))?;
        self.idle = idle;
        Ok(())
    }

    /// Reports to another place what is wrong from now on.
    pub(crate) fn report_to(&mut self, health: Arc<Health>) {
        self.health = health;
    }

    /// The projection it writes.
    pub const fn projection(&self) -> &Projection {
        &self.projection
    }

    fn slot(&mut self, workspace: &WorkspaceName) -> Result<&mut Slot, ProjectionError> {
        if !self.slots.contains_key(workspace) {
            let slot = self.load(workspace)?;
            self.slots.insert(workspace.clone(), slot);
        }
        self.slots
            .get_mut(workspace)
            .ok_or_else(|| ProjectionError::Damaged("a slot vanished".to_owned()))
    }

    fn load(&mut self, workspace: &WorkspaceName) -> Result<Slot, ProjectionError> {
        let view = self.projection.view()?;
        if let Some(found) = view.workspace(workspace)? {
            let head = found.head();
            let (sequence, latest, wrong) = (head.sequence, head.latest, head.wrong.clone());
            let state = found.state(self.ledger)?;
            return Ok(Slot {
                number: found.number(),
                state,
                sequence,
                latest,
                wrong,
                used: Instant::now(),
            });
        }
        let number = self.numbers;
        self.numbers = self.numbers.saturating_add(1);
        let state = State::new(self.ledger, workspace.clone());
        Ok(Slot {
            number,
            state,
            sequence: Sequence(0),
            latest: 0,
            wrong: None,
            used: Instant::now(),
        })
    }

    /// Folds messages in and writes them as one transaction. What happened, for notices.
    ///
    /// # Errors
    /// [`ProjectionError`]: then this fold is of no use any more, as its states are ahead.
    pub fn fold(
        &mut self,
        messages: &[Message],
        durable: bool,
    ) -> Result<Vec<Notice>, ProjectionError> {
        self.fold_prepared(self.prepared(messages.to_vec()), durable)
    }

    /// What can be done with messages before the ones before them are folded in.
    fn prepared(&self, messages: Vec<Message>) -> Vec<Prepared> {
        prepare(messages, &self.key)
    }

    /// The ledger's online key.
    pub(super) const fn key(&self) -> Identity {
        self.key
    }

    pub(super) fn fold_prepared(
        &mut self,
        messages: Vec<Prepared>,
        durable: bool,
    ) -> Result<Vec<Notice>, ProjectionError> {
        let mut batch = WriteBatch::default();
        let mut notices = Vec::new();
        let last = messages.last().map(|one| one.message.clone());
        for one in messages {
            self.sequence = one.message.sequence;
            self.message(one, &mut batch, &mut notices)?;
        }
        batch.head = last.map(|last| (last.sequence, Digest::of(&last.bytes)));
        self.collect_rows(&mut batch);
        self.projection.write(&batch, durable)?;
        Ok(notices)
    }

    fn message(
        &mut self,
        Prepared { message, opened }: Prepared,
        batch: &mut WriteBatch,
        notices: &mut Vec<Notice>,
    ) -> Result<(), ProjectionError> {
        let message = &message;
        let at = message.sequence;
        let Some(workspace) = &message.workspace else {
            batch
                .problems
                .push(problem(message, "foreign", "its subject is no workspace's"));
            return Ok(());
        };
        let (ledger, health) = (self.ledger, Arc::clone(&self.health));
        let slot = self.slot(workspace)?;
        (slot.sequence, slot.used) = (at, Instant::now());
        if slot.wrong.is_none() {
            let part = batch.workspaces.entry(slot.number).or_default();
            match next(&slot.state, &ledger, opened)
                .map(|opened| apply(slot, message, opened, part))
            {
                Ok(Ok(kinds)) => notices.extend(kinds.into_iter().map(|(index, kind)| Notice {
                    workspace: workspace.clone(),
                    index,
                    kind,
                })),
                Err(Anomaly::Foreign(words)) => {
                    batch.problems.push(problem(message, "foreign", &words));
                }
                Err(Anomaly::Duplicate { first, .. }) => {
                    let words = format!("a commit of entry {first} again");
                    batch.problems.push(problem(message, "stale", &words));
                }
                Ok(Err(anomaly)) | Err(anomaly @ (Anomaly::Broken(..) | Anomaly::Gap { .. })) => {
                    let (code, words) = match anomaly {
                        Anomaly::Broken(code, words) => (code, words),
                        Anomaly::Gap { first, .. } => {
                            let size = slot.state.size();
                            let words = format!("entries {size} to {first} are missing before it");
                            (Code::Corrupt, words)
                        }
                        Anomaly::Foreign(words) => (Code::Corrupt, words),
                        Anomaly::Duplicate { first, .. } => {
                            (Code::Corrupt, format!("entry {first} again"))
                        }
                    };
                    let wrong = Rejection::new(code, format!("message {at} of the log: {words}"));
                    health.fail_workspace(workspace, wrong.clone());
                    slot.wrong = Some(wrong);
                    batch.problems.push(problem(message, code.as_str(), &words));
                }
            }
        }
        let head = head_of(workspace, slot);
        batch.workspaces.entry(slot.number).or_default().head = Some(head);
        Ok(())
    }

    /// Takes the changed rows out of the states, as they are after the batch.
    fn collect_rows(&self, batch: &mut WriteBatch) {
        for slot in self.slots.values() {
            let Some(part) = batch.workspaces.get_mut(&slot.number) else {
                continue;
            };
            let state = &slot.state;
            let secret = |id: &keyroll_core::SecretId| state.secret(id).map(|secret| (*id, secret));
            part.secrets = part
                .changes
                .secrets
                .iter()
                .filter_map(secret)
                .map(|(id, s)| (id, s.clone()))
                .collect();
            part.versions = part
                .changes
                .versions
                .iter()
                .filter_map(|(id, version)| {
                    let secret = state.secret(id)?;
                    Some((secret.ordinal, *version, secret.version(*version)?.clone()))
                })
                .collect();
            let member = |id: &Identity| state.any_member(id).map(|member| (*id, member.clone()));
            part.members = part.changes.members.iter().filter_map(member).collect();
            let denials = state
                .denials()
                .filter(|(id, _)| part.changes.denials.contains(id));
            let workflow = |name: &Label| (name.clone(), state.workflow(name).cloned());
            part.workflows = part.changes.workflows.iter().map(workflow).collect();
            let delegation = |pair: &(Identity, Identity)| (*pair, state.delegation(pair));
            let delegations = part.changes.delegations.iter();
            part.delegations = delegations.map(delegation).collect();
            part.denials = denials.map(|(id, denials)| (*id, *denials)).collect();
        }
    }
}

fn problem(message: &Message, kind: &str, detail: &str) -> Problem {
    let (sequence, workspace) = (message.sequence, message.workspace.clone());
    Problem {
        kind: kind.to_owned(),
        detail: detail.to_owned(),
        sequence,
        workspace,
    }
}

fn head_of(workspace: &WorkspaceName, slot: &Slot) -> WorkspaceHead {
    WorkspaceHead {
        name: workspace.clone(),
        row: slot.state.row().clone(),
        size: slot.state.size(),
        tree: slot
            .state
            .tree()
            .compact_range()
            .into_iter()
            .map(|hash| Digest(hash.0))
            .collect(),
        sequence: slot.sequence,
        latest: slot.latest,
        wrong: slot.wrong.clone(),
    }
}

/// Checks whose a commit is, wherever its place.
///
/// # Errors
/// Whose it is instead.
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
fn next(
    state: &State,
    ledger: &LedgerId,
    opened: Result<Opened, Rejection>,
) -> Result<Opened, Anomaly> {
    let opened = opened.map_err(|rejection| match rejection.code {
        Code::UpgradeNeeded => Anomaly::Broken(Code::UpgradeNeeded, rejection.message),
        Code::BadSignature | Code::Corrupt => Anomaly::Broken(Code::Corrupt, rejection.message),
        _ => Anomaly::Foreign(rejection.message),
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
/// What it is instead; the state is as it was.
pub(crate) fn fold_next(
    state: &mut State,
    ledger: &LedgerId,
    key: &Identity,
    bytes: &[u8],
) -> Result<(), Anomaly> {
    let Opened { rules, entries, .. } = next(state, ledger, open(bytes, key))?;
    for recorded in &entries.map_err(Anomaly::malformed)? {
        state.apply(rules, recorded);
    }
    Ok(())
}
