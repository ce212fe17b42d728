//! Quotes in the words of shells.

use super::Unescaper;
use super::decoding::Escape;

impl Unescaper {
    /// A quote inside a quoted word, and a word that continues after another quote.
    pub(super) fn single_quote(&mut self, at: usize, escape: &mut Escape) {
        for quote in [b"'".as_slice(), b"\\''", b"\"'\"'"] {
            self.literal(at, quote, escape, &mut |_, end, escape| {
                escape.bytes(b"'", end);
            });
        }
        for quotes in [b"'".as_slice(), b"$'"] {
            self.literal(at, quotes, escape, &mut |_, end, escape| {
                escape.bytes(b"", end);
            });
        }
    }

    /// `$'\n'`: an escape in a quoted part of its own.
    pub(super) fn dollar_quote(&mut self, at: usize, escape: &mut Escape) {
        self.literal(at, b"'", escape, &mut |unescaper, at, escape| {
            for inner in unescaper.decodings(at, escape.layers).as_slice() {
                let end = at + usize::from(inner.width);
                if inner.width > 1 {
                    unescaper.literal(end, b"'", escape, &mut |_, end, escape| {
                        escape.bytes(inner.bytes(), end);
                    });
                }
            }
        });
    }
}
