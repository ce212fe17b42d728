//! Escapes with a backslash: JSON, C, JavaScript, Python, Rust and shells.

use super::Unescaper;
use super::decoding::Escape;

impl Unescaper {
    pub(super) fn backslash(&mut self, at: usize, escape: &mut Escape) {
        for second in self.decodings(at, escape.layers).as_slice() {
            let end = at + usize::from(second.width);
            let Some(byte) = second.byte() else { continue };
            let control = match byte {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 0x08,
                b'f' => 0x0c,
                b'v' => 0x0b,
                b'a' => 0x07,
                b'e' | b'E' => 0x1b,
                b'u' => {
                    self.utf16(end, b"\\u", escape);
                    self.braces(end, escape);
                    continue;
                }
                b'U' => {
                    self.number(end, (16, 8, 8), escape, &mut |_, code, end, escape| {
                        escape.character(code, end);
                    });
                    continue;
                }
                b'x' => {
                    self.number(end, (16, 1, 2), escape, &mut |_, byte, end, escape| {
                        escape.number(byte, end);
                    });
                    continue;
                }
                b'0'..=b'7' => {
                    // `\0101` of `echo -e` has one more digit.
                    let most = if byte == b'0' { 4 } else { 3 };
                    self.number(at, (8, 1, most), escape, &mut |_, byte, end, escape| {
                        if byte < 256 {
                            escape.number(byte, end);
                        }
                    });
                    continue;
                }
                byte if byte.is_ascii_punctuation() || byte == b' ' => byte,
                _ => continue,
            };
            escape.bytes(&[control], end);
        }
    }

    /// Four hex digits after `\u` or `%u`, and a low surrogate after a high one.
    pub(super) fn utf16(&mut self, at: usize, again: &[u8], escape: &mut Escape) {
        self.number(
            at,
            (16, 4, 4),
            escape,
            &mut |unescaper, unit, end, escape| {
                if !(0xD800..0xDC00).contains(&unit) {
                    escape.character(unit, end);
                    // Latin-1 writes a byte this way.
                    escape.byte(unit, end);
                    return;
                }
                unescaper.literal(end, again, escape, &mut |unescaper, at, escape| {
                    unescaper.number(at, (16, 4, 4), escape, &mut |_, low, end, escape| {
                        if (0xDC00..0xE000).contains(&low) {
                            escape.character(
                                0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00),
                                end,
                            );
                        }
                    });
                });
            },
        );
    }

    /// Hex digits in braces after `\u`.
    fn braces(&mut self, at: usize, escape: &mut Escape) {
        self.literal(at, b"{", escape, &mut |unescaper, at, escape| {
            unescaper.number(
                at,
                (16, 1, 6),
                escape,
                &mut |unescaper, code, end, escape| {
                    unescaper.literal(end, b"}", escape, &mut |_, end, escape| {
                        escape.character(code, end);
                    });
                },
            );
        });
    }
}
