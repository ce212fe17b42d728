//! Commits that a recovery saved, in one file: each after its length, four bytes, big-endian.

use keyroll_core::{Commit, WorkspaceName};

/// Puts commits one behind the other.
pub fn write<'a>(commits: impl Iterator<Item = impl AsRef<[u8]> + 'a>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for commit in commits {
        let commit = commit.as_ref();
        // A message of NATS is smaller by far.
        let length = u32::try_from(commit.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(commit);
    }
    bytes
}

/// The commits in a file, each with the workspace that it names. One that was cut short holds what
/// it holds, and what is no commit is passed over.
pub fn read(bytes: &[u8]) -> Vec<(WorkspaceName, &[u8])> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((commit, behind)) = behind.split_at_checked(length) else {
            break;
        };
        if let Ok(opened) = Commit::decode(commit) {
            found.push((opened.payload.workspace.clone(), commit));
        }
        rest = behind;
    }
    found
}
