//! CBOR parsed into its heads, including those within byte strings, so that any one of them can be
//! written in another way.

/// A data item.
pub(crate) struct Node {
    major: u8,
    /// Length, number of items, or value.
    argument: u64,
    content: Content,
}

enum Content {
    None,
    Bytes(Vec<u8>),
    /// Items of an array, keys and values of a map, the item of a tag, or a byte string's content.
    Items(Vec<Node>),
}

/// How a head is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Shortest,
    /// With this many bytes of argument.
    Wide(u8),
    /// Without a length, in one chunk.
    Chunked,
}

fn head(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let short = first & 0x1f;
    let more = match short {
        0..=23 => 0,
        24..=27 => 1_usize << (short - 24),
        _ => return None,
    };
    let (argument, rest) = rest.split_at_checked(more)?;
    let value = argument
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let value = if more == 0 { u64::from(short) } else { value };
    Some((first >> 5, value, rest))
}

impl Node {
    /// The first item of `bytes`, and the rest.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (major, argument, mut rest) = head(bytes)?;
        let count = usize::try_from(argument).ok();
        let content = match major {
            2 | 3 => {
                let (content, behind) = rest.split_at_checked(count?)?;
                rest = behind;
                match Self::whole(content).filter(|_| major == 2) {
                    Some(node) => Content::Items(vec![node]),
                    None => Content::Bytes(content.to_vec()),
                }
            }
            4..=6 => {
                let count = match major {
                    4 => count?,
                    5 => count?.checked_mul(2)?,
                    _ => 1,
                };
                let mut items = Vec::new();
                for _ in 0..count {
                    let (item, behind) = Self::read(rest)?;
                    items.push(item);
                    rest = behind;
                }
                Content::Items(items)
            }
            _ => Content::None,
        };
        let node = Self {
            major,
            argument,
            content,
        };
        Some((node, rest))
    }

    /// An item that takes all of `bytes`, and is more than a number by chance.
    fn whole(bytes: &[u8]) -> Option<Self> {
        let (node, rest) = Self::read(bytes)?;
        (rest.is_empty() && matches!(node.content, Content::Items(_))).then_some(node)
    }

    /// Every item of a sequence.
    pub(crate) fn sequence(mut bytes: &[u8]) -> Vec<Self> {
        let mut nodes = Vec::new();
        while !bytes.is_empty() {
            let (node, rest) = Self::read(bytes).expect("CBOR");
            nodes.push(node);
            bytes = rest;
        }
        nodes
    }

    /// How many heads it has, its own included.
    pub(crate) fn heads(&self) -> usize {
        let inside = match &self.content {
            Content::Items(items) => items.iter().map(Self::heads).sum(),
            _ => 0,
        };
        1 + inside
    }

    /// Writes it with the head number `at` in that form and all others in the shortest. Nothing if
    /// it has no such form.
    pub(crate) fn write(&self, at: usize, form: Form) -> Option<Vec<u8>> {
        let mut left = Some(at);
        let mut written = true;
        let bytes = self.write_into(&mut left, form, &mut written);
        written.then_some(bytes)
    }

    fn write_into(&self, left: &mut Option<usize>, form: Form, written: &mut bool) -> Vec<u8> {
        let here = *left == Some(0);
        *left = left.and_then(|left| left.checked_sub(1));
        let content = match &self.content {
            Content::None => Vec::new(),
            Content::Bytes(bytes) => bytes.clone(),
            Content::Items(items) => {
                let items = items
                    .iter()
                    .map(|item| item.write_into(left, form, written));
                items.collect::<Vec<_>>().concat()
            }
        };
        let argument = match self.major {
            2 | 3 => content.len() as u64,
            _ => self.argument,
        };
        let form = if here { form } else { Form::Shortest };
        let Some((before, behind)) = frame(self.major, argument, form) else {
            *written = false;
            return Vec::new();
        };
        [before, content, behind].concat()
    }
}

/// The bytes before and after the content.
fn frame(major: u8, argument: u64, form: Form) -> Option<(Vec<u8>, Vec<u8>)> {
    let kind = major << 5;
    let least = match argument {
        0..24 => 0,
        24..0x100 => 1,
        0x100..0x1_0000 => 2,
        0x1_0000..0x1_0000_0000 => 4,
        _ => 8,
    };
    let wide = |width: u8| {
        let all = argument.to_be_bytes();
        let short = match width {
            0 => u8::try_from(argument).expect("small"),
            1 => 24,
            2 => 25,
            4 => 26,
            _ => 27,
        };
        [&[kind | short], &all[8 - usize::from(width)..]].concat()
    };
    match form {
        Form::Shortest => Some((wide(least), Vec::new())),
        Form::Wide(width) if width > least => Some((wide(width), Vec::new())),
        Form::Chunked if matches!(major, 2 | 3) => {
            let before = [vec![kind | 31], wide(least)].concat();
            Some((before, vec![0xff]))
        }
        Form::Chunked if matches!(major, 4 | 5) => Some((vec![kind | 31], vec![0xff])),
        Form::Wide(_) | Form::Chunked => None,
    }
}
