//! Recovery of a log that is damaged or was set back: the longest chain of commits that verifies,
//! from this replica's read model, from files that an operator laid beside it and from the log
//! itself, is appended to a log made anew.
//!
//! Three steps, so that this process never has a NATS user that can delete a stream: `plan` looks
//! and changes nothing; `begin` stops every writer and saves what only the broken log holds; the
//! operator's program then deletes the stream and makes it anew; `finish` appends.

mod append;
mod chains;
mod gather;
mod kept;
mod pool;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyroll_core::{Code, Digest, Identity, Millis, Rejection, Sequence, TreeSize, cbor};
use keyroll_wire::query::{PAGE_ROWS, RecoverBegin, RecoverFinish, RecoverPlan};
use keyroll_wire::reply::{Recovered, RecoveryPlan, RecoveryRow};
use tokio::sync::oneshot;

use self::chains::Chains;
use self::kept::Kept;
use super::Ledger;
use super::page::Page;
use crate::follower::{Fold, Wish, catch_up};
use crate::health::Health;
use crate::projection::{Batch, Local, Projection};
use keyroll_store::log::Log;

/// How long a recovery that was begun is waited for, until the ledger goes on as it was.
const BEGUN: Duration = Duration::from_secs(120);

/// What `begin` leaves for `finish`.
pub(super) struct Begun {
    plan: RecoveryPlan,
    chains: Chains,
    number: u64,
}

fn conflict(why: &str) -> Rejection {
    Rejection::new(Code::Conflict, why)
}

fn stopped() -> Rejection {
    Rejection::new(Code::Internal, "the log is not being followed")
}

/// What a plan is known by: nothing is done but what was shown. What healthy workspaces write
/// meanwhile changes no plan; which histories are left out does, not their words alone.
fn name_of(plan: &RecoveryPlan, chains: &Chains) -> Digest {
    let mut said = RecoveryPlan {
        plan: Digest([0; 32]),
        messages: 0,
        ..plan.clone()
    };
    for row in &mut said.workspaces {
        // A loss of an unknown size is named by what is left.
        row.known = row.known.map(|known| {
            if known > row.entries {
                known
            } else {
                TreeSize(0)
            }
        });
        row.entries = TreeSize(0);
    }
    let mut named = cbor::encode(&said);
    named.extend(chains.left().iter().flat_map(|left| left.0));
    named.extend(
        chains
            .unused()
            .iter()
            .flat_map(|unused| Digest::of(unused).0),
    );
    Digest::of(&named)
}

/// Whether no recovery was cut short that began to make this log anew.
///
/// # Errors
/// As [`Kept::is_finished`].
pub(super) async fn is_finished(log: &dyn Log, projection: &Projection) -> Result<(), Rejection> {
    let made = log.created_at().await;
    let made = made.map_err(|why| Rejection::new(Code::Unreachable, why.0))?;
    Kept::beside(projection).is_finished(made)
}

/// A plan as one reply can carry it: workspaces that stay as they are are left out first.
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
        let words = format!("{left_out} further workspaces are not listed here");
        plan.wrong.push(words);
    }
    plan
}

impl Ledger {
    /// What a recovery would do. Changes nothing.
    pub(super) async fn plan_recovery(
        &self,
        said: &RecoverPlan,
    ) -> Result<RecoveryPlan, Rejection> {
        let _alone = self.recovery.lock().await;
        Ok(listed(self.survey(said).await?.0))
    }

    /// Looks at everything there is.
    async fn survey(&self, said: &RecoverPlan) -> Result<(RecoveryPlan, Chains), Rejection> {
        let shared = &self.shared;
        let key = Identity(shared.key.verifying_key().to_bytes());
        let view = self.projection().view();
        let view = view.map_err(|error| error.rejection())?;
        let (log, whose) = (shared.log.as_ref(), (shared.ledger, key));
        let mut chains = gather::gather(log, &view, whose, self.kept().directory()).await?;
        drop(view);
        self.kept().recall(&mut chains, self.made().await?)?;
        for seen in &said.seen {
            chains.know(&seen.workspace, seen.size);
        }
        let mut wrong = shared.health.broken();
        wrong.extend(self.missing(&wrong).await?);
        wrong.extend(chains.odd().iter().cloned());
        let mut workspaces = Vec::new();
        for workspace in chains.workspaces() {
            let Some(chain) = chains.get(&workspace) else {
                continue;
            };
            let stored = self.stored(&workspace).await?;
            let values = self.check_values(&chain.state, stored).await?;
            workspaces.push(chains.put_values(&workspace, &values));
        }
        let remake = !wrong.is_empty() || chains.differ();
        // Another history that is not longer makes no log ill.
        wrong.extend(chains.beside().iter().cloned());
        let mut plan = RecoveryPlan {
            plan: Digest([0; 32]),
            wrong,
            remake,
            messages: chains.messages(),
            unreadable: chains.unreadable(),
            workspaces,
        };
        plan.plan = name_of(&plan, &chains);
        Ok((plan, chains))
    }

    /// Streams that are not there now, in words, but for those that are `said` to be missing: one that
    /// went a moment ago has not been noticed yet, and without it every value would seem to be lost
    /// for good.
    async fn missing(&self, said: &[String]) -> Result<Vec<String>, Rejection> {
        let there = [
            ("KEYROLL_LOG", self.made().await?.is_some()),
            ("KEYROLL_VAULT", self.vault.exists().await?),
            ("KEYROLL_KEYS", self.keyring.exists().await?),
        ];
        let gone = there.iter().filter(|(_, is_there)| !is_there);
        let gone = gone.map(|(name, _)| format!("stream {name} is missing"));
        Ok(gone
            .filter(|words| !said.iter().any(|said| said.contains(words)))
            .collect())
    }

    /// When the log was made.
    async fn made(&self) -> Result<Option<Millis>, Rejection> {
        let made = self.shared.log.created_at().await;
        made.map_err(|why| Rejection::new(Code::Unreachable, why.0))
    }

    /// What lies beside the read model.
    fn kept(&self) -> Kept {
        Kept::beside(&self.projection())
    }

    /// Stops every writer, saves what only the log holds, and waits for the log to be made anew.
    pub(super) async fn begin_recovery(
        &self,
        said: &RecoverBegin,
    ) -> Result<RecoveryPlan, Rejection> {
        let mut begun = self.recovery.lock().await;
        self.shared.health.set_recovery(true);
        let prepared = self.prepare(said).await;
        let (plan, chains) = match prepared {
            Ok(prepared) => prepared,
            Err(rejection) => {
                self.go_on().await;
                return Err(rejection);
            }
        };
        let number = begun.as_ref().map_or(1, |before| before.number + 1);
        *begun = Some(Begun {
            plan: plan.clone(),
            chains,
            number,
        });
        let (recovery, health, wishes) = (
            Arc::clone(&self.recovery),
            Arc::clone(&self.shared.health),
            self.wishes.clone(),
        );
        tokio::spawn(async move {
            tokio::time::sleep(BEGUN).await;
            let mut begun = recovery.lock().await;
            if begun.as_ref().is_some_and(|begun| begun.number == number) {
                *begun = None;
                health.set_recovery(false);
                // A follower that is gone has nothing to go on with.
                let _ = wishes.send(Wish::GoOn).await;
            }
        });
        Ok(listed(plan))
    }

    async fn prepare(&self, said: &RecoverBegin) -> Result<(RecoveryPlan, Chains), Rejection> {
        // Every round of a writer that began before is over when this is granted; none begins now.
        drop(self.shared.gate.write().await);
        let (halted, is_halted) = oneshot::channel();
        let wish = Wish::Halt(halted);
        self.wishes.send(wish).await.map_err(|_| stopped())?;
        is_halted.await.map_err(|_| stopped())?;
        // What it holds is relied on to be there after a crash: the log will not be.
        let flushed = self.projection().write(&Batch::default(), true);
        flushed.map_err(|error| error.rejection())?;
        let (plan, chains) = self
            .survey(&RecoverPlan {
                seen: said.seen.clone(),
            })
            .await?;
        if plan.plan != said.plan {
            return Err(conflict(
                "the ledger is not as the plan has it any more: look at a new one",
            ));
        }
        let made = self.made().await?;
        self.kept().keep(&chains, &self.projection(), made)?;
        keyroll_store::failpoint!("recover.begun");
        Ok((plan, chains))
    }

    async fn go_on(&self) {
        self.shared.health.set_recovery(false);
        // A follower that is gone has nothing to go on with.
        let _ = self.wishes.send(Wish::GoOn).await;
    }

    /// Appends the chains to the log, which has been made anew, with what could not be restored;
    /// builds the read model from it; erases again what is destroyed.
    pub(super) async fn finish_recovery(
        &self,
        said: &RecoverFinish,
    ) -> Result<Recovered, Rejection> {
        let mut slot = self.recovery.lock().await;
        let begun = slot
            .take()
            .filter(|begun| begun.plan.plan == said.plan)
            .ok_or_else(|| conflict("no recovery by this plan was begun here"))?;
        let finished = self.finish(&begun).await;
        if finished.is_err() {
            self.go_on().await;
        }
        finished
    }

    async fn finish(&self, begun: &Begun) -> Result<Recovered, Rejection> {
        let mut generation = self.shared.gate.write().await;
        // States that writers hold are of the log before.
        *generation += 1;
        self.keyring.forget();
        let log = self.shared.log.as_ref();
        let mut heads = BTreeMap::new();
        if begun.plan.remake {
            let last = super::last_of(log).await?;
            if last > Sequence(0) {
                return Err(conflict("the stream was not made anew: it holds messages"));
            }
            heads = append::chains(log, &self.projection(), &begun.chains).await?;
            keyroll_store::failpoint!("recover.appended");
        }
        let added = self.append_losses(begun, &heads).await?;
        keyroll_store::failpoint!("recover.recorded");
        let erased = self.erase_destroyed(&begun.chains).await?;
        let path = self.projection().path().with_extension("redb.recovered");
        let mut fold = self.fold_new_log(&path).await?;
        let view = fold
            .projection()
            .view()
            .map_err(|error| error.rejection())?;
        let digest = crate::projection::digest(&view).map_err(|error| error.rejection())?;
        let entries = view.entries().map_err(|error| error.rejection())?;
        drop(view);
        // Values of entries that are lost may still be brought back with them.
        let now = self.now();
        let known = fold.projection().change_local(|_| Local {
            whole_from: Some(now),
            ..Local::default()
        });
        known.map_err(|error| error.rejection())?;
        fold.report_to(Arc::clone(&self.shared.health));
        let (done, is_done) = oneshot::channel();
        self.shared.health.recovered();
        let wish = Wish::Resume(Box::new(fold), done);
        self.wishes.send(wish).await.map_err(|_| stopped())?;
        let resumed = is_done.await.map_err(|_| stopped())?;
        resumed.map_err(|error| error.rejection())?;
        self.kept().done();
        Ok(Recovered {
            added,
            digest,
            erased,
            entries,
        })
    }

    /// The read model of the new log, in a file beside the present one. Whatever is wrong with what
    /// was just appended is an error here.
    async fn fold_new_log(&self, path: &std::path::Path) -> Result<Fold, Rejection> {
        let health = Arc::new(Health::default());
        let key = Identity(self.shared.key.verifying_key().to_bytes());
        let build = async {
            let projection = Projection::build(path, &self.shared.ledger)?;
            let mut fold = Fold::resume(projection, self.shared.ledger, key, Arc::clone(&health))?;
            let last = self.shared.log.last().await;
            let last = last.map_err(|why| crate::projection::ProjectionError::Storage(why.0))?;
            catch_up(self.shared.log.as_ref(), &mut fold, last).await?;
            Ok::<_, crate::projection::ProjectionError>(fold)
        };
        let fold = build.await.map_err(|error| error.rejection())?;
        match health.problems(|_| true).into_iter().next() {
            Some(wrong) => Err(Rejection::new(Code::Corrupt, wrong)),
            None => Ok(fold),
        }
    }
}
