//! Files of commits that a recovery has set aside: each commit after its length, four bytes,
//! big-endian.

use keyroll_core::{Commit, WorkspaceName};

/// The bytes of a file with these commits.
pub fn write<'a>(commits: impl Iterator<Item = impl AsRef<[u8]> + 'a>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for commit in commits {
        let commit = commit.as_ref();
        // Every commit was a NATS message, which is far smaller than 4 GiB.
        let length = u32::try_from(commit.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(commit);
    }
    bytes
}

/// The commits in a file, each with the workspace that it names. A file that was cut short has the
/// commits before the cut; bytes that are no commit are skipped.
pub fn read(bytes: &[u8]) -> Vec<(WorkspaceName, &[u8])> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((commit, tail)) = tail.split_at_checked(length) else {
            break;
        };
        if let Ok(opened) = Commit::decode(commit) {
            found.push((opened.payload.workspace.clone(), commit));
        }
        rest = tail;
    }
    found
}
