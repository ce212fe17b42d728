//! Checks that the vault holds every live value of the log, and no erased one.
//!
//! Values move during the check: a rotation copies them under another key and erases the old
//! copies, and a destroy erases them for good. So no value is judged by the state at the beginning.
//! A missing value is looked for again by the newest state of the log; it is lost only if that
//! state has it live and it has not moved since it was looked for.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _};
use keyroll_core::command::{LostValue, StoredAt};
use keyroll_core::crypto::WrapContext;
use keyroll_core::state::{Secret, ValueState, VersionInfo, WorkspaceRow};
use keyroll_core::{
    Code, Epoch, ObjectId, Rejection, SecretId, SecretName, State, Version, WorkspaceName,
};
use keyroll_store::keyring::Keyring;

use crate::context::Context;
use crate::projection::{ProjectionError, WorkspaceView, catch_panics};

/// Concurrent reads of the vault.
pub(crate) const CONCURRENT_REQUESTS: usize = 32;
/// Values whose reads are prepared at once: each takes memory.
const CHUNK: usize = 1_000;
/// Key rotations that may begin during a check. After more the check gives up.
const ROTATIONS: usize = 8;

/// A live version whose value is gone.
pub(crate) struct LostVersion {
    pub(crate) value: LostValue,
    pub(crate) name: SecretName,
    pub(crate) why: String,
}

/// The values of a workspace, compared with the vault.
#[derive(Default)]
pub(crate) struct ValueReport {
    /// Live versions checked.
    pub(crate) checked: u64,
    /// Versions whose value is gone.
    pub(crate) lost: Vec<LostVersion>,
    /// Subjects that hold values which the log has as erased.
    pub(crate) left: Vec<String>,
    /// Subjects that hold destroyed values: their erasure is under way.
    pub(crate) ending: Vec<String>,
    /// Subjects that no version refers to.
    pub(crate) orphans: u64,
    /// Values under a key epoch that the log does not know (any more): the log was truncated.
    pub(crate) ahead: Vec<LostVersion>,
}

/// A live version, and the location of its value.
struct LiveVersion {
    id: SecretId,
    name: SecretName,
    ordinal: u32,
    version: Version,
    info: VersionInfo,
}

/// A value that was not found where the log has it.
struct MissingValue {
    wanted: LiveVersion,
    why: String,
}

impl From<MissingValue> for LostVersion {
    fn from(MissingValue { wanted, why }: MissingValue) -> Self {
        let (id, version) = (wanted.id, wanted.version);
        Self {
            value: LostValue { id, version },
            name: wanted.name,
            why,
        }
    }
}

/// Versions of all secrets, in any state.
pub(crate) fn versions(
    state: &State,
) -> impl Iterator<Item = (SecretId, &Secret, Version, &VersionInfo)> {
    state.secrets().flat_map(|(id, secret)| {
        let numbered = (1..).map(Version).zip(&secret.versions);
        numbered.map(move |(version, info)| (*id, secret, version, info))
    })
}

/// Checks the values of workspaces.
pub(crate) struct ValueCheck<'a> {
    pub(crate) context: &'a Context,
    pub(crate) keyring: &'a Keyring,
}

impl ValueCheck<'_> {
    /// The stored values of a workspace, for [`ValueCheck::check_values`]. They are listed before
    /// the state is read, because a value is stored before its entry is appended.
    pub(crate) async fn stored(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<Vec<StoredAt>, Rejection> {
        self.context.vault.list(workspace, None, None).await
    }

    /// Checks every live value, and finds the values that should not exist.
    pub(crate) async fn check_values(
        &self,
        state: &State,
        stored: Vec<StoredAt>,
    ) -> Result<ValueReport, Rejection> {
        let ahead = |at: &&StoredAt| at.epoch > state.epoch();
        let ahead = stored.iter().filter(ahead);
        let ahead: BTreeMap<ObjectId, Epoch> = ahead.map(|at| (at.place, at.epoch)).collect();
        let mut values = self.check_stored(state, stored).await?;
        // A key that exists in memory alone is gone when this service ends, so it does not count.
        self.keyring.forget_workspaces();
        let mut live = versions(state).filter(|(.., info)| info.state == ValueState::Live);
        let mut missing = Vec::new();
        loop {
            let some = live.by_ref().take(CHUNK);
            let chunk: Vec<LiveVersion> = some
                .map(|(id, secret, version, info)| LiveVersion {
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
            missing.extend(
                self.find_missing(state.workspace(), state.row(), chunk)
                    .await?,
            );
        }
        let lost = self.confirm(state, missing).await?;
        for one in lost {
            let (workspace, place) = (state.workspace(), one.wanted.info.place);
            let found = match ahead.get(&place) {
                Some(epoch) => self.check_at(workspace, &one.wanted, *epoch).await,
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

    /// Sorts the stored values by their state in the log. A value that is gone by now does not
    /// count: an erasure may have gone on meanwhile.
    async fn check_stored(
        &self,
        state: &State,
        stored: Vec<StoredAt>,
    ) -> Result<ValueReport, Rejection> {
        let known: BTreeMap<ObjectId, ValueState> = versions(state)
            .map(|(.., info)| (info.place, info.state))
            .collect();
        let anomaly = |at: &StoredAt| {
            let state = known.get(&at.place).copied();
            !matches!(state, Some(ValueState::Live | ValueState::Lost))
        };
        let anomaly: Vec<StoredAt> = stored.into_iter().filter(anomaly).collect();
        let (mut values, workspace) = (ValueReport::default(), state.workspace());
        for chunk in anomaly.chunks(CHUNK) {
            let looks = chunk
                .iter()
                .map(|at| self.context.vault.info(workspace, *at).boxed());
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
                    // An orphan under the retiring epoch is erased with that epoch.
                    Some(ValueState::Live | ValueState::Lost) | None => {
                        values.orphans += u64::from(state.row().retiring != Some(at.epoch));
                    }
                }
            }
        }
        Ok(values)
    }

    /// The values that are not where a workspace's row has them.
    async fn find_missing(
        &self,
        workspace: &WorkspaceName,
        row: &WorkspaceRow,
        wanted: Vec<LiveVersion>,
    ) -> Result<Vec<MissingValue>, Rejection> {
        let looks: Vec<_> = wanted
            .into_iter()
            .map(|wanted| self.find(workspace, row, wanted).boxed())
            .collect();
        let mut looks = futures::stream::iter(looks).buffered(CONCURRENT_REQUESTS);
        let mut missing = Vec::new();
        while let Some(look) = looks.next().await {
            missing.extend(look?);
        }
        Ok(missing)
    }

    /// Looks for one value. A vault that does not answer is an error, not a missing value.
    async fn find(
        &self,
        workspace: &WorkspaceName,
        row: &WorkspaceRow,
        wanted: LiveVersion,
    ) -> Result<Option<MissingValue>, Rejection> {
        // The older epoch first: a value that has left it since is under the newer one.
        let (first, then) = row.epochs_of(&wanted.info);
        let mut why = String::new();
        for epoch in [Some(first), then].into_iter().flatten() {
            match self.check_at(workspace, &wanted, epoch).await {
                Ok(()) => return Ok(None),
                Err(rejection) if rejection.code == Code::ValueLost => why = rejection.message,
                Err(rejection) => return Err(rejection),
            }
        }
        Ok(Some(MissingValue { wanted, why }))
    }

    async fn check_at(
        &self,
        workspace: &WorkspaceName,
        wanted: &LiveVersion,
        epoch: Epoch,
    ) -> Result<(), Rejection> {
        let workspace_key = self.keyring.workspace_key(workspace, epoch).await?;
        let context = WrapContext {
            ledger: &self.context.ledger,
            workspace,
            secret: wanted.id,
            version: wanted.version,
            epoch,
            digest: wanted.info.digest,
        };
        let place = &wanted.info.place;
        self.context
            .vault
            .check(place, &workspace_key, &context)
            .await
    }

    /// Looks for missing values by the newest state until that state does not change between two
    /// checks. The values that are still missing then are lost.
    async fn confirm(
        &self,
        state: &State,
        mut missing: Vec<MissingValue>,
    ) -> Result<Vec<MissingValue>, Rejection> {
        let (workspace, mut row) = (state.workspace(), state.row().clone());
        for _ in 0..=ROTATIONS {
            if missing.is_empty() {
                return Ok(missing);
            }
            self.context.require_head(workspace).await?;
            // A recovery may know more than the read model.
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
                let chunk: Vec<LiveVersion> = rest.by_ref().take(CHUNK).collect();
                if chunk.is_empty() {
                    break;
                }
                again.extend(self.find_missing(workspace, &row, chunk).await?);
            }
            missing = again;
        }
        Err(Rejection::new(
            Code::Busy,
            format!(
                "the key of {workspace} was rotated {ROTATIONS} times during the check: check again later"
            ),
        ))
    }

    /// The workspace's row as the read model has it now, if that is no older than `state`. Only the
    /// missing values that are still live are kept.
    fn newest(
        &self,
        state: &State,
        missing: &mut Vec<MissingValue>,
    ) -> Result<Option<WorkspaceRow>, Rejection> {
        let read = || {
            let view = self.context.view()?;
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
        Ok(catch_panics(read)?)
    }
}

/// Whether a version is live in the read model.
fn is_live(now: &WorkspaceView<'_>, wanted: &LiveVersion) -> Result<bool, ProjectionError> {
    let mut state = None;
    let next = |version: Version, info: VersionInfo| {
        state =
            (version == wanted.version && info.place == wanted.info.place).then_some(info.state);
        Ok::<_, ProjectionError>(false)
    };
    now.versions(wanted.ordinal, wanted.version.next(), next)?;
    // A version that it does not have is of another history, whose state counts.
    Ok(state.is_none_or(|state| state == ValueState::Live))
}
