//! Connection keys as nkeys: `U` and the base32 of prefix, key and checksum.

use data_encoding::BASE32_NOPAD;
use keyroll_core::ConnectionKey;
use nkeys::KeyPair;

/// The prefix of a user's public key.
const USER: u8 = 20 << 3;

/// The text of a connection key, which is also the name of its NATS user.
pub fn text(key: &ConnectionKey) -> String {
    let mut bytes = vec![USER];
    bytes.extend(key.0);
    let checksum = crc16(&bytes);
    bytes.extend(checksum.to_le_bytes());
    BASE32_NOPAD.encode(&bytes)
}

/// The public half of a user's key.
///
/// # Errors
/// Never for a key of this program: its text is that of a public key.
pub fn of(pair: &KeyPair) -> Result<ConnectionKey, nkeys::error::Error> {
    nkeys::from_public_key(&pair.public_key()).map(|(_, key)| ConnectionKey(key))
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_key_is_that_of_nkeys() {
        for _ in 0..100 {
            let pair = KeyPair::new_user();
            assert_eq!(text(&of(&pair).expect("a key")), pair.public_key());
        }
    }
}
