//! Percent-encoding, for queries and forms.

/// Appends bytes, keeping what RFC 3986 calls unreserved and percent-encoding the rest: no
/// encoded value can end the query, a pair or the URL.
pub(crate) fn percent(bytes: &[u8], out: &mut Vec<u8>) {
    percent_keeping(bytes, b"-._~", false, true, out);
}

/// Appends bytes as `application/x-www-form-urlencoded` writes them (WHATWG URL, section 5.2).
pub(crate) fn form(bytes: &[u8], out: &mut Vec<u8>) {
    percent_keeping(bytes, b"*-._", true, true, out);
}

/// Appends bytes, keeping ASCII letters, digits and `keep`, with a space as `+` where asked.
pub(crate) fn percent_keeping(
    bytes: &[u8],
    keep: &[u8],
    plus: bool,
    upper: bool,
    out: &mut Vec<u8>,
) {
    let digits = digits(upper);
    for &byte in bytes {
        if plus && byte == b' ' {
            out.push(b'+');
        } else if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', digits[high], digits[low]]);
        }
    }
}

/// Hexadecimal digits.
pub(crate) fn digits(upper: bool) -> &'static [u8; 16] {
    if upper {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    }
}
