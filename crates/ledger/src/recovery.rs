//! Recovery of a log that is damaged or was set back. The longest verified chain of commits is
//! appended to a new log. The commits come from this replica's read model, from files that an
//! operator puts beside it, and from the log itself.
//!
//! Recovery has three steps, so that this process never needs a NATS user that may delete a stream.
//! `plan` reads and changes nothing. `begin` stops every writer and saves the commits that only the
//! broken log holds. The operator's program then replaces the stream, and `finish` appends.

mod append;
mod chains;
mod files;
mod gather;
mod pool;
mod sources;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyroll_core::{Code, Digest, Millis, Rejection, Sequence, TreeSize, cbor};
use keyroll_store::keyring::Keyring;
use keyroll_store::log::Log;
use keyroll_wire::query::{PAGE_ROWS, RecoverBegin, RecoverFinish, RecoverPlan};
use keyroll_wire::reply::{Recovered, RecoveryPlan, RecoveryRow};

use self::chains::Chains;
use self::files::RecoveryFiles;
use crate::context::{Context, unreachable};
use crate::follower::{Fold, FollowerHandle};
use crate::health::Health;
use crate::page::Page;
use crate::projection::{self, FollowRecord, Projection, WriteBatch};
use crate::rebuild;
use crate::value_check::ValueCheck;

/// How long a recovery may take from its beginning until the ledger resumes without it.
const FINISH_TIMEOUT: Duration = Duration::from_secs(120);

/// The data that `begin` leaves for `finish`.
struct StartedRecovery {
    plan: RecoveryPlan,
    chains: Chains,
    number: u64,
}

fn conflict(why: &str) -> Rejection {
    Rejection::new(Code::Conflict, why)
}

/// The digest that identifies a plan: only the plan that was shown is carried out. Commits of
/// healthy workspaces do not change it; a different choice of histories does, even if its words are
/// the same.
fn plan_digest(plan: &RecoveryPlan, chains: &Chains) -> Digest {
    let mut request = RecoveryPlan {
        plan: Digest([0; 32]),
        messages: 0,
        ..plan.clone()
    };
    for row in &mut request.workspaces {
        // A loss of unknown size: the size that is left does not count.
        row.known = row.known.map(|known| {
            if known > row.entries {
                known
            } else {
                TreeSize(0)
            }
        });
        row.entries = TreeSize(0);
    }
    let mut named = cbor::encode(&request);
    named.extend(chains.left().iter().flat_map(|left| left.0));
    named.extend(
        chains
            .unused()
            .iter()
            .flat_map(|unused| Digest::of(unused).0),
    );
    Digest::of(&named)
}

/// Checks that no recovery which was replacing this log was cut short.
///
/// # Errors
/// As [`RecoveryFiles::check_finished`].
pub(crate) async fn check_finished(
    log: &dyn Log,
    projection: &Projection,
) -> Result<(), Rejection> {
    let made = log.created_at().await;
    let made = made.map_err(unreachable)?;
    RecoveryFiles::beside(projection).check_finished(made)
}

/// A plan that fits one reply: unchanged workspaces are left out first.
fn listed(mut plan: RecoveryPlan) -> RecoveryPlan {
    let all = plan.workspaces.len();
    let stays = |row: &RecoveryRow| row.known.is_none() && row.values == 0 && row.erase == 0;
    let mut page = Page::new(PAGE_ROWS);
    if all > PAGE_ROWS as usize {
        plan.workspaces.sort_by_key(stays);
    }
    for row in std::mem::take(&mut plan.workspaces) {
        if !page.take(vec![row]) {
            break;
        }
    }
    plan.workspaces = page.rows();
    let left_out = all - plan.workspaces.len();
    if left_out > 0 {
        plan.wrong
            .push(format!("{left_out} further workspaces are not listed here"));
    }
    plan
}

/// Recovers a damaged log.
pub(crate) struct Recovery {
    context: Arc<Context>,
    keyring: Arc<Keyring>,
    follower: FollowerHandle,
    started: Arc<tokio::sync::Mutex<Option<StartedRecovery>>>,
}

impl Recovery {
    pub(crate) fn new(
        context: Arc<Context>,
        keyring: Arc<Keyring>,
        follower: FollowerHandle,
    ) -> Self {
        Self {
            context,
            keyring,
            follower,
            started: Arc::default(),
        }
    }

    /// Shows what a recovery would do. It changes nothing.
    pub(crate) async fn plan(&self, request: &RecoverPlan) -> Result<RecoveryPlan, Rejection> {
        let _alone = self.started.lock().await;
        Ok(listed(self.survey(request).await?.0))
    }

    /// Reads all sources, and makes the plan.
    async fn survey(&self, request: &RecoverPlan) -> Result<(RecoveryPlan, Chains), Rejection> {
        let context = &self.context;
        let view = context.view()?;
        let (log, owner) = (context.log.as_ref(), (context.ledger, context.online_key()));
        let mut chains = gather::gather(log, &view, owner, self.files().directory()).await?;
        drop(view);
        self.files().recall(&mut chains, self.made().await?)?;
        for seen in &request.seen {
            chains.note_seen(&seen.workspace, seen.size);
        }
        let mut wrong = context.health.broken();
        wrong.extend(self.missing(&wrong).await?);
        wrong.extend(chains.anomalies().iter().cloned());
        let check = ValueCheck {
            context,
            keyring: &self.keyring,
        };
        let mut workspaces = Vec::new();
        for workspace in chains.workspaces() {
            let Some(chain) = chains.get(&workspace) else {
                continue;
            };
            let stored = check.stored(&workspace).await?;
            let values = check.check_values(&chain.state, stored).await?;
            workspaces.push(chains.put_values(&workspace, &values));
        }
        let remake = !wrong.is_empty() || chains.differ();
        // A history that is not longer is reported, but is no reason to replace the log.
        wrong.extend(chains.other_histories().iter().cloned());
        let mut plan = RecoveryPlan {
            plan: Digest([0; 32]),
            wrong,
            remake,
            messages: chains.messages(),
            unreadable: chains.unreadable(),
            workspaces,
        };
        plan.plan = plan_digest(&plan, &chains);
        Ok((plan, chains))
    }

    /// Reports missing streams that `known` does not mention. A stream that has just gone was not
    /// noticed yet, and without it every value would seem to be lost.
    async fn missing(&self, known: &[String]) -> Result<Vec<String>, Rejection> {
        let there = [
            ("KEYROLL_LOG", self.made().await?.is_some()),
            ("KEYROLL_VAULT", self.context.vault.exists().await?),
            ("KEYROLL_KEYS", self.keyring.exists().await?),
        ];
        let gone = there.iter().filter(|(_, is_there)| !is_there);
        let gone = gone.map(|(name, _)| format!("stream {name} is missing"));
        Ok(gone
            .filter(|message| !known.iter().any(|known| known.contains(message)))
            .collect())
    }

    /// When the log was made.
    async fn made(&self) -> Result<Option<Millis>, Rejection> {
        self.context.log.created_at().await.map_err(unreachable)
    }

    /// The files beside the read model.
    fn files(&self) -> RecoveryFiles {
        RecoveryFiles::beside(&self.context.projection())
    }

    /// Stops every writer, saves the commits that only the log holds, and waits for the new log.
    pub(crate) async fn begin(&self, request: &RecoverBegin) -> Result<RecoveryPlan, Rejection> {
        let mut started = self.started.lock().await;
        self.context.health.set_recovery(true);
        let prepared = self.prepare(request).await;
        let (plan, chains) = match prepared {
            Ok(prepared) => prepared,
            Err(rejection) => {
                self.resume_following().await;
                return Err(rejection);
            }
        };
        let number = started.as_ref().map_or(1, |before| before.number + 1);
        *started = Some(StartedRecovery {
            plan: plan.clone(),
            chains,
            number,
        });
        self.give_up_later(number);
        Ok(listed(plan))
    }

    /// Makes the ledger resume as it was if the operator does not finish the recovery in time.
    fn give_up_later(&self, number: u64) {
        let (started, health) = (Arc::clone(&self.started), Arc::clone(&self.context.health));
        let follower = self.follower.clone();
        tokio::spawn(async move {
            tokio::time::sleep(FINISH_TIMEOUT).await;
            let mut started = started.lock().await;
            if started
                .as_ref()
                .is_some_and(|started| started.number == number)
            {
                *started = None;
                health.set_recovery(false);
                follower.resume().await;
            }
        });
    }

    async fn prepare(&self, request: &RecoverBegin) -> Result<(RecoveryPlan, Chains), Rejection> {
        // Once this is granted, every earlier round of a writer is over, and no new one begins.
        drop(self.context.gate.write().await);
        self.follower.halt().await?;
        // The read model must survive a crash from here on: the log will be deleted.
        let flushed = self
            .context
            .projection()
            .write(&WriteBatch::default(), true);
        flushed?;
        let (plan, chains) = self
            .survey(&RecoverPlan {
                seen: request.seen.clone(),
            })
            .await?;
        if plan.plan != request.plan {
            return Err(conflict(
                "the ledger has changed since this plan: make a new plan",
            ));
        }
        let made = self.made().await?;
        self.files()
            .keep(&chains, &self.context.projection(), made)?;
        keyroll_store::failpoint!("recover.begun");
        Ok((plan, chains))
    }

    async fn resume_following(&self) {
        self.context.health.set_recovery(false);
        self.follower.resume().await;
    }

    /// Appends the chains to the new log, records the losses, builds the read model from the log,
    /// and erases destroyed values again.
    pub(crate) async fn finish(&self, request: &RecoverFinish) -> Result<Recovered, Rejection> {
        let mut slot = self.started.lock().await;
        let started = slot
            .take()
            .filter(|started| started.plan.plan == request.plan)
            .ok_or_else(|| conflict("no recovery by this plan was begun here"))?;
        let finished = self.finish_started(&started).await;
        if finished.is_err() {
            self.resume_following().await;
        }
        finished
    }

    async fn finish_started(&self, started: &StartedRecovery) -> Result<Recovered, Rejection> {
        let mut generation = self.context.gate.write().await;
        // The states in the writers' memory are of the earlier log.
        *generation += 1;
        self.keyring.forget();
        let log = self.context.log.as_ref();
        let mut heads = BTreeMap::new();
        if started.plan.remake {
            let last = self.context.log_end().await?;
            if last > Sequence(0) {
                return Err(conflict("the stream is not new: it holds messages"));
            }
            heads = append::chains(log, &self.context.projection(), &started.chains).await?;
            keyroll_store::failpoint!("recover.appended");
        }
        let added = self.append_losses(started, &heads).await?;
        keyroll_store::failpoint!("recover.recorded");
        let erased = self.erase_destroyed(&started.chains).await?;
        let path = self
            .context
            .projection()
            .path()
            .with_extension("redb.recovered");
        let mut fold = self.build_read_model(&path).await?;
        let view = fold.projection().view()?;
        let digest = projection::digest(&view)?;
        let entries = view.entries()?;
        drop(view);
        // Lost entries may still be restored, so the values stored before now are left alone.
        let now = self.context.now();
        let known = fold.projection().change_follow_record(|_| FollowRecord {
            complete_from: Some(now),
            ..FollowRecord::default()
        });
        known?;
        fold.report_to(Arc::clone(&self.context.health));
        self.context.health.recovered();
        self.follower.adopt(fold).await?;
        self.files().done();
        Ok(Recovered {
            added,
            digest,
            erased,
            entries,
        })
    }

    /// Builds the read model of the new log in a file beside the present one. Any fault in the
    /// appended commits is an error here.
    async fn build_read_model(&self, path: &Path) -> Result<Fold, Rejection> {
        let (context, health) = (&self.context, Arc::new(Health::default()));
        let keys = (context.ledger, context.online_key());
        let log = (context.log.as_ref(), context.log_end().await?);
        let fold = rebuild::build(path, keys, log, Arc::clone(&health)).await?;
        match health.problems(|_| true).into_iter().next() {
            Some(wrong) => Err(Rejection::new(Code::Corrupt, wrong)),
            None => Ok(fold),
        }
    }
}
