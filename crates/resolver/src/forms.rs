//! The spellings under which a value may come back.
//!
//! Programs that print a value rarely print it raw. Each form here is what some common encoder
//! writes for the value on its own; where encoders differ there is one form for each manner.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::encode::{digits, percent_keeping};

/// The shortest value, or line of one, that is masked, in bytes. Shorter ones occur by chance.
pub(crate) const MIN_MASKED: usize = 8;

/// Longer pieces get only the common manners of percent, JSON and XML: their forms are what the
/// automaton's size comes from.
const LONG: usize = 4096;

/// A spelling of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) bytes: Vec<u8>,
    /// The Base64 character before the match carries some of the value's bits.
    pub(crate) widen_left: bool,
    /// The Base64 character after the match carries some of the value's bits.
    pub(crate) widen_right: bool,
}

/// Every form of a value: raw, trimmed, its lines, and each of these encoded. Not distinct.
pub(crate) fn forms(value: &[u8]) -> Vec<Form> {
    let mut out = Vec::new();
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r'));
    let trimmed_lines = lines.clone().map(<[u8]>::trim_ascii);
    let mut pieces: Vec<&[u8]> = vec![value, value.trim_ascii()];
    pieces.extend(lines.chain(trimmed_lines));
    pieces.retain(|piece| piece.len() >= MIN_MASKED);
    pieces.sort_unstable();
    pieces.dedup();
    for piece in pieces {
        let mut plain = vec![piece.to_vec()];
        hex(piece, &mut plain);
        percent(piece, &mut plain);
        plain.push(bytes_repr(piece, b""));
        plain.push(bytes_repr(piece, b"'"));
        if let Ok(text) = std::str::from_utf8(piece) {
            json(text, &mut plain);
            xml(text, &mut plain);
            repr(text, &mut plain);
        }
        plain.sort_unstable();
        plain.dedup();
        out.extend(plain.into_iter().map(|bytes| Form {
            bytes,
            ..Form::default()
        }));
        base64(piece, &mut out);
    }
    out
}

fn hex(piece: &[u8], out: &mut Vec<Vec<u8>>) {
    for upper in [false, true] {
        let digits = digits(upper);
        let pairs = piece.iter().flat_map(|byte| {
            [
                digits[usize::from(byte >> 4)],
                digits[usize::from(byte & 15)],
            ]
        });
        out.push(pairs.collect());
    }
}

/// The part of Base64 that does not depend on what surrounds the value, for each of the three
/// ways in which the value can lie on groups of three bytes.
fn base64(piece: &[u8], out: &mut Vec<Form>) {
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(piece);
        // A character holds six bits; the first and the last may share theirs with a neighbour.
        let (first, end) = ((8 * before).div_ceil(6), 8 * bytes.len() / 6);
        for encoded in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            out.push(Form {
                bytes: encoded.as_bytes()[first..end].to_vec(),
                widen_left: before > 0,
                widen_right: !(8 * bytes.len()).is_multiple_of(6),
            });
        }
    }
}

/// What encoders leave as it is besides letters and digits, the common ones first, and whether a
/// space is a plus.
const PERCENT: [(&[u8], bool); 12] = [
    (b"-._~", false),
    (b"*-._", true),
    (b"-._~", true),
    (b"-._~/", false),
    (b"", false),
    (b"", true),
    (b"-._~/", true),
    (b"*-._", false),
    (b"-_.!~*'()", false),
    (b";,/?:@&=+$-_.!~*'()#", false),
    (b"!$%&()*+,-./:;=?@[\\]^_`{|}~", false),
    (b"!$%&'()*+,-./:;=@[\\]_|~", false),
];

fn percent(piece: &[u8], out: &mut Vec<Vec<u8>>) {
    let manners = if piece.len() > LONG {
        &PERCENT[..2]
    } else {
        &PERCENT[..]
    };
    for upper in [false, true] {
        for (keep, plus) in manners {
            let mut encoded = Vec::new();
            percent_keeping(piece, keep, *plus, upper, &mut encoded);
            out.push(encoded);
        }
        let digits = digits(upper);
        let every = piece.iter().flat_map(|byte| {
            [
                b'%',
                digits[usize::from(byte >> 4)],
                digits[usize::from(byte & 15)],
            ]
        });
        out.push(every.collect());
    }
}

/// How a JSON encoder escapes.
#[derive(Clone, Copy)]
struct Json {
    /// Everything outside printable ASCII as `\uXXXX`.
    ascii: bool,
    /// `/` as `\/`.
    slash: bool,
    /// Further characters as `\uXXXX`, so that the text is safe inside HTML.
    html: &'static str,
    /// Hex digits in capitals.
    upper: bool,
}

fn json(text: &str, out: &mut Vec<Vec<u8>>) {
    let html: &[&str] = if text.len() > LONG {
        &[""]
    } else {
        &[
            "",
            "<>&\u{2028}\u{2029}",
            "<>&'\u{2028}\u{2029}",
            "<>&'\"+`",
        ]
    };
    for upper in [false, true] {
        let mut every = String::with_capacity(6 * text.len());
        text.chars().for_each(|char| units(char, upper, &mut every));
        out.push(every.into_bytes());
        for ascii in [false, true] {
            for slash in [false, true] {
                for html in html {
                    let manner = Json {
                        ascii,
                        slash,
                        html,
                        upper,
                    };
                    out.push(json_escape(text, manner));
                }
            }
        }
    }
}

fn json_escape(text: &str, manner: Json) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        let code = char < ' ' || (manner.ascii && !matches!(char, ' '..='~'));
        let short = match char {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            '/' if manner.slash => Some("\\/"),
            _ => None,
        };
        match short {
            _ if manner.html.contains(char) => units(char, manner.upper, &mut out),
            Some(short) => out.push_str(short),
            None if code => units(char, manner.upper, &mut out),
            None => out.push(char),
        }
    }
    out.into_bytes()
}

/// A character as one or two UTF-16 escapes.
fn units(char: char, upper: bool, out: &mut String) {
    let digits = digits(upper);
    for unit in char.encode_utf16(&mut [0; 2]) {
        out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            out.push(char::from(digits[usize::from(*unit >> shift & 15)]));
        }
    }
}

/// What encoders write for `>`, `"`, `'`, and for tab, line feed and carriage return; `&` and `<`
/// are the same everywhere. The common ones first.
const XML: [[&str; 6]; 13] = [
    ["&gt;", "\"", "'", "\t", "\n", "\r"],
    ["&gt;", "&quot;", "&apos;", "&#9;", "&#10;", "&#13;"],
    ["&gt;", "&quot;", "&#39;", "\t", "\n", "\r"],
    ["&gt;", "&quot;", "'", "\t", "\n", "\r"],
    ["&gt;", "&quot;", "&apos;", "\t", "\n", "\r"],
    ["&gt;", "&quot;", "&#x27;", "\t", "\n", "\r"],
    ["&gt;", "&#34;", "&#39;", "\t", "\n", "\r"],
    ["&gt;", "&#34;", "&#39;", "&#x9;", "&#xA;", "&#xD;"],
    ["&gt;", "&quot;", "'", "&#9;", "&#10;", "&#13;"],
    ["&gt;", "&quot;", "'", "&#x9;", "&#xA;", "&#xD;"],
    ["&gt;", "\"", "'", "\t", "\n", "&#13;"],
    [">", "\"", "'", "\t", "\n", "\r"],
    [">", "&quot;", "'", "\t", "\n", "\r"],
];

fn xml(text: &str, out: &mut Vec<Vec<u8>>) {
    let manners = if text.len() > LONG {
        &XML[..3]
    } else {
        &XML[..]
    };
    for [greater, double, single, tab, feed, carriage] in manners {
        let mut escaped = String::with_capacity(text.len());
        for char in text.chars() {
            match char {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str(greater),
                '"' => escaped.push_str(double),
                '\'' => escaped.push_str(single),
                '\t' => escaped.push_str(tab),
                '\n' => escaped.push_str(feed),
                '\r' => escaped.push_str(carriage),
                char => escaped.push(char),
            }
        }
        out.push(escaped.into_bytes());
    }
}

/// The inside of Python's `repr` and `ascii` of text, for each quote that may surround it, and of
/// Rust's `Debug`.
fn repr(text: &str, out: &mut Vec<Vec<u8>>) {
    for quotes in ["", "'", "\""] {
        for ascii in [false, true] {
            let mut escaped = String::with_capacity(text.len());
            for char in text.chars() {
                match (char, u32::from(char)) {
                    ('\\', _) => escaped.push_str("\\\\"),
                    ('\n', _) => escaped.push_str("\\n"),
                    ('\r', _) => escaped.push_str("\\r"),
                    ('\t', _) => escaped.push_str("\\t"),
                    (quote, _) if quotes.contains(quote) => {
                        escaped.push('\\');
                        escaped.push(quote);
                    }
                    (' '..='~', _) => escaped.push(char),
                    (_, _) if !ascii && is_printable(char) => escaped.push(char),
                    (_, code @ ..=0xff) => _ = write!(escaped, "\\x{code:02x}"),
                    (_, code @ ..=0xffff) => _ = write!(escaped, "\\u{code:04x}"),
                    (_, code) => _ = write!(escaped, "\\U{code:08x}"),
                }
            }
            out.push(escaped.into_bytes());
        }
    }
    out.push(text.escape_debug().to_string().into_bytes());
}

/// Python's `str.isprintable`, near enough: separators, controls, formats, surrogates and private
/// use are not.
fn is_printable(char: char) -> bool {
    !(char.is_control()
        || char.is_whitespace()
        || matches!(char,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{10ffff}'))
}

/// The inside of Python's `repr` of bytes, escaping the given quotes.
fn bytes_repr(piece: &[u8], quotes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(piece.len());
    for &byte in piece {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            quote if quotes.contains(&quote) => out.extend_from_slice(&[b'\\', quote]),
            b' '..=b'~' => out.push(byte),
            byte => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out
}
