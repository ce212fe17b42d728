//! Hexadecimal digits (RFC 4648, section 8) as a masked value may be written in them.

/// The bits of a value at which a needle begins. The later ones are for a line end after the first
/// digits: less than four bytes of the value stand before it, and the needle begins after it.
pub(super) const FIRST_BITS: &[u8] = &[0, 8, 16, 24];

/// Separators, and after how many digits they stand. Programs that dump bytes group them by two bytes.
pub(super) const GROUPS: &[(&[u8], usize)] = &[(b"", 2), (b":", 2), (b" ", 2), (b" ", 4)];

/// How many digits encode `bytes` bytes from bit `first_bit` on.
#[inline]
pub(super) fn len(bytes: usize, first_bit: usize) -> usize {
    2 * bytes - first_bit / 4
}

/// The value of the digit at `at`, counted from bit `first_bit` of `bytes`.
#[inline]
pub(super) fn symbol_at(bytes: &[u8], first_bit: usize, at: usize) -> u8 {
    let byte = bytes[first_bit / 8 + at / 2];
    if at.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 15
    }
}

/// The value of a digit, in either case.
#[inline]
pub(super) fn symbol(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The digit of a value, in lower and in upper case.
pub(super) fn characters(symbol: u8) -> [u8; 2] {
    let lower = b"0123456789abcdef"[usize::from(symbol & 15)];
    [lower, lower.to_ascii_uppercase()]
}

/// Whether a byte may stand between pairs of digits.
#[inline]
pub(super) fn is_separator(byte: u8) -> bool {
    matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n')
}
