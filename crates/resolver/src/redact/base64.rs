//! Base64 (RFC 4648, sections 4 and 5) as a masked value may be written in it.
//!
//! A Base64 character carries six bits. The bytes before a value decide at which bit of the value the
//! first whole character begins. The characters at both ends may also carry bits of other bytes.

/// The bits of a value at which a needle begins. Three alignments are possible. The later offsets are for
/// a line end after the first characters: less than four bytes of the value stand before it, and the
/// needle begins after it.
pub(super) const FIRST_BITS: &[u8] = &[0, 2, 4, 6, 8, 10, 12, 14, 16];

/// How many whole characters encode `bytes` bytes from bit `first_bit` on.
#[inline]
pub(super) fn len(bytes: usize, first_bit: usize) -> usize {
    (8 * bytes - first_bit) / 6
}

/// The six bits of the character at `at`, counted from bit `first_bit` of `bytes`.
#[inline]
pub(super) fn symbol_at(bytes: &[u8], first_bit: usize, at: usize) -> u8 {
    let bit = first_bit + 6 * at;
    let high = u16::from(bytes[bit / 8]) << 8;
    let low = bytes.get(bit / 8 + 1).copied().map_or(0, u16::from);
    u8::try_from(((high | low) >> (10 - bit % 8)) & 63).unwrap_or_default()
}

/// Whether the character before the whole ones carries bits of the value, and whether the one after them
/// does.
pub(super) fn shared_characters(bytes: usize, first_bit: usize) -> (bool, bool) {
    let bits = 8 * bytes - first_bit;
    (first_bit > 0, !bits.is_multiple_of(6))
}

/// The value of a character of the standard or the URL-safe alphabet.
#[inline]
pub(super) fn symbol(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// The character of a value in the standard and in the URL-safe alphabet.
pub(super) fn characters(symbol: u8) -> [u8; 2] {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let standard = STANDARD[usize::from(symbol & 63)];
    let url_safe = match standard {
        b'+' => b'-',
        b'/' => b'_',
        same => same,
    };
    [standard, url_safe]
}

/// Whether a byte may stand between characters. Line ends may, with the indentation after them.
#[inline]
pub(super) fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
