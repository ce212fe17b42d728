//! Preparing messages: they are decoded and their signature is checked, which needs no state. Many
//! messages are shared among the cores.

use keyroll_core::{Code, Commit, Identity, Index, Recorded, Rejection, Rules, cose};

use keyroll_store::log::Message;

/// Bytes of commits that are worth a thread. For fewer, starting the thread costs more.
const WORTHWHILE: usize = 128 * 1024;

/// A message, decoded and checked by itself.
pub(super) struct Prepared {
    pub(super) message: Message,
    pub(super) opened: Result<OpenedCommit, Rejection>,
}

/// A commit that the ledger's key signed, with its entries, unless one is malformed.
pub(crate) struct OpenedCommit {
    pub(crate) commit: Commit,
    /// The rules that decided it.
    pub(crate) rules: Rules,
    /// The offset of the entries in its bytes.
    pub(super) begin: u16,
    pub(super) entries: Result<Vec<Recorded>, Rejection>,
}

/// Decodes a commit and checks its signature. `key` is the ledger's.
///
/// # Errors
/// As [`Commit::decode`]; [`Code::BadSignature`]; as [`Commit::rules`], once the signature is known
/// to be the ledger's.
pub(crate) fn open(bytes: &[u8], key: &Identity) -> Result<OpenedCommit, Rejection> {
    let not_signed = || {
        let message = "the commit is not signed by the ledger's key";
        Rejection::new(Code::BadSignature, message)
    };
    let is_later = |why: &Rejection| why.code == Code::UpgradeNeeded;
    let opened = Commit::decode(bytes).map_err(|why| {
        if is_later(&why) && cose::later_signer::<Commit>(bytes) != Some(*key) {
            return not_signed();
        }
        why
    })?;
    if opened.signer != *key || opened.verify().is_err() {
        return Err(not_signed());
    }
    let commit = opened.payload;
    let rules = commit.rules().map_err(|why| {
        if is_later(&why) {
            return why;
        }
        Rejection::new(Code::Corrupt, why.message)
    })?;
    let begin = commit.entries_at(bytes);
    let entries = (commit.first.0..).zip(&commit.entries);
    let entries = entries.map(|(index, entry)| Recorded::decode(Index(index), &entry.0));
    let other = || Rejection::new(Code::Corrupt, "the commit is not in canonical encoding");
    let begin = begin
        .and_then(|begin| u16::try_from(begin).ok())
        .ok_or_else(other)?;
    Ok(OpenedCommit {
        entries: entries.collect(),
        begin,
        rules,
        commit,
    })
}

/// Prepares messages one after the other.
pub(super) fn prepare_all(messages: Vec<Message>, key: &Identity) -> Vec<Prepared> {
    let one = |message: Message| Prepared {
        opened: open(&message.bytes, key),
        message,
    };
    messages.into_iter().map(one).collect()
}

/// Prepares messages, on all cores when there are enough of them. `key` is the ledger's.
pub(super) fn prepare(messages: Vec<Message>, key: &Identity) -> Vec<Prepared> {
    let bytes: usize = messages.iter().map(|message| message.bytes.len()).sum();
    let worthwhile = messages.len().min(bytes / WORTHWHILE);
    if worthwhile < 2 {
        return prepare_all(messages, key);
    }
    // Only now: the number of cores is read from several files each time.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shares = worthwhile.min(cores);
    if shares < 2 {
        return prepare_all(messages, key);
    }
    let mut shared: Vec<Vec<Message>> = vec![Vec::new()];
    let mut held = 0;
    for message in messages {
        if held > bytes / shares {
            shared.push(Vec::new());
            held = 0;
        }
        held += message.bytes.len();
        if let Some(last) = shared.last_mut() {
            last.push(message);
        }
    }
    std::thread::scope(|scope| {
        let started: Vec<_> = shared
            .into_iter()
            .map(|share| scope.spawn(move || prepare_all(share, key)))
            .collect();
        let done = started.into_iter().map(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use keyroll_core::Sequence;

    use super::*;

    #[test]
    fn what_is_shared_among_cores_comes_back_whole_and_in_order() {
        let message = |number: u64| Message {
            sequence: Sequence(number),
            workspace: None,
            // These sizes divide evenly among no number of cores.
            bytes: vec![0; 7_919 * usize::try_from(number % 13).expect("small")].into(),
        };
        for count in [0, 1, 2, 61, 200] {
            let prepared = prepare((0..count).map(message).collect(), &Identity([7; 32]));
            let sequences = prepared.iter().map(|one| one.message.sequence.0);
            assert!(sequences.eq(0..count), "{count} messages");
            assert!(prepared.iter().all(|one| one.opened.is_err()));
        }
    }
}
