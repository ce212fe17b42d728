//! What can be said of a commit without those before it: its form, whether its signature holds, its
//! entries and whether theirs do. That is nearly all of the work, so it is done on all cores, while
//! one of them holds what was found against the commits before.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use keyroll_core::{Commit, Identity, Index, Recorded, Rejection, Rules, cose};

use super::Depth;

/// Bytes of commits that are handed to a thread at once: some hundred entries, so that handing over
/// costs nothing beside them.
const PARCEL: usize = 64 * 1024;
/// Parcels under way for each thread: one in work and one to go on with.
const UNDER_WAY: usize = 2;

/// A commit taken by itself.
pub(super) struct Prepared {
    /// What it says; its entries are taken out.
    pub(super) commit: Commit,
    /// Who is said to have signed.
    pub(super) signer: Identity,
    /// Whether that is so.
    pub(super) signed: bool,
    /// The rules that decided it. By others than the known ones its entries say nothing here.
    pub(super) rules: Result<Rules, Rejection>,
    /// Its entries, up to the first that is malformed.
    pub(super) entries: Vec<PreparedEntry>,
    /// What is wrong with that one.
    pub(super) malformed: Option<Rejection>,
}

/// An entry taken by itself.
pub(super) struct PreparedEntry {
    pub(super) recorded: Recorded,
    /// Whether the actor signed; not looked at in a quick verification.
    pub(super) signed: Result<(), Rejection>,
}

/// A commit that cannot be taken apart.
pub(super) struct Unread {
    pub(super) why: Rejection,
    /// Who signed it, if it is a later version of the form.
    pub(super) later: Option<Identity>,
}

type Parcel = Vec<Result<Prepared, Unread>>;
type Job = (Vec<Vec<u8>>, SyncSender<Parcel>);

/// A thread failed: what it was to look at is not known.
pub(super) struct Lost;

fn prepare(bytes: &[u8], depth: Depth) -> Result<Prepared, Unread> {
    let opened = Commit::decode_strict(bytes).map_err(|why| Unread {
        why,
        later: cose::later_signer::<Commit>(bytes),
    })?;
    let (signer, signed) = (opened.signer, opened.verify().is_ok());
    let mut commit = opened.payload;
    let rules = commit.rules();
    let held = std::mem::take(&mut commit.entries);
    let mut entries = Vec::with_capacity(held.len());
    let mut malformed = None;
    for (index, entry) in (commit.first.0..).zip(held) {
        match Recorded::decode_strict(Index(index), &entry.0) {
            Ok(recorded) => {
                let signed = match depth {
                    Depth::Quick => Ok(()),
                    Depth::Full => recorded.command.check_signatures(),
                };
                entries.push(PreparedEntry { recorded, signed });
            }
            Err(rejection) => {
                malformed = Some(rejection);
                break;
            }
        }
    }
    Ok(Prepared {
        commit,
        signer,
        signed,
        rules,
        entries,
        malformed,
    })
}

/// Prepares commits, and gives them back in the order in which they came.
pub(super) struct Preparation {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    next: Vec<Vec<u8>>,
    next_bytes: usize,
    under_way: VecDeque<Receiver<Parcel>>,
}

impl Preparation {
    pub(super) fn start(depth: Depth) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (jobs, waiting) = sync_channel::<Job>(cores * UNDER_WAY);
        let waiting = Arc::new(Mutex::new(waiting));
        let thread = |_| {
            let waiting = Arc::clone(&waiting);
            std::thread::spawn(move || work(&waiting, depth))
        };
        Self {
            jobs: Some(jobs),
            threads: (0..cores).map(thread).collect(),
            next: Vec::new(),
            next_bytes: 0,
            under_way: VecDeque::new(),
        }
    }

    /// Takes a commit; gives what is ready by now, which may be nothing.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<Option<Parcel>, Lost> {
        self.next.push(bytes.to_vec());
        self.next_bytes += bytes.len();
        if self.next_bytes < PARCEL {
            return Ok(None);
        }
        let full = self.under_way.len() >= self.threads.len() * UNDER_WAY;
        let ready = if full { self.oldest()? } else { None };
        self.hand_over()?;
        Ok(ready)
    }

    /// The next parcel, waited for; nothing when all have been given.
    pub(super) fn rest(&mut self) -> Result<Option<Parcel>, Lost> {
        self.hand_over()?;
        self.oldest()
    }

    fn hand_over(&mut self) -> Result<(), Lost> {
        if self.next.is_empty() {
            return Ok(());
        }
        let (done, prepared) = sync_channel(1);
        let job = (std::mem::take(&mut self.next), done);
        self.next_bytes = 0;
        self.under_way.push_back(prepared);
        let jobs = self.jobs.as_ref().ok_or(Lost)?;
        jobs.send(job).map_err(|_| Lost)
    }

    fn oldest(&mut self) -> Result<Option<Parcel>, Lost> {
        let Some(oldest) = self.under_way.pop_front() else {
            return Ok(None);
        };
        oldest.recv().map(Some).map_err(|_| Lost)
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        // The threads end with their work. One that failed was missed where its parcel was.
        self.jobs = None;
        self.under_way.clear();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn work(waiting: &Mutex<Receiver<Job>>, depth: Depth) {
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok((commits, done)) = next else { return };
        let prepared = commits.iter().map(|bytes| prepare(bytes, depth));
        // Whoever wanted it may have stopped at something before it.
        drop(done.send(prepared.collect()));
    }
}
