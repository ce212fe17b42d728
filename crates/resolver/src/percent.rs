//! Percent-encoding, for queries and forms.

/// Appends bytes. It keeps the unreserved characters of RFC 3986 and percent-encodes the rest, so no value
/// can end the query, a pair or the URL.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    percent_keeping(bytes, b"-._~", false, true, out);
}

/// Appends bytes as `application/x-www-form-urlencoded` (WHATWG URL, section 5.2).
pub(crate) fn encode_form(bytes: &[u8], out: &mut Vec<u8>) {
    percent_keeping(bytes, b"*-._", true, true, out);
}

/// Appends bytes, keeping ASCII letters, digits and `keep`, and writing a space as `+` if `plus`.
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
