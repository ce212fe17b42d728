//! Rows as bytes: CBOR or a piece of a commit, followed by a checksum. redb compares its own
//! checksums only when a file is opened, and no command may be decided on a row that has changed on
//! the disk.

use keyroll_core::cbor;
use redb::Table;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::ProjectionError;

/// Bytes of the checksum: the first of a SHA-256. It protects against disk errors, not against
/// attackers, who could compute it too.
const CHECKSUM: usize = 8;

fn checksum(row: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(row);
    let mut first = [0; CHECKSUM];
    first.copy_from_slice(&digest[..CHECKSUM]);
    first
}

pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    with_checksum(cbor::encode_row(row))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ProjectionError> {
    let row = without_checksum(bytes)?;
    cbor::decode_trusted(row).map_err(|rejection| ProjectionError::Damaged(rejection.message))
}

pub(super) fn put<'k, K: redb::Key + 'static, T: Serialize>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
    row: &T,
) -> Result<(), ProjectionError> {
    table.insert(key, encode(row).as_slice())?;
    Ok(())
}

pub(super) fn with_checksum(mut row: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(&row);
    row.extend(checksum);
    row
}

pub(super) fn without_checksum(bytes: &[u8]) -> Result<&[u8], ProjectionError> {
    let whole = bytes
        .split_last_chunk::<CHECKSUM>()
        .filter(|(row, found)| checksum(row) == **found);
    let Some((row, _)) = whole else {
        let message = "a row has changed on the disk; `keyroll projection rebuild` builds it again";
        return Err(ProjectionError::Damaged(message.to_owned()));
    };
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_has_changed_is_no_row() {
        let row = ("api.example.com".to_owned(), 7_u64);
        let bytes = encode(&row);
        assert_eq!(decode::<(String, u64)>(&bytes).expect("a row"), row);
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            let decoded = decode::<(String, u64)>(&changed);
            assert!(matches!(decoded, Err(ProjectionError::Damaged(_))), "{at}");
        }
        for length in 0..bytes.len() {
            assert!(
                decode::<(String, u64)>(&bytes[..length]).is_err(),
                "{length}"
            );
        }
    }
}
