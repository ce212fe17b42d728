//! The possible decodings of one position of a text.

/// The most decodings of one position. Texts that encoders write have a dozen at most.
const MAX_DECODINGS: usize = 24;

/// A character or byte that the text at a position may stand for.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::redact) struct Decoding {
    bytes: [u8; 4],
    /// How many bytes of a value it stands for. None for quotes between two parts of a shell word.
    len: u8,
    /// How many bytes of the text it takes.
    pub(in crate::redact) width: u16,
}

impl Decoding {
    pub(in crate::redact) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The byte, where it stands for exactly one.
    pub(super) fn byte(self) -> Option<u8> {
        (self.len == 1).then_some(self.bytes[0])
    }
}

/// The decodings of one position, each once.
#[derive(Clone, Copy)]
pub(in crate::redact) struct Decodings {
    list: [Decoding; MAX_DECODINGS],
    len: usize,
}

impl Decodings {
    pub(super) fn new() -> Self {
        Self {
            list: [Decoding::default(); MAX_DECODINGS],
            len: 0,
        }
    }

    pub(super) fn add(&mut self, value: &[u8], width: usize) {
        let mut decoding = Decoding::default();
        let (Some(bytes), Ok(width)) =
            (decoding.bytes.get_mut(..value.len()), u16::try_from(width))
        else {
            return;
        };
        bytes.copy_from_slice(value);
        decoding.len = u8::try_from(value.len()).unwrap_or_default();
        decoding.width = width;
        if self.len < MAX_DECODINGS && !self.as_slice().contains(&decoding) {
            self.list[self.len] = decoding;
            self.len += 1;
        }
    }

    pub(super) fn add_char(&mut self, char: char, width: usize) {
        self.add(char.encode_utf8(&mut [0; 4]).as_bytes(), width);
    }

    /// Adds a number that is a byte to some encoders and a character to others.
    pub(super) fn add_number(&mut self, number: u32, width: usize) {
        if let Ok(byte) = u8::try_from(number) {
            self.add(&[byte], width);
        }
        if let Some(char) = char::from_u32(number) {
            self.add_char(char, width);
        }
    }

    pub(in crate::redact) fn as_slice(&self) -> &[Decoding] {
        &self.list[..self.len]
    }
}

/// An escape that is being decoded, and where its decodings are collected.
pub(super) struct Escape<'o> {
    pub(super) start: usize,
    /// The layers below its own.
    pub(super) layers: u8,
    pub(super) out: &'o mut Decodings,
}

impl Escape<'_> {
    pub(super) fn bytes(&mut self, value: &[u8], end: usize) {
        self.out.add(value, end - self.start);
    }

    /// A number that is a byte to some encoders and a character to others.
    pub(super) fn number(&mut self, number: u32, end: usize) {
        self.out.add_number(number, end - self.start);
    }

    pub(super) fn character(&mut self, code: u32, end: usize) {
        if let Some(char) = char::from_u32(code) {
            self.out.add_char(char, end - self.start);
        }
    }

    pub(super) fn byte(&mut self, code: u32, end: usize) {
        if let Ok(byte) = u8::try_from(code) {
            self.out.add(&[byte], end - self.start);
        }
    }
}
