//! The follower: the one way into the read model. Decode, check the ledger's signature, the place
//! and the root, fold, write.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use keyroll_core::{
    Code, Commit, Digest, Identity, Index, LedgerId, Recorded, Rejection, Sequence, State,
    TreeSize, WorkspaceName,
};
use keyroll_merkle::Nodes as _;
use tokio::sync::{mpsc, oneshot, watch};

use crate::health::Health;
use crate::log::{FollowError, Log, Message};
use crate::projection::{
    Batch, EntryFacts, LEDGER_ORDINAL, Projection, ProjectionError, WorkspaceBatch, WorkspaceHead,
};

/// Messages folded into one transaction at most.
const BATCH_MESSAGES: usize = 1_000;
/// Bytes of commits in one transaction at most.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// How long a transaction may stay without being flushed to disk. What a crash takes of the read
/// model comes again from the log.
const FLUSH: Duration = Duration::from_millis(500);

/// How far the read model is: the stream's sequence, and each workspace's head and size.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The last message folded in.
    pub sequence: Sequence,
    /// By workspace: the last message on its subject, and the number of entries.
    pub workspaces: BTreeMap<WorkspaceName, (Sequence, TreeSize)>,
}

/// What was folded in: for notices.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The workspace.
    pub workspace: WorkspaceName,
    /// The entry.
    pub index: Index,
    /// The event's name.
    pub kind: &'static str,
}

struct Slot {
    number: u32,
    state: State,
    sequence: Sequence,
    latest: u64,
    /// Why nothing more of it is folded in.
    wrong: Option<Rejection>,
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
}

/// What a message turned out to be, if not the next commit.
enum Odd {
    /// Reported, and nothing else.
    Reported(String),
    /// The workspace stops here.
    Broken(Code, String),
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
        })
    }

    /// The last message folded in.
    pub const fn sequence(&self) -> Sequence {
        self.sequence
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
        let mut batch = Batch::default();
        let mut notices = Vec::new();
        for message in messages {
            self.message(message, &mut batch, &mut notices)?;
            self.sequence = message.sequence;
            batch.head = Some((message.sequence, Digest::of(&message.bytes)));
        }
        self.collect_rows(&mut batch);
        self.projection.write(&batch, durable)?;
        Ok(notices)
    }

    fn message(
        &mut self,
        message: &Message,
        batch: &mut Batch,
        notices: &mut Vec<Notice>,
    ) -> Result<(), ProjectionError> {
        let at = message.sequence;
        let Some(workspace) = &message.workspace else {
            batch
                .problems
                .push((at, "foreign: its subject is no workspace's".to_owned()));
            return Ok(());
        };
        let (ledger, key, health) = (self.ledger, self.key, Arc::clone(&self.health));
        let slot = self.slot(workspace)?;
        slot.sequence = at;
        if slot.wrong.is_none() {
            let part = batch.workspaces.entry(slot.number).or_default();
            match check(slot, &ledger, &key, message)
                .map(|commit| apply(slot, message, &commit, part))
            {
                Ok(Ok(kinds)) => notices.extend(kinds.into_iter().map(|(index, kind)| Notice {
                    workspace: workspace.clone(),
                    index,
                    kind,
                })),
                Err(Odd::Reported(words)) => batch.problems.push((at, words)),
                Ok(Err(odd)) | Err(odd @ Odd::Broken(..)) => {
                    let (code, words) = match odd {
                        Odd::Broken(code, words) => (code, words),
                        Odd::Reported(words) => (Code::Corrupt, words),
                    };
                    let wrong = Rejection::new(code, format!("message {at} of the log: {words}"));
                    health.fail_workspace(workspace, wrong.clone());
                    slot.wrong = Some(wrong);
                    batch.problems.push((at, format!("{code}: {words}")));
                }
            }
        }
        let head = head_of(workspace, slot);
        batch.workspaces.entry(slot.number).or_default().head = Some(head);
        Ok(())
    }

    /// Takes the changed rows out of the states, as they are after the batch.
    fn collect_rows(&self, batch: &mut Batch) {
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
            part.denials = denials.map(|(id, denials)| (*id, *denials)).collect();
        }
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

/// Checks that a message is the workspace's next commit.
fn check(slot: &Slot, ledger: &LedgerId, key: &Identity, message: &Message) -> Result<Commit, Odd> {
    let opened = Commit::decode(&message.bytes).map_err(|rejection| match rejection.code {
        Code::UpgradeNeeded => Odd::Broken(Code::UpgradeNeeded, rejection.message),
        _ => Odd::Reported(format!("foreign: {}", rejection.message)),
    })?;
    let corrupt = |why: String| Err(Odd::Broken(Code::Corrupt, why));
    if opened.signer != *key || opened.verify().is_err() {
        return corrupt("the commit is not signed by the ledger's key".to_owned());
    }
    let commit = opened.payload;
    let state = &slot.state;
    if commit.ledger != *ledger || commit.workspace != *state.workspace() {
        return corrupt(format!(
            "a commit of workspace {} lies on the subject of {}",
            commit.workspace,
            state.workspace()
        ));
    }
    if commit.first < state.size() {
        return Err(Odd::Reported(format!(
            "stale: a commit of entry {} again",
            commit.first
        )));
    }
    if commit.first > state.size() {
        return corrupt(format!(
            "entries {} to {} are missing before it",
            state.size(),
            commit.first
        ));
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
    Ok(commit)
}

type Kinds = Vec<(Index, &'static str)>;

fn apply(
    slot: &mut Slot,
    message: &Message,
    commit: &Commit,
    part: &mut WorkspaceBatch,
) -> Result<Kinds, Odd> {
    let decoded: Result<Vec<Recorded>, _> = (commit.first.0..)
        .zip(&commit.entries)
        .map(|(index, bytes)| Recorded::decode(Index(index), &bytes.0))
        .collect();
    let entries = decoded.map_err(|rejection| Odd::Broken(Code::Corrupt, rejection.message))?;
    let mut kinds = Vec::new();
    part.commits.push((commit.first.0, message.bytes.clone()));
    for recorded in &entries {
        let changes = slot.state.apply(recorded);
        kinds.extend(
            recorded
                .events
                .iter()
                .map(|event| (recorded.index, event.kind().1)),
        );
        part.entries.push(facts(slot, recorded, &changes));
        if recorded.at.0 > slot.latest {
            slot.latest = recorded.at.0;
            part.times.push((recorded.at, recorded.index));
        }
        merge(&mut part.changes, changes);
    }
    Ok(kinds)
}

fn facts(slot: &Slot, recorded: &Recorded, changes: &keyroll_core::Changes) -> EntryFacts {
    let state = &slot.state;
    let ordinal = |id: &keyroll_core::SecretId| state.secret(id).map(|secret| secret.ordinal);
    let size = recorded.index.tree_size().0;
    let nodes = [0_u8, 8, 16, 24]
        .into_iter()
        .filter(|level| size.is_multiple_of(1 << level))
        .filter_map(|level| {
            let index = (size >> level) - 1;
            state
                .tree()
                .node(level, index)
                .ok()
                .map(|hash| (level, index, hash))
        });
    EntryFacts {
        index: recorded.index,
        at: recorded.at,
        actor: actor_ordinal(state, &recorded.command.actor()),
        command: recorded.command.command().id,
        secrets: changes.touched.iter().filter_map(ordinal).collect(),
        kinds: changes.kinds.clone(),
        nodes: nodes.collect(),
    }
}

/// The ordinal that indexes know an actor by.
pub(crate) fn actor_ordinal(state: &State, actor: &Identity) -> u32 {
    state
        .any_member(actor)
        .map_or(LEDGER_ORDINAL, |member| member.ordinal)
}

fn merge(into: &mut keyroll_core::Changes, from: keyroll_core::Changes) {
    into.secrets.extend(from.secrets);
    into.versions.extend(from.versions);
    into.members.extend(from.members);
    into.denials.extend(from.denials);
    into.revoked.extend(from.revoked);
}

/// A wish to the follower's task.
pub enum Wish {
    /// Take this fold, which was built anew from the log, in place of the present one: catch up,
    /// compare, move its file into place.
    Replace(
        Box<Fold>,
        oneshot::Sender<Result<Replaced, ProjectionError>>,
    ),
}

/// What came of a replacement.
#[derive(Debug, Clone, Copy)]
pub struct Replaced {
    /// Digest of the read model that was dropped.
    pub before: Digest,
    /// Digest of the one built anew, at the same place of the log.
    pub after: Digest,
}

/// Runs a follower until the log fails or the process ends.
pub struct Follower {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where it is folded into.
    pub fold: Fold,
    /// Tells how far it is.
    pub progress: watch::Sender<Progress>,
    /// Tells which projection to read.
    pub projection: watch::Sender<Projection>,
    /// Takes notices; when it is full they are dropped, as they are best effort.
    pub notices: mpsc::Sender<Notice>,
    /// Wishes.
    pub wishes: mpsc::Receiver<Wish>,
    /// What is wrong.
    pub health: Arc<Health>,
}

impl Follower {
    /// Follows for ever.
    pub async fn run(mut self) {
        let mut stream = self.log.follow(self.fold.sequence());
        let mut unflushed = false;
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(message)) => {
                        let messages = drain(message, &mut stream);
                        if let Err(why) = self.step(messages, false) {
                            return self.health.fail(Code::Internal, why.to_string());
                        }
                        unflushed = true;
                    }
                    Some(Err(error)) => return self.log_failed(&error),
                    None => return,
                },
                wish = self.wishes.recv() => {
                    let Some(Wish::Replace(fold, done)) = wish else { return };
                    let replaced = self.replace(*fold).await;
                    // Whoever wished may have gone.
                    let _ = done.send(replaced);
                }
                () = tokio::time::sleep(FLUSH), if unflushed => {
                    if let Err(why) = self.fold.projection().write(&Batch::default(), true) {
                        return self.health.fail(Code::Internal, why.to_string());
                    }
                    unflushed = false;
                }
            }
        }
    }

    fn log_failed(&self, error: &FollowError) {
        let code = match error {
            FollowError::Gap { .. } => Code::Corrupt,
            FollowError::Behind { .. } => Code::Rollback,
        };
        self.health.fail(code, error.to_string());
    }

    fn step(&mut self, messages: Drained, durable: bool) -> Result<(), ProjectionError> {
        let notices = self.fold.fold(&messages.messages, durable)?;
        self.publish();
        for notice in notices {
            if self.notices.try_send(notice).is_err() {
                break;
            }
        }
        match messages.then {
            Some(error) => {
                self.log_failed(&error);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn publish(&self) {
        let fold = &self.fold;
        self.progress.send_modify(|progress| {
            progress.sequence = fold.sequence;
            for (workspace, slot) in &fold.slots {
                progress
                    .workspaces
                    .insert(workspace.clone(), (slot.sequence, slot.state.size()));
            }
        });
    }

    async fn replace(&mut self, mut fresh: Fold) -> Result<Replaced, ProjectionError> {
        catch_up(self.log.as_ref(), &mut fresh, self.fold.sequence()).await?;
        let before = crate::projection::digest(&self.fold.projection.view()?)?;
        let after = crate::projection::digest(&fresh.projection.view()?)?;
        let path = self.fold.projection.path().to_owned();
        std::fs::rename(fresh.projection.path(), &path)
            .map_err(|error| ProjectionError::Storage(error.to_string()))?;
        fresh.projection = fresh.projection.moved_to(&path);
        self.projection.send_replace(fresh.projection.clone());
        self.fold = fresh;
        self.publish();
        Ok(Replaced { before, after })
    }
}

/// Folds the log into `fold` up to and with the message `until`.
///
/// # Errors
/// [`ProjectionError`], also when the log ends or has a gap before.
pub async fn catch_up(
    log: &dyn Log,
    fold: &mut Fold,
    until: Sequence,
) -> Result<(), ProjectionError> {
    let mut stream = log.follow(fold.sequence());
    while fold.sequence() < until {
        let Some(next) = stream.next().await else {
            return Err(ProjectionError::Storage("the log ended".to_owned()));
        };
        let first = next.map_err(|error| ProjectionError::Storage(error.to_string()))?;
        let mut drained = drain(first, &mut stream);
        drained.messages.retain(|message| message.sequence <= until);
        fold.fold(&drained.messages, fold.sequence() >= until)?;
        if let Some(error) = drained.then {
            return Err(ProjectionError::Storage(error.to_string()));
        }
    }
    // Everything before it lasts with it.
    fold.projection().write(&Batch::default(), true)
}

struct Drained {
    messages: Vec<Message>,
    then: Option<FollowError>,
}

/// Takes what is there already, up to a bound.
fn drain(first: Message, stream: &mut BoxStream<'static, Result<Message, FollowError>>) -> Drained {
    let mut bytes = first.bytes.len();
    let mut messages = vec![first];
    while messages.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
        match futures::FutureExt::now_or_never(stream.next()) {
            Some(Some(Ok(message))) => {
                bytes += message.bytes.len();
                messages.push(message);
            }
            Some(Some(Err(error))) => {
                return Drained {
                    messages,
                    then: Some(error),
                };
            }
            Some(None) | None => break,
        }
    }
    Drained {
        messages,
        then: None,
    }
}

/// How far a projection is, without a fold.
///
/// # Errors
/// [`ProjectionError`].
pub fn progress_of(projection: &Projection) -> Result<Progress, ProjectionError> {
    let view = projection.view()?;
    let sequence = view.head()?.map_or(Sequence(0), |(sequence, _)| sequence);
    let workspaces = view.workspaces()?;
    let by_name = workspaces
        .into_iter()
        .map(|(_, head)| (head.name, (head.sequence, head.size)));
    Ok(Progress {
        sequence,
        workspaces: by_name.collect(),
    })
}
