//! Character references of HTML and XML.

use super::Unescaper;
use super::decoding::Escape;
use super::html_entities::named;

impl Unescaper {
    /// `#39;`, `#x27;` or `apos;` after `&`.
    pub(super) fn html_reference(&mut self, at: usize, escape: &mut Escape) {
        let end_of = |unescaper: &mut Self, code: u32, at: usize, escape: &mut Escape| {
            unescaper.literal(at, b";", escape, &mut |_, end, escape| {
                escape.character(code, end);
                escape.byte(code, end);
            });
        };
        for second in self.decodings(at, escape.layers).as_slice() {
            let next = at + usize::from(second.width);
            match second.byte() {
                Some(b'#') => {
                    self.number(
                        next,
                        (10, 1, 10),
                        escape,
                        &mut |unescaper, code, at, escape| {
                            end_of(unescaper, code, at, escape);
                        },
                    );
                    for x in [b"x", b"X"] {
                        self.literal(next, x, escape, &mut |unescaper, at, escape| {
                            unescaper.number(
                                at,
                                (16, 1, 8),
                                escape,
                                &mut |unescaper, code, at, escape| {
                                    end_of(unescaper, code, at, escape);
                                },
                            );
                        });
                    }
                }
                Some(letter) if letter.is_ascii_alphabetic() => {
                    let mut name = [0; 20];
                    self.html_name(at, &mut name, 0, escape);
                }
                _ => {}
            }
        }
    }

    /// A named reference. Its first `len` letters have been decoded.
    fn html_name(&mut self, at: usize, name: &mut [u8; 20], len: usize, escape: &mut Escape) {
        for next in self.decodings(at, escape.layers).as_slice() {
            let end = at + usize::from(next.width);
            match next.byte() {
                Some(b';') => {
                    if let Some(char) = named(&name[..len]) {
                        escape.character(u32::from(char), end);
                        escape.byte(u32::from(char), end);
                    }
                }
                Some(byte) if byte.is_ascii_alphanumeric() && len < name.len() => {
                    name[len] = byte;
                    self.html_name(end, name, len + 1, escape);
                }
                _ => {}
            }
        }
    }
}
