//! Erasing all that lies under a retired generation, without rewriting the store once per value.
//!
//! nats-server keeps messages in blocks of at most 8 MiB, one after the other, and erases one by
//! writing its whole block anew: 100,000 values cost half a terabyte of writes. A block whose last
//! message is deleted is deleted as a file. So a message is only deleted, at the cost of one small
//! write, where its block certainly holds nothing but messages that are all to go: where a block's
//! length of such messages lies between it and the nearest one that stays. All others are erased
//! (ADR 0026).

use std::collections::HashMap;

use futures::FutureExt as _;
use keyroll_core::command::StoredAt;
use keyroll_core::{Epoch, ObjectId, Rejection, WorkspaceName};
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::{CHUNK, CONCURRENT_REQUESTS, OVERWRITES, each};
use crate::ledger::Ledger;
use keyroll_store::objects::{Erasure, ObjectInfo};

/// What a block of the store holds at most.
const BLOCK: u64 = 8 * 1024 * 1024;
/// A fence between the old generation and the new one: a little more than a block of bytes that mean
/// nothing, in messages of this size each.
const FENCE: usize = 9;
const FENCE_BYTES: usize = 950_000;
/// With fewer values than these it is quicker to rewrite what there is.
const FENCED: u64 = 1_000;

/// A message on its way out.
#[derive(Debug, Clone, Copy)]
struct Going {
    at: StoredAt,
    held: ObjectInfo,
    /// Whether one that stays may lie in the same block.
    beside: bool,
}

impl Ledger {
    /// Puts a fence behind what lies under the old generation, so that none of it shares a block with
    /// the copies that come next. It goes with the old generation.
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
            // Random, or a file system might make nothing of it.
            let mut bytes = vec![0; FENCE_BYTES];
            let filled = SysRng.try_fill_bytes(&mut bytes);
            let stored = match filled {
                Ok(()) => self.vault.store_filler(workspace, old, bytes).await,
                Err(_) => break,
            };
            // A full stream takes none; then more is erased by itself.
            if let Err(why) = stored {
                tracing::debug!(%workspace, %why, "no fence before the copies");
                break;
            }
        }
        Ok(())
    }

    /// Erases all that lies under a generation. The messages that are known are not asked for.
    pub(super) async fn erase_generation(
        &self,
        workspace: &WorkspaceName,
        old: Epoch,
        known: &HashMap<ObjectId, ObjectInfo>,
    ) -> Result<(), Rejection> {
        let mut going = Vec::new();
        for chunk in self
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
                        None => self.vault.info(workspace, at).await?,
                    };
                    Ok(held.map(|held| (at, held)))
                }
                .boxed()
            };
            let held = each(chunk.iter().map(look).collect()).await?;
            going.extend(held.into_iter().flatten().map(|(at, held)| Going {
                at,
                held,
                beside: true,
            }));
        }
        going.sort_unstable_by_key(|one| one.held.sequence);
        self.keeper.change(workspace, |tending| {
            tending.erasing = Some((0, going.len() as u64));
        });
        let stays = self.those_that_stay(&going).await?;
        mark(&mut going, &stays);
        // First those beside others: when this is cut short, what is left is judged anew, and never
        // by something that is gone from a block that it shares with one that stays.
        for beside in [true, false] {
            let those = going.iter().filter(|one| one.beside == beside);
            let those: Vec<Going> = those.copied().collect();
            for chunk in those.chunks(CHUNK) {
                let erase = |one: &Going| self.erase_going(workspace, *one).boxed();
                let at_once = if beside {
                    OVERWRITES
                } else {
                    CONCURRENT_REQUESTS
                };
                let erased = super::some(chunk.iter().map(erase).collect(), at_once).await;
                // No copy is left, not even one that a reveal was reading meanwhile.
                self.vault.forget();
                erased?;
            }
        }
        Ok(())
    }

    async fn erase_going(&self, workspace: &WorkspaceName, one: Going) -> Result<(), Rejection> {
        let (at, held) = (one.at, one.held);
        if one.beside {
            self.vault
                .erase_exact(workspace, at, held, Erasure::Overwrite)
                .await?;
        } else {
            self.vault
                .erase_exact(workspace, at, held, Erasure::Unlink)
                .await?;
        }
        keyroll_store::failpoint!("keeper.old_value_erased");
        self.keeper.change(workspace, |tending| {
            if let Some((done, _)) = &mut tending.erasing {
                *done += 1;
            }
        });
        Ok(())
    }

    /// Before which of these messages, by their place among them, one lies that stays.
    async fn those_that_stay(&self, going: &[Going]) -> Result<Vec<usize>, Rejection> {
        let mut last = 0;
        let mut gaps = Vec::new();
        for (place, one) in going.iter().enumerate() {
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
                    let first = self.vault.first_from(from).await?;
                    Ok((first != Some(to)).then_some(place))
                }
                .boxed()
            };
            let found = each(chunk.iter().map(look).collect()).await?;
            stays.extend(found.into_iter().flatten());
        }
        Ok(stays)
    }
}

/// Marks those that no block can have in common with one that stays: of these one lies before each
/// place that is named, and after all, since the store is written on.
fn mark(going: &mut [Going], stays: &[usize]) {
    let mut begin = 0;
    let ends = stays.iter().copied().chain([going.len()]);
    // Before the first one nothing is left, unless it is named.
    let mut is_open = true;
    for end in ends {
        if end > begin {
            mark_run(&mut going[begin..end], is_open);
        }
        (begin, is_open) = (end, false);
    }
}

/// Marks those of a run with a block's length of it on either side; if `is_open`, nothing is before it.
fn mark_run(run: &mut [Going], is_open: bool) {
    let total: u64 = run.iter().map(|one| one.held.bytes).sum();
    let mut before = 0;
    for one in run {
        let after = total - before - one.held.bytes;
        one.beside = after < BLOCK || (before < BLOCK && !is_open);
        before += one.held.bytes;
    }
}

#[cfg(test)]
mod tests {
    use keyroll_core::{Millis, ObjectId};

    use super::*;

    fn run(count: usize, bytes: u64) -> Vec<Going> {
        let one = |number: usize| Going {
            at: StoredAt {
                epoch: Epoch(1),
                place: ObjectId([0; 32]),
            },
            held: ObjectInfo {
                sequence: number as u64 + 1,
                at: Millis(0),
                bytes,
            },
            beside: true,
        };
        (0..count).map(one).collect()
    }

    fn beside(going: &[Going]) -> Vec<usize> {
        let all = going.iter().enumerate();
        all.filter(|(_, one)| one.beside)
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
