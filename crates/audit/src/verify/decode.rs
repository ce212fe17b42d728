//! Decodes commits and checks their signatures and those of their entries. That needs no earlier
//! commit and is nearly all of the work, so all cores do it, while the verifier compares the
//! results with the commits before.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use keyroll_core::{Commit, Identity, Index, Recorded, Rejection, Rules, cose};

use super::Depth;

/// Bytes of commits in one batch for a thread: some hundred entries, so that the hand-over costs
/// little in comparison.
const BATCH_BYTES: usize = 64 * 1024;
/// Batches under way for each thread: one in work and one waiting.
const BATCHES_PER_THREAD: usize = 2;

/// A decoded commit.
pub(super) struct DecodedCommit {
    /// The commit without its entries.
    pub(super) commit: Commit,
    /// The signer that it names.
    pub(super) signer: Identity,
    /// Whether the signature is valid.
    pub(super) signed: bool,
    /// The rules that decided it. Entries under unknown rules mean nothing to this program.
    pub(super) rules: Result<Rules, Rejection>,
    /// Its entries, up to the first that is malformed.
    pub(super) entries: Vec<DecodedEntry>,
    /// Why the entry after them is malformed.
    pub(super) malformed: Option<Rejection>,
}

/// A decoded entry.
pub(super) struct DecodedEntry {
    pub(super) recorded: Recorded,
    /// Whether the actor's signature is valid; a quick verification does not check it.
    pub(super) signed: Result<(), Rejection>,
}

/// A commit that does not decode.
pub(super) struct Undecodable {
    pub(super) why: Rejection,
    /// The signer, if it is a later version of the form.
    pub(super) later: Option<Identity>,
}

type Batch = Vec<Result<DecodedCommit, Undecodable>>;
type Job = (Vec<Vec<u8>>, SyncSender<Batch>);

/// A thread failed, and its batch is unchecked.
pub(super) struct WorkerFailed;

fn decode(bytes: &[u8], depth: Depth) -> Result<DecodedCommit, Undecodable> {
    let opened = Commit::decode_strict(bytes).map_err(|why| Undecodable {
        why,
        later: cose::later_signer::<Commit>(bytes),
    })?;
    let (signer, signed) = (opened.signer, opened.verify().is_ok());
    let mut commit = opened.payload;
    let rules = commit.rules();
    let encoded = std::mem::take(&mut commit.entries);
    let mut entries = Vec::with_capacity(encoded.len());
    let mut malformed = None;
    for (index, entry) in (commit.first.0..).zip(encoded) {
        match Recorded::decode_strict(Index(index), &entry.0) {
            Ok(recorded) => {
                let signed = match depth {
                    Depth::Quick => Ok(()),
                    Depth::Full => recorded.command.check_signatures(),
                };
                entries.push(DecodedEntry { recorded, signed });
            }
            Err(rejection) => {
                malformed = Some(rejection);
                break;
            }
        }
    }
    Ok(DecodedCommit {
        commit,
        signer,
        signed,
        rules,
        entries,
        malformed,
    })
}

/// Decodes commits on all cores and returns them in their order.
pub(super) struct ParallelDecoder {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    next: Vec<Vec<u8>>,
    next_bytes: usize,
    under_way: VecDeque<Receiver<Batch>>,
}

impl ParallelDecoder {
    pub(super) fn start(depth: Depth) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (jobs, waiting) = sync_channel::<Job>(cores * BATCHES_PER_THREAD);
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

    /// Adds a commit. Returns a batch that is ready, if there is one.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<Option<Batch>, WorkerFailed> {
        self.next.push(bytes.to_vec());
        self.next_bytes += bytes.len();
        if self.next_bytes < BATCH_BYTES {
            return Ok(None);
        }
        let full = self.under_way.len() >= self.threads.len() * BATCHES_PER_THREAD;
        let ready = if full { self.oldest()? } else { None };
        self.send_batch()?;
        Ok(ready)
    }

    /// Waits for the next batch; `None` when all have been returned.
    pub(super) fn rest(&mut self) -> Result<Option<Batch>, WorkerFailed> {
        self.send_batch()?;
        self.oldest()
    }

    fn send_batch(&mut self) -> Result<(), WorkerFailed> {
        if self.next.is_empty() {
            return Ok(());
        }
        let (done, decoded) = sync_channel(1);
        let job = (std::mem::take(&mut self.next), done);
        self.next_bytes = 0;
        self.under_way.push_back(decoded);
        let jobs = self.jobs.as_ref().ok_or(WorkerFailed)?;
        jobs.send(job).map_err(|_| WorkerFailed)
    }

    fn oldest(&mut self) -> Result<Option<Batch>, WorkerFailed> {
        let Some(oldest) = self.under_way.pop_front() else {
            return Ok(None);
        };
        oldest.recv().map(Some).map_err(|_| WorkerFailed)
    }
}

impl Drop for ParallelDecoder {
    fn drop(&mut self) {
        // The threads end with their work. A failed one was reported where its batch was missing.
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
        let decoded = commits.iter().map(|bytes| decode(bytes, depth));
        // The verifier may have stopped at an earlier commit.
        drop(done.send(decoded.collect()));
    }
}
