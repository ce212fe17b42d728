//! Escapes that can be read without looking through the layers, for speed alone.

/// Whether an escape may begin with a byte, on whichever layer.
pub(super) fn may_escape(byte: u8) -> bool {
    matches!(
        byte,
        b'\\' | b'%' | b'&' | b'+' | b'"' | b'\'' | b'$' | b'\r'
    )
}

/// What an escape stands for that is common and that no other layer reads in another way: its
/// character, its width, and whether it is a number that may be a byte as well. Apart from that it
/// can only be its first byte, as it is.
pub(super) fn common(text: &[u8]) -> Option<(u32, usize, bool)> {
    let escape = match text {
        [b'%', high, low, ..] => (u32::from(hex(&[*high, *low])?), 3, true),
        [b'\\', b'u', digits @ ..] => {
            let (high, low) = (hex(digits.get(..2)?)?, hex(digits.get(2..4)?)?);
            (u32::from(high) << 8 | u32::from(low), 6, true)
        }
        [b'\\', b'n', ..] => (u32::from(b'\n'), 2, false),
        [b'\\', b't', ..] => (u32::from(b'\t'), 2, false),
        [b'\\', escaped @ (b'/' | b'<' | b'>' | b'=' | b'-'), ..] => {
            (u32::from(*escaped), 2, false)
        }
        _ => return None,
    };
    let again = u8::try_from(escape.0).is_ok_and(may_escape);
    (!again && !(0xD800..0xE000).contains(&escape.0)).then_some(escape)
}

/// The byte at the beginning of a text and its width, where that is a byte of ASCII and there is no
/// other way of reading it but that the first byte stands for itself.
pub(super) fn plain(text: &[u8]) -> Option<(u8, usize)> {
    let first = *text.first()?;
    if !may_escape(first) {
        return Some((first, 1));
    }
    let (code, width, _) = common(text)?;
    let byte = u8::try_from(code).ok().filter(u8::is_ascii)?;
    Some((byte, width))
}

/// The byte that two hex digits are.
pub(super) fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}
