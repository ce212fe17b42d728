//! Whether the vault holds the values that the log says are live, and nothing of those that it says
//! are erased.
//!
//! Values move while this is looked at: a rotation copies them to another generation and erases them
//! where they were, a destroy erases them for good. So nothing is ever judged by the moment at which
//! the look began. What was not found is looked for again by the newest state of the log, and it is
//! lost only if that state says that it is live and has not moved since it was looked for.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _};
use keyroll_core::command::{LostValue, StoredAt};
use keyroll_core::crypto::WrapContext;
use keyroll_core::state::{Secret, ValueState, VersionInfo, WorkspaceRow};
use keyroll_core::{
    Code, Epoch, ObjectId, Rejection, SecretId, SecretName, State, Version, WorkspaceName,
};

use super::{Ledger, REACH};
use crate::projection::{ProjectionError, WorkspaceView, contained};

/// Reads of the vault at once.
pub(super) const CONCURRENT_REQUESTS: usize = 32;
/// Values whose reads are prepared at once: what is prepared takes memory.
const CHUNK: usize = 1_000;
/// Rotations of the key that may begin while a value is looked for; more and the look is given up.
const ROTATIONS: usize = 8;

/// A live version whose value is gone.
pub(super) struct Lost {
    pub(super) value: LostValue,
    pub(super) name: SecretName,
    pub(super) why: String,
}

/// What the vault holds of a workspace.
#[derive(Default)]
pub(super) struct Values {
    /// Live versions looked at.
    pub(super) checked: u64,
    /// Versions whose value is gone.
    pub(super) lost: Vec<Lost>,
    /// Subjects that hold what the log says is erased.
    pub(super) left: Vec<String>,
    /// Subjects that hold what the log says is destroyed: their erasure is under way.
    pub(super) ending: Vec<String>,
    /// Subjects that no version refers to.
    pub(super) orphans: u64,
    /// Values that lie under a generation which the log does not know (any more): its end is lost.
    pub(super) ahead: Vec<Lost>,
}

/// A live version, and where its value lies.
struct Wanted {
    id: SecretId,
    name: SecretName,
    ordinal: u32,
    version: Version,
    info: VersionInfo,
}

/// A value that was not found where the log had it.
struct Missing {
    wanted: Wanted,
    why: String,
}

impl From<Missing> for Lost {
    fn from(Missing { wanted, why }: Missing) -> Self {
        let (id, version) = (wanted.id, wanted.version);
        Self {
            value: LostValue { id, version },
            name: wanted.name,
            why,
        }
    }
}

/// Versions of all secrets, in whatever state.
pub(super) fn versions(
    state: &State,
) -> impl Iterator<Item = (SecretId, &Secret, Version, &VersionInfo)> {
    state.secrets().flat_map(|(id, secret)| {
        let numbered = (1..).map(Version).zip(&secret.versions);
        numbered.map(move |(version, info)| (*id, secret, version, info))
    })
}

impl Ledger {
    /// What lies in the vault of a workspace, for [`Ledger::check_values`]: listed before the state is
    /// read, since a value is stored before its entry is appended.
    pub(super) async fn stored(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<Vec<StoredAt>, Rejection> {
        self.vault.list(workspace, None, None).await
    }

    /// Looks every live value up, and for what should not be there.
    pub(super) async fn check_values(
        &self,
        state: &State,
        stored: Vec<StoredAt>,
    ) -> Result<Values, Rejection> {
        let ahead = |at: &&StoredAt| at.epoch > state.epoch();
        let ahead = stored.iter().filter(ahead);
        let ahead: BTreeMap<ObjectId, Epoch> = ahead.map(|at| (at.place, at.epoch)).collect();
        let mut values = self.check_stored(state, stored).await?;
        // A key that is in memory alone opens nothing once this service ends.
        self.keyring.forget_workspaces();
        let mut live = versions(state).filter(|(.., info)| info.state == ValueState::Live);
        let mut missing = Vec::new();
        loop {
            let some = live.by_ref().take(CHUNK);
            let chunk: Vec<Wanted> = some
                .map(|(id, secret, version, info)| Wanted {
                    id,
                    name: secret.name.clone(),
                    ordinal: secret.ordinal,
                    version,
                    info: info.clone(),
                })
                .collect();
            if chunk.is_empty() {
                break;
            }
            values.checked += chunk.len() as u64;
            missing.extend(self.look_for(state.workspace(), state.row(), chunk).await?);
        }
        let lost = self.confirm(state, missing).await?;
        for one in lost {
            let (workspace, place) = (state.workspace(), one.wanted.info.place);
            let found = match ahead.get(&place) {
                Some(epoch) => self.look_at(workspace, &one.wanted, *epoch).await,
                None => Err(Rejection::new(Code::ValueLost, String::new())),
            };
            match found {
                Ok(()) => values.ahead.push(one.into()),
                Err(rejection) if rejection.code == Code::ValueLost => values.lost.push(one.into()),
                Err(rejection) => return Err(rejection),
            }
        }
        Ok(values)
    }

    /// Sorts what is stored by what the log says of it. Only what is still there counts: an erasure
    /// may have gone on meanwhile.
    async fn check_stored(
        &self,
        state: &State,
        stored: Vec<StoredAt>,
    ) -> Result<Values, Rejection> {
        let known: BTreeMap<ObjectId, ValueState> = versions(state)
            .map(|(.., info)| (info.place, info.state))
            .collect();
        let odd = |at: &StoredAt| {
            let said = known.get(&at.place).copied();
            !matches!(said, Some(ValueState::Live | ValueState::Lost))
        };
        let odd: Vec<StoredAt> = stored.into_iter().filter(odd).collect();
        let (mut values, workspace) = (Values::default(), state.workspace());
        for chunk in odd.chunks(CHUNK) {
            let looks = chunk
                .iter()
                .map(|at| self.vault.info(workspace, *at).boxed());
            let looks: Vec<_> = looks.collect();
            let mut looks = futures::stream::iter(looks).buffered(CONCURRENT_REQUESTS);
            for at in chunk {
                let Some(held) = looks.next().await else {
                    break;
                };
                if held?.is_none() {
                    continue;
                }
                let subject = || keyroll_store::vault::subject(workspace, &at.place, at.epoch);
                match known.get(&at.place) {
                    Some(ValueState::Erased) => values.left.push(subject()),
                    Some(ValueState::Destroyed) => values.ending.push(subject()),
                    // What nothing refers to under the generation being retired goes with it.
                    _ => values.orphans += u64::from(state.row().retiring != Some(at.epoch)),
                }
            }
        }
        Ok(values)
    }

    /// Looks for values by a workspace's row. Those that are not there.
    async fn look_for(
        &self,
        workspace: &WorkspaceName,
        row: &WorkspaceRow,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Missing>, Rejection> {
        let looks: Vec<_> = wanted
            .into_iter()
            .map(|wanted| self.look(workspace, row, wanted).boxed())
            .collect();
        let mut looks = futures::stream::iter(looks).buffered(CONCURRENT_REQUESTS);
        let mut missing = Vec::new();
        while let Some(look) = looks.next().await {
            missing.extend(look?);
        }
        Ok(missing)
    }

    /// What is wrong with one value. Only what is certain: a vault that does not answer is an error.
    async fn look(
        &self,
        workspace: &WorkspaceName,
        row: &WorkspaceRow,
        wanted: Wanted,
    ) -> Result<Option<Missing>, Rejection> {
        // The older one first: what has left it since is at the newer one.
        let (first, then) = row.epochs_of(&wanted.info);
        let mut why = String::new();
        for epoch in [Some(first), then].into_iter().flatten() {
            match self.look_at(workspace, &wanted, epoch).await {
                Ok(()) => return Ok(None),
                Err(rejection) if rejection.code == Code::ValueLost => why = rejection.message,
                Err(rejection) => return Err(rejection),
            }
        }
        Ok(Some(Missing { wanted, why }))
    }

    async fn look_at(
        &self,
        workspace: &WorkspaceName,
        wanted: &Wanted,
        epoch: Epoch,
    ) -> Result<(), Rejection> {
        let workspace_key = self.keyring.workspace_key(workspace, epoch).await?;
        let context = WrapContext {
            ledger: &self.shared.ledger,
            workspace,
            secret: wanted.id,
            version: wanted.version,
            epoch,
            digest: wanted.info.digest,
        };
        let place = &wanted.info.place;
        self.vault.check(place, &workspace_key, &context).await
    }

    /// Looks for what is missing by the newest state there is, until that did not change between a
    /// look and the one before it. What then is still missing is lost.
    async fn confirm(
        &self,
        state: &State,
        mut missing: Vec<Missing>,
    ) -> Result<Vec<Missing>, Rejection> {
        let (workspace, mut row) = (state.workspace(), state.row().clone());
        for _ in 0..=ROTATIONS {
            if missing.is_empty() {
                return Ok(missing);
            }
            self.be_where_the_log_is(workspace).await?;
            // A recovery may know more than the read model does.
            let Some(now) = self.newest(state, &mut missing)? else {
                return Ok(missing);
            };
            if now.epoch == row.epoch {
                return Ok(missing);
            }
            row = now;
            let mut again = Vec::new();
            let mut rest = missing.into_iter().map(|one| one.wanted);
            loop {
                let chunk: Vec<Wanted> = rest.by_ref().take(CHUNK).collect();
                if chunk.is_empty() {
                    break;
                }
                again.extend(self.look_for(workspace, &row, chunk).await?);
            }
            missing = again;
        }
        Err(Rejection::new(
            Code::Busy,
            format!("the key of {workspace} is rotated again and again: look once that has ended"),
        ))
    }

    /// The workspace's row as the read model has it now, if that is no older than `state`; of what is
    /// missing it keeps what is live by then.
    fn newest(
        &self,
        state: &State,
        missing: &mut Vec<Missing>,
    ) -> Result<Option<WorkspaceRow>, Rejection> {
        let read = || {
            let view = self.projection().view()?;
            let now = view.workspace(state.workspace())?;
            let Some(now) = now.filter(|now| now.size() >= state.size()) else {
                return Ok(None);
            };
            let mut live = Vec::with_capacity(missing.len());
            for one in missing.drain(..) {
                if is_live(&now, &one.wanted)? {
                    live.push(one);
                }
            }
            *missing = live;
            Ok::<_, ProjectionError>(Some(now.row().clone()))
        };
        contained(read).map_err(|error| error.rejection())
    }

    /// Waits until the read model has what the log has now. Where nothing is followed any more,
    /// nothing is decided any more either, and what the read model has is all there is to come.
    pub(super) async fn be_where_the_log_is(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<(), Rejection> {
        if self.shared.health.is_recovering() || self.shared.health.following(workspace).is_err() {
            return Ok(());
        }
        let head = self.shared.log.head(workspace).await;
        let head = head.map_err(|why| Rejection::new(Code::Unreachable, why.0))?;
        let known = self.shared.progress.wait_for(|progress| {
            let known = progress.workspaces.get(workspace);
            known.is_some_and(|(sequence, _)| *sequence >= head)
        });
        let known = tokio::time::timeout(REACH, known).await;
        // It may have failed while this was waited for.
        if matches!(known, Ok(Ok(()))) || self.shared.health.following(workspace).is_err() {
            return Ok(());
        }
        let words = "the read model is behind the log: try again shortly";
        Err(Rejection::new(Code::Busy, words))
    }
}

/// Whether the read model says that a version is live.
fn is_live(now: &WorkspaceView<'_>, wanted: &Wanted) -> Result<bool, ProjectionError> {
    let mut state = None;
    let next = |version: Version, info: VersionInfo| {
        state =
            (version == wanted.version && info.place == wanted.info.place).then_some(info.state);
        Ok::<_, ProjectionError>(false)
    };
    now.versions(wanted.ordinal, wanted.version.next(), next)?;
    // One that it does not know is of another history: that one's word counts.
    Ok(state.is_none_or(|state| state == ValueState::Live))
}
