//! Common escapes that can be decoded without going through the layers. For speed alone.

/// Whether an escape may begin with a byte, on any layer.
#[inline]
pub(in crate::redact) fn may_escape(byte: u8) -> bool {
    matches!(
        byte,
        b'\\' | b'%' | b'&' | b'+' | b'"' | b'\'' | b'$' | b'\r'
    )
}

/// A common escape at the start of a text that no other layer decodes in another way.
pub(super) struct CommonEscape {
    pub(super) code: u32,
    pub(super) width: usize,
    /// Whether the code may be a byte as well as a character.
    pub(super) may_be_byte: bool,
}

/// A common escape at the start of a text. The only other decoding there is the first byte as it is.
pub(super) fn common_escape(text: &[u8]) -> Option<CommonEscape> {
    let (code, width, may_be_byte) = match text {
        [b'%', high, low, ..] => (u32::from(hex_byte(&[*high, *low])?), 3, true),
        [b'\\', b'u', digits @ ..] => {
            let (high, low) = (hex_byte(digits.get(..2)?)?, hex_byte(digits.get(2..4)?)?);
            (u32::from(high) << 8 | u32::from(low), 6, true)
        }
        [b'\\', b'n', ..] => (u32::from(b'\n'), 2, false),
        [b'\\', b't', ..] => (u32::from(b'\t'), 2, false),
        [b'\\', escaped @ (b'/' | b'<' | b'>' | b'=' | b'-'), ..] => {
            (u32::from(*escaped), 2, false)
        }
        _ => return None,
    };
    let begins_another = u8::try_from(code).is_ok_and(may_escape);
    let is_surrogate = (0xD800..0xE000).contains(&code);
    (!begins_another && !is_surrogate).then_some(CommonEscape {
        code,
        width,
        may_be_byte,
    })
}

/// The ASCII byte at the start of a text and its width, where its only other decoding is the first byte as
/// it is.
pub(in crate::redact) fn unambiguous(text: &[u8]) -> Option<(u8, usize)> {
    let first = *text.first()?;
    if !may_escape(first) {
        return Some((first, 1));
    }
    let escape = common_escape(text)?;
    let byte = u8::try_from(escape.code).ok().filter(u8::is_ascii)?;
    Some((byte, escape.width))
}

/// The byte that two hex digits stand for.
pub(in crate::redact) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}
