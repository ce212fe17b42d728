//! Whether the streams hold what the log says: every message of the log, every live value in the
//! vault, nothing of what is destroyed.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use keyroll_api::reply::{StorageProblem, StorageReport};
use keyroll_core::command::LostValue;
use keyroll_core::crypto::WrapContext;
use keyroll_core::state::{Secret, ValueState, VersionInfo};
use keyroll_core::{
    Code, Epoch, Place, Rejection, SecretId, SecretName, Sequence, State, Version, WorkspaceName,
};

use super::{Ledger, last_of};
use crate::log::Message;
use crate::projection::{View, WorkspaceView};

/// Reads of the vault and the log at once.
const AT_ONCE: usize = 32;
/// Problems listed at most.
const LISTED: usize = 1_000;

/// A live version whose value is gone.
pub(super) struct Lost {
    pub(super) value: LostValue,
    pub(super) name: SecretName,
    why: String,
}

/// What the vault holds of a workspace.
#[derive(Default)]
pub(super) struct Values {
    /// Live versions looked at.
    checked: u64,
    /// Versions whose value is gone.
    pub(super) lost: Vec<Lost>,
    /// Subjects that hold what the log says is destroyed.
    pub(super) left: Vec<String>,
    /// Subjects that no version refers to.
    orphans: u64,
}

struct Wanted<'a> {
    id: SecretId,
    secret: &'a Secret,
    version: Version,
    info: &'a VersionInfo,
}

/// Versions of all secrets, in whatever state.
fn versions(state: &State) -> impl Iterator<Item = Wanted<'_>> {
    state.secrets().flat_map(|(id, secret)| {
        let numbered = (1..).map(Version).zip(&secret.versions);
        numbered.map(|(version, info)| Wanted {
            id: *id,
            secret,
            version,
            info,
        })
    })
}

impl Ledger {
    /// Compares the streams with the read model. Nothing is changed.
    pub(super) async fn check_storage(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<StorageReport, Rejection> {
        let _alone = self.checking.lock().await;
        self.reach_head(workspace).await?;
        let view = self
            .projection()
            .view()
            .map_err(|error| error.rejection())?;
        let found = view
            .workspace(workspace)
            .map_err(|error| error.rejection())?;
        let Some(found) = found else {
            let message = format!("there is no workspace {workspace}");
            return Err(Rejection::new(Code::NotFound, message));
        };
        let state = found
            .state(self.shared.ledger)
            .map_err(|error| error.rejection())?;
        let mut problems = self.check_log(&view, &found).await?;
        let values = self.check_values(&state).await?;
        let lost = values.lost.iter().map(|lost| {
            let (name, version) = (&lost.name, lost.value.version);
            storage_problem(
                "value_lost",
                format!("{name}, version {version}: {}", lost.why),
            )
        });
        problems.extend(lost);
        problems.extend(values.left.iter().map(|subject| {
            storage_problem("not_erased", format!("{subject} holds what is destroyed"))
        }));
        let (known, listed) = (problems.len(), problems.len().min(LISTED));
        problems.truncate(listed);
        Ok(StorageReport {
            checked: values.checked,
            messages: last_of(self.shared.log.as_ref()).await?.0,
            problems,
            warnings: warnings(&state, &values, known - listed),
        })
    }

    /// Every message up to the read model's head is there, and those of the workspace are the very
    /// bytes that the read model keeps.
    async fn check_log(
        &self,
        view: &View,
        found: &WorkspaceView<'_>,
    ) -> Result<Vec<StorageProblem>, Rejection> {
        let head = view.head().map_err(|error| error.rejection())?;
        let head = head.map_or(0, |(sequence, _)| sequence.0);
        let (log, mut problems) = (self.shared.log.as_ref(), Vec::new());
        let read = |sequence| async move {
            let sequence = Sequence(sequence);
            (sequence, log.message(sequence).await)
        };
        let mut kept: BTreeSet<u64> = BTreeSet::new();
        let odd = found.problems().map_err(|error| error.rejection())?;
        let reported: BTreeSet<Sequence> = odd.iter().map(|odd| odd.sequence).collect();
        let mut messages = futures::stream::iter(1..=head).map(read).buffered(AT_ONCE);
        while let Some((sequence, message)) = messages.next().await {
            let message = message.map_err(|why| Rejection::new(Code::Unreachable, why.0))?;
            let wrong = match message {
                None => Some("cannot be read".to_owned()),
                Some(message) if message.workspace.as_ref() == Some(&found.head().name) => {
                    compare(found, &message, &mut kept)?
                }
                Some(_) => None,
            };
            if let Some(why) = wrong.filter(|_| !reported.contains(&sequence))
                && problems.len() <= LISTED
            {
                let detail = format!("message {sequence} of the log {why}");
                problems.push(storage_problem("corrupt", detail));
            }
        }
        Ok(problems)
    }

    /// Looks every live value up, and for what should not be there.
    pub(super) async fn check_values(&self, state: &State) -> Result<Values, Rejection> {
        let mut values = Values::default();
        // A key that is in memory alone opens nothing once this service ends.
        self.keyring.forget_workspaces();
        let stored = self.vault.stored(state.workspace()).await?;
        let (mut live, mut ended): (Vec<Wanted<'_>>, BTreeMap<Place, ValueState>) =
            Default::default();
        for wanted in versions(state) {
            match wanted.info.state {
                ValueState::Live => live.push(wanted),
                said => drop(ended.insert(wanted.info.place, said)),
            }
        }
        let places: BTreeSet<Place> = live.iter().map(|wanted| wanted.info.place).collect();
        for (subject, place) in &stored {
            match ended.get(place) {
                _ if places.contains(place) => {}
                Some(ValueState::Destroyed | ValueState::Erased) => {
                    values.left.push(subject.clone());
                }
                Some(ValueState::Lost | ValueState::Live) => {}
                None => values.orphans += 1,
            }
        }
        values.checked = live.len() as u64;
        let looked: Vec<_> = live
            .into_iter()
            .map(|wanted| self.look(state, wanted))
            .collect();
        let mut looks = futures::stream::iter(looked).buffered(AT_ONCE);
        while let Some(lost) = looks.next().await {
            values.lost.extend(lost?);
        }
        Ok(values)
    }

    /// What is wrong with one value. Only what is certain: a vault that does not answer is an error.
    async fn look(&self, state: &State, wanted: Wanted<'_>) -> Result<Option<Lost>, Rejection> {
        let Wanted {
            id,
            secret,
            version,
            info,
        } = wanted;
        let mut why = String::new();
        for epoch in BTreeSet::from([info.epoch, state.epoch()]) {
            match self.look_at(state, (id, version, info), epoch).await {
                Ok(()) => return Ok(None),
                Err(rejection) if rejection.code == Code::ValueLost => why = rejection.message,
                Err(rejection) => return Err(rejection),
            }
        }
        let (value, name) = (LostValue { id, version }, secret.name.clone());
        Ok(Some(Lost { value, name, why }))
    }

    async fn look_at(
        &self,
        state: &State,
        (secret, version, info): (SecretId, Version, &VersionInfo),
        epoch: Epoch,
    ) -> Result<(), Rejection> {
        let workspace = state.workspace();
        let workspace_key = self.keyring.workspace_key(workspace, epoch).await?;
        let context = WrapContext {
            ledger: &self.shared.ledger,
            workspace,
            secret,
            version,
            epoch,
            digest: info.digest,
        };
        self.vault
            .check(&info.place, &workspace_key, &context)
            .await
    }
}

/// Whether a message holds what the read model keeps of it; words if not.
fn compare(
    found: &WorkspaceView<'_>,
    message: &Message,
    kept: &mut BTreeSet<u64>,
) -> Result<Option<String>, Rejection> {
    let Ok(commit) = keyroll_core::Commit::decode(&message.bytes) else {
        return Ok(Some("is no commit".to_owned()));
    };
    let first = commit.payload.first.next_index();
    let held = found.commit_of(first).map_err(|error| error.rejection())?;
    let same = held.is_some_and(|held| held.first == first && message.bytes == held.bytes);
    if same && kept.insert(first.0) {
        return Ok(None);
    }
    let why = if same {
        "is there twice"
    } else {
        "is not what the read model keeps"
    };
    Ok(Some(format!("(entry {first}) {why}")))
}

fn storage_problem(kind: &str, detail: String) -> StorageProblem {
    let kind = kind.to_owned();
    StorageProblem { kind, detail }
}

fn warnings(state: &State, values: &Values, unlisted: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let lost = versions(state)
        .filter(|wanted| wanted.info.state == ValueState::Lost)
        .count();
    if lost > 0 {
        warnings.push(format!(
            "{lost} values were lost before, and that is on record"
        ));
    }
    if values.orphans > 0 {
        let orphans = values.orphans;
        warnings.push(format!(
            "{orphans} stored values belong to no version: what a crash left is swept, what the log may have lost stays"
        ));
    }
    if let Some(size) = state.row().truncated {
        warnings.push(format!(
            "entries up to {size} were lost before, and that is on record"
        ));
    }
    if unlisted > 0 {
        warnings.push(format!("{unlisted} further problems are not listed"));
    }
    warnings
}
