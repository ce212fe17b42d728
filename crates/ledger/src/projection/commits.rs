//! The log's commits, verbatim, in pieces cut between entries: one entry is read from its piece,
//! not from the half megabyte of a commit made under load.

use bytes::Bytes;
use keyroll_core::{Blob, Commit, Index, Recorded, cbor};
use redb::WriteTransaction;

use super::schema::COMMITS;
use super::view::damaged;
use super::{ProjectionError, WorkspaceView, rows};

/// Bytes of a piece, unless its only entry is longer: with its key it fills one of redb's pages of
/// 16 KiB.
const PIECE_BYTES: usize = 16 * 1024 - 256;

/// Bytes of a commit from one entry on; for its first entry, from the commit's beginning on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The first entry in it.
    pub first: Index,
    /// The offset of that entry in `bytes`: 0, unless the commit begins here.
    begin: u16,
    bytes: Bytes,
}

/// A commit as the read model holds it.
pub struct CommitAt {
    /// Its first entry.
    pub first: Index,
    /// The entry after its last.
    pub next: Index,
    /// The commit, verbatim.
    pub bytes: Bytes,
}

/// An entry found in its commit.
pub struct EntryAt {
    /// The entry's bytes.
    pub bytes: Blob,
    /// The entry, decoded.
    pub recorded: Recorded,
}

/// Cuts a commit whose entries begin at `begin` in its bytes.
pub(crate) fn cut(commit: &Commit, begin: u16, bytes: &Bytes) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, usize::from(begin));
    let mut piece = (Index(commit.first.0), begin);
    for (index, entry) in (commit.first.0..).zip(&commit.entries) {
        let end = at + cbor::bytes_len(&entry.0);
        if end - from > PIECE_BYTES && index > piece.0.0 {
            let (first, begin) = piece;
            let bytes = bytes.slice(from..at);
            pieces.push(Piece {
                first,
                begin,
                bytes,
            });
            (from, piece) = (at, (Index(index), 0));
        }
        at = end;
    }
    let (first, begin) = piece;
    let bytes = bytes.slice(from..);
    pieces.push(Piece {
        first,
        begin,
        bytes,
    });
    pieces
}

pub(super) fn write(
    tx: &WriteTransaction,
    number: u32,
    pieces: &[Piece],
) -> Result<(), ProjectionError> {
    let mut commits = tx.open_table(COMMITS)?;
    for piece in pieces {
        let row = [&piece.begin.to_be_bytes(), piece.bytes.as_ref()].concat();
        let row = rows::with_checksum(row);
        commits.insert((number, piece.first.0), row.as_slice())?;
    }
    Ok(())
}

/// The parts of a row: the offset of the first entry in it, and the bytes.
fn parts(row: &[u8]) -> Result<(usize, &[u8]), ProjectionError> {
    let (begin, bytes) = rows::without_checksum(row)?
        .split_first_chunk::<2>()
        .ok_or_else(|| damaged("a piece of a commit is cut short"))?;
    Ok((usize::from(u16::from_be_bytes(*begin)), bytes))
}

impl WorkspaceView<'_> {
    /// The commit that holds an index.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn commit_of(&self, index: Index) -> Result<Option<CommitAt>, ProjectionError> {
        if index.0 >= self.size().0 {
            return Ok(None);
        }
        let (n, commits) = (self.number(), self.tx().open_table(COMMITS)?);
        let first = self.first_beside(index)?;
        let mut bytes = Vec::new();
        let mut next = Index(self.size().0);
        for row in commits.range((n, first.0)..=(n, u64::MAX))? {
            let (key, row) = row?;
            let (begin, piece) = parts(row.value())?;
            if begin > 0 && !bytes.is_empty() {
                next = Index(key.value().1);
                break;
            }
            bytes.extend_from_slice(piece);
        }
        Ok(Some(CommitAt {
            first,
            next,
            bytes: bytes.into(),
        }))
    }

    /// The first entry of the commit that holds an index.
    fn first_beside(&self, index: Index) -> Result<Index, ProjectionError> {
        let (n, commits) = (self.number(), self.tx().open_table(COMMITS)?);
        for row in commits.range((n, 0)..=(n, index.0))?.rev() {
            let (key, row) = row?;
            if parts(row.value())?.0 > 0 {
                return Ok(Index(key.value().1));
            }
        }
        Err(damaged(format!("the commit of entry {index} is missing")))
    }

    /// The entry at an index.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn entry(&self, index: Index) -> Result<Option<EntryAt>, ProjectionError> {
        if index.0 >= self.size().0 {
            return Ok(None);
        }
        let missing = || damaged(format!("entry {index} is missing from its commit"));
        let (n, commits) = (self.number(), self.tx().open_table(COMMITS)?);
        let mut before = commits.range((n, 0)..=(n, index.0))?;
        let (key, row) = before.next_back().ok_or_else(missing)??;
        let (begin, piece) = parts(row.value())?;
        let mut rest = piece.get(begin..).ok_or_else(missing)?;
        for _ in key.value().1..index.0 {
            (_, rest) = cbor::split_bytes(rest).ok_or_else(missing)?;
        }
        let (entry, _) = cbor::split_bytes(rest).ok_or_else(missing)?;
        let recorded =
            Recorded::decode(index, entry).map_err(|rejection| damaged(rejection.message))?;
        Ok(Some(EntryAt {
            bytes: Blob(entry.to_vec()),
            recorded,
        }))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use keyroll_core::{Digest, LedgerId, Millis, TreeSize, cose};

    use super::*;

    fn commit(lengths: &[usize]) -> (Commit, Bytes) {
        let commit = Commit {
            v: keyroll_core::commit::COMMIT_V,
            at: Millis(7),
            root: Digest([1; 32]),
            first: TreeSize(40),
            rules: keyroll_core::Rules::CURRENT.number(),
            ledger: LedgerId([2; 32]),
            entries: lengths
                .iter()
                .map(|length| Blob(vec![9; *length]))
                .collect(),
            workspace: "demo".parse().expect("a name"),
        };
        let bytes = cose::sign(&commit, &SigningKey::from_bytes(&[3; 32]));
        (commit, bytes.into())
    }

    fn pieces(lengths: &[usize]) -> (Bytes, Vec<Piece>) {
        let (commit, bytes) = commit(lengths);
        let begin = commit.entries_at(&bytes).expect("entries");
        let pieces = cut(&commit, u16::try_from(begin).expect("short"), &bytes);
        (bytes, pieces)
    }

    #[test]
    fn pieces_are_the_commit_and_fit_a_page_each() {
        for lengths in [
            vec![1],
            vec![600; 860],
            vec![PIECE_BYTES; 3],
            vec![PIECE_BYTES * 2, 1, PIECE_BYTES * 2],
            (0..400).map(|at| at * 37 % 5_000).collect(),
        ] {
            let (bytes, pieces) = pieces(&lengths);
            let joined: Vec<u8> = pieces.iter().flat_map(|one| one.bytes.to_vec()).collect();
            assert_eq!(joined, bytes);
            let (first, others) = pieces.split_first().expect("one at least");
            assert!(first.first == Index(40) && first.begin > 0);
            assert!(others.iter().all(|piece| piece.begin == 0));
            let mut at = 0;
            for (number, piece) in pieces.iter().enumerate() {
                assert_eq!(piece.first, Index(40 + at as u64));
                let mut rest = &piece.bytes[usize::from(piece.begin)..];
                let last = number + 1 == pieces.len();
                let (mut held, begun) = (0, at);
                while let Some((entry, next)) = cbor::split_bytes(rest) {
                    assert_eq!(entry.len(), lengths[at]);
                    (at, rest, held) = (at + 1, next, held + 1);
                }
                assert!(held > 0, "piece {number} of {begun} holds no entry");
                assert!(rest.is_empty() || last);
                assert!(held == 1 || piece.bytes.len() <= PIECE_BYTES + 200);
            }
            assert_eq!(at, lengths.len());
        }
    }

    #[test]
    fn a_commit_made_under_load_is_cut() {
        let (bytes, pieces) = pieces(&[600; 860]);
        assert!(bytes.len() > 500_000);
        assert_eq!(pieces.len(), bytes.len().div_ceil(26 * 603));
    }
}
