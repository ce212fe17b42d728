//! Decoding from a slice. It takes the subset of CBOR that keyroll's forms and rows use, and `null`
//! for absent fields of a row. Only [`super::check`] checks that bytes are canonical.

use std::fmt::{self, Display};

use serde::de::{self, DeserializeSeed, Visitor};
use serde::forward_to_deserialize_any;

use crate::limits;

/// Deepest nesting of arrays and maps: rows nest somewhat deeper than signed forms.
const DEPTH: usize = limits::CBOR_DEPTH * 4;

/// The error for bytes that do not decode.
#[derive(Debug)]
pub(super) struct Error(pub(super) String);

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn wrong<T>(why: &str) -> Result<T, Error> {
    Err(Error(why.to_owned()))
}

/// The bytes that remain to be read.
pub(super) struct Reader<'de> {
    rest: &'de [u8],
    depth: usize,
}

const TEXT: u8 = 3;
const MAP: u8 = 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

impl<'de> Reader<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self {
            rest: bytes,
            depth: 0,
        }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn peek(&self) -> Result<u8, Error> {
        self.rest
            .first()
            .copied()
            .map_or_else(|| wrong("cut short"), Ok)
    }

    fn take(&mut self, count: usize) -> Result<&'de [u8], Error> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return wrong("cut short");
        };
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a major type and its argument.
    fn head(&mut self) -> Result<(u8, u64), Error> {
        let first = self.take(1)?[0];
        let value = match first & 0x1f {
            short @ 0..=23 => u64::from(short),
            long @ 24..=27 => {
                let bytes = self.take(1 << (long - 24))?;
                bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            }
            _ => return wrong("an indefinite or reserved length"),
        };
        Ok((first >> 5, value))
    }

    fn count(&mut self, major: u8, what: &str) -> Result<usize, Error> {
        let (found, value) = self.head()?;
        if found != major {
            return Err(Error(format!("expected {what}")));
        }
        usize::try_from(value).map_or_else(|_| wrong("cut short"), Ok)
    }

    fn bytes(&mut self) -> Result<&'de [u8], Error> {
        let count = self.count(2, "bytes")?;
        self.take(count)
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let count = self.count(TEXT, "text")?;
        std::str::from_utf8(self.take(count)?).map_or_else(|_| wrong("text that is not UTF-8"), Ok)
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= DEPTH {
            return wrong("nested too deeply");
        }
        self.depth += 1;
        let done = read(self);
        self.depth -= 1;
        done
    }

    fn seq<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let left = self.count(4, "an array")?;
        self.nested(|reader| {
            let mut items = Items { reader, left };
            let value = visitor.visit_seq(&mut items)?;
            items.end().map(|()| value)
        })
    }

    fn map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let left = self.count(MAP, "a map")?;
        self.nested(|reader| {
            let mut items = Items { reader, left };
            let value = visitor.visit_map(&mut items)?;
            items.end().map(|()| value)
        })
    }
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek()? {
            0x00..=0x1f => visitor.visit_u64(self.head()?.1),
            0x20..=0x3f => match i64::try_from(self.head()?.1) {
                Ok(value) => visitor.visit_i64(-1 - value),
                Err(_) => wrong("a number that is too small"),
            },
            0x40..=0x5f => visitor.visit_borrowed_bytes(self.bytes()?),
            0x60..=0x7f => visitor.visit_borrowed_str(self.text()?),
            0x80..=0x9f => self.seq(visitor),
            0xa0..=0xbf => self.map(visitor),
            flag @ (FALSE | TRUE) => {
                self.take(1)?;
                visitor.visit_bool(flag == TRUE)
            }
            NULL => {
                self.take(1)?;
                visitor.visit_unit()
            }
            _ => wrong("a tag, float or simple value"),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek()? == NULL {
            self.take(1)?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.map(visitor)
    }

    /// `{"type": …}`, or the name alone for a variant without content.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.peek()? >> 5 == TEXT {
            let name = self.text()?;
            return visitor.visit_enum(de::value::BorrowedStrDeserializer::new(name));
        }
        if self.count(MAP, "a name, or a map of one")? != 1 {
            return wrong("expected a map of one");
        }
        self.nested(|reader| visitor.visit_enum(Variant(reader)))
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char unit unit_struct seq tuple
        tuple_struct map ignored_any
    }
}

/// The remaining items of an array or a map.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl Items<'_, '_> {
    fn end(&self) -> Result<(), Error> {
        if self.left == 0 {
            return Ok(());
        }
        wrong("more items than expected")
    }

    fn next(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more
    }

    /// Bounded by the remaining bytes, whatever the head says: each item takes at least one.
    fn hint(&self) -> usize {
        self.left.min(self.reader.rest.len())
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.next() {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> de::MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.next() {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

/// A variant with its content.
struct Variant<'a, 'de>(&'a mut Reader<'de>);

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name = self.0.text()?;
        let name = de::value::BorrowedStrDeserializer::<Error>::new(name);
        seed.deserialize(name).map(|name| (name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        wrong("nothing belongs to this name")
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.map(visitor)
    }
}
