//! Erasing all values of a retired key epoch, without rewriting the store once per value.
//!
//! nats-server keeps messages in blocks of at most 8 MiB, and erases a message by rewriting its
//! block: 100,000 values cost half a terabyte of writes. When the last message of a block is
//! deleted, the block is deleted as a file. So a message is only deleted, at the cost of one small
//! write, where its block certainly holds only messages that are all to be erased: where at least a
//! block's length of them lies between it and the nearest message that stays. All others are
//! overwritten (ADR 0026).

use std::collections::HashMap;

use futures::FutureExt as _;
use keyroll_core::command::StoredAt;
use keyroll_core::{Epoch, ObjectId, Rejection, WorkspaceName};
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::Eraser;
use super::{CHUNK, CONCURRENT_REQUESTS, OVERWRITES, run_all};
use keyroll_store::objects::{Erasure, ObjectInfo};

/// Maximum size of a block of the store.
const BLOCK: u64 = 8 * 1024 * 1024;
/// A fence between the old epoch and the new one: a little more than a block of meaningless bytes,
/// in messages of this size each.
const FENCE: usize = 9;
const FENCE_BYTES: usize = 950_000;
/// With fewer values than this, rewriting the blocks is quicker.
const FENCED: u64 = 1_000;

/// A message to erase.
#[derive(Debug, Clone, Copy)]
struct ErasureTarget {
    at: StoredAt,
    held: ObjectInfo,
    /// Whether a message that stays may lie in the same block.
    shares_block: bool,
}

impl Eraser {
    /// Stores a fence behind the values of the old epoch, so that none of them shares a block with
    /// the copies that follow. It is erased with the old epoch.
    pub(super) async fn fence(
        &self,
        workspace: &WorkspaceName,
        old: Epoch,
        values: u64,
    ) -> Result<(), Rejection> {
        if values < FENCED {
            return Ok(());
        }
        for _ in 0..FENCE {
            // Random bytes, which no file system compresses.
            let mut bytes = vec![0; FENCE_BYTES];
            let filled = SysRng.try_fill_bytes(&mut bytes);
            let stored = match filled {
                Ok(()) => self.context.vault.store_filler(workspace, old, bytes).await,
                Err(_) => break,
            };
            // A full stream takes no fence. Then more messages are overwritten.
            if let Err(why) = stored {
                tracing::debug!(%workspace, %why, "no fence could be stored before the copies");
                break;
            }
        }
        Ok(())
    }

    /// Erases all values of an epoch. `known` are the messages that need not be fetched.
    pub(super) async fn erase_generation(
        &self,
        workspace: &WorkspaceName,
        old: Epoch,
        known: &HashMap<ObjectId, ObjectInfo>,
    ) -> Result<(), Rejection> {
        let mut targets = Vec::new();
        for chunk in self
            .context
            .vault
            .list(workspace, None, Some(old))
            .await?
            .chunks(CHUNK)
        {
            let look = |at: &StoredAt| {
                let at = *at;
                async move {
                    let held = match known.get(&at.place) {
                        Some(held) => Some(*held),
                        None => self.context.vault.info(workspace, at).await?,
                    };
                    Ok(held.map(|held| (at, held)))
                }
                .boxed()
            };
            let held = run_all(chunk.iter().map(look).collect()).await?;
            targets.extend(held.into_iter().flatten().map(|(at, held)| ErasureTarget {
                at,
                held,
                shares_block: true,
            }));
        }
        targets.sort_unstable_by_key(|one| one.held.sequence);
        self.progress.change(workspace, |progress| {
            progress.erasing = Some((0, targets.len() as u64));
        });
        let stays = self.find_neighbors(&targets).await?;
        mark(&mut targets, &stays);
        // Messages in shared blocks come first. If this is cut short, the rest is judged again, and
        // the judgement never rests on a message that is gone from a shared block.
        for shares_block in [true, false] {
            let those = targets
                .iter()
                .filter(|one| one.shares_block == shares_block);
            let those: Vec<ErasureTarget> = those.copied().collect();
            for chunk in those.chunks(CHUNK) {
                let erase = |one: &ErasureTarget| self.erase_target(workspace, *one).boxed();
                let at_once = if shares_block {
                    OVERWRITES
                } else {
                    CONCURRENT_REQUESTS
                };
                let erased = super::run_bounded(chunk.iter().map(erase).collect(), at_once).await;
                // No copy is left, not even one that a reveal was reading meanwhile.
                self.context.vault.forget();
                erased?;
            }
        }
        Ok(())
    }

    async fn erase_target(
        &self,
        workspace: &WorkspaceName,
        one: ErasureTarget,
    ) -> Result<(), Rejection> {
        let (at, held) = (one.at, one.held);
        if one.shares_block {
            self.context
                .vault
                .erase_exact(workspace, at, held, Erasure::Overwrite)
                .await?;
        } else {
            self.context
                .vault
                .erase_exact(workspace, at, held, Erasure::Unlink)
                .await?;
        }
        keyroll_store::failpoint!("erasure.old_value_erased");
        self.progress.change(workspace, |progress| {
            if let Some((done, _)) = &mut progress.erasing {
                *done += 1;
            }
        });
        Ok(())
    }

    /// The positions in `targets` that follow a message that stays.
    async fn find_neighbors(&self, targets: &[ErasureTarget]) -> Result<Vec<usize>, Rejection> {
        let mut last = 0;
        let mut gaps = Vec::new();
        for (place, one) in targets.iter().enumerate() {
            if one.held.sequence != last + 1 {
                gaps.push((place, last + 1, one.held.sequence));
            }
            last = one.held.sequence;
        }
        let mut stays = Vec::new();
        for chunk in gaps.chunks(CHUNK) {
            let look = |(place, from, to): &(usize, u64, u64)| {
                let (place, from, to) = (*place, *from, *to);
                async move {
                    let first = self.context.vault.first_from(from).await?;
                    Ok((first != Some(to)).then_some(place))
                }
                .boxed()
            };
            let found = run_all(chunk.iter().map(look).collect()).await?;
            stays.extend(found.into_iter().flatten());
        }
        Ok(stays)
    }
}

/// Marks the messages that may share a block with one that stays. Such a message lies before each
/// position in `stays`, and after all of them, since the store is still written to.
fn mark(targets: &mut [ErasureTarget], stays: &[usize]) {
    let mut begin = 0;
    let ends = stays.iter().copied().chain([targets.len()]);
    // No message lies before the first one, unless `stays` names it.
    let mut is_open = true;
    for end in ends {
        if end > begin {
            mark_run(&mut targets[begin..end], is_open);
        }
        (begin, is_open) = (end, false);
    }
}

/// Marks the messages of a run that lie less than a block's length from its beginning or its end.
/// If `is_open`, nothing lies before the run.
fn mark_run(run: &mut [ErasureTarget], is_open: bool) {
    let total: u64 = run.iter().map(|one| one.held.bytes).sum();
    let mut before = 0;
    for one in run {
        let after = total - before - one.held.bytes;
        one.shares_block = after < BLOCK || (before < BLOCK && !is_open);
        before += one.held.bytes;
    }
}

#[cfg(test)]
mod tests {
    use keyroll_core::{Millis, ObjectId};

    use super::*;

    fn run(count: usize, bytes: u64) -> Vec<ErasureTarget> {
        let one = |number: usize| ErasureTarget {
            at: StoredAt {
                epoch: Epoch(1),
                place: ObjectId([0; 32]),
            },
            held: ObjectInfo {
                sequence: number as u64 + 1,
                at: Millis(0),
                bytes,
            },
            shares_block: true,
        };
        (0..count).map(one).collect()
    }

    fn beside(targets: &[ErasureTarget]) -> Vec<usize> {
        let all = targets.iter().enumerate();
        all.filter(|(_, one)| one.shares_block)
            .map(|(place, _)| place)
            .collect()
    }

    #[test]
    fn only_what_is_a_block_away_from_all_that_stays_is_not_written_over() {
        // Eight messages are a block.
        let mib = 1024 * 1024;
        let mut small = run(8, mib);
        mark(&mut small, &[]);
        assert_eq!(beside(&small), (0..8).collect::<Vec<_>>());
        // Nothing before: all but the block's length at the end.
        let mut open = run(30, mib);
        mark(&mut open, &[]);
        assert_eq!(beside(&open), (22..30).collect::<Vec<_>>());
        // Something before: the block's length at the beginning too.
        let mut closed = run(30, mib);
        mark(&mut closed, &[0]);
        let ends: Vec<usize> = (0..8).chain(22..30).collect();
        assert_eq!(beside(&closed), ends);
        // Something in between: two runs.
        let mut two = run(50, mib);
        mark(&mut two, &[20]);
        let ends: Vec<usize> = (12..28).chain(42..50).collect();
        assert_eq!(beside(&two), ends);
        mark(&mut [], &[]);
    }
}
