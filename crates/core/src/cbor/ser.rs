//! Encoding into memory: every length definite, every number in its shortest form, fields and keys
//! in the order in which the value gives them.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize};

/// The error for a value without an encoding here.
#[derive(Debug)]
pub(super) struct Error;

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a float, or a length that is not known beforehand")
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// The bytes written so far.
pub(super) struct Writer(pub(super) Vec<u8>);

const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// Appends a major type with its argument.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each arm's range fits its width"
)]
pub(crate) fn push_head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend_from_slice(&[major | 0x18, value as u8]),
        0x100..=0xffff => {
            out.push(major | 0x19);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 0x1a);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 0x1b);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

impl Writer {
    fn counted(&mut self, major: u8, count: Option<usize>) -> Result<&mut Self, Error> {
        push_head(&mut self.0, major, count.ok_or(Error)? as u64);
        Ok(self)
    }

    fn text(&mut self, text: &str) {
        push_head(&mut self.0, TEXT, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Begins `{name: …}`; the caller appends the value.
    fn variant(&mut self, name: &str) {
        push_head(&mut self.0, MAP, 1);
        self.text(name);
    }
}

macro_rules! numbers {
    ($($signed:ident $from_signed:ty, $unsigned:ident $from_unsigned:ty;)*) => {$(
        fn $signed(self, value: $from_signed) -> Result<(), Error> {
            let value = i64::from(value);
            match u64::try_from(value) {
                Ok(value) => push_head(&mut self.0, 0, value),
                // -1 - value, without a way to overflow.
                Err(_) => push_head(&mut self.0, 1, !value.cast_unsigned()),
            }
            Ok(())
        }

        fn $unsigned(self, value: $from_unsigned) -> Result<(), Error> {
            push_head(&mut self.0, 0, u64::from(value));
            Ok(())
        }
    )*};
}

impl<'a> ser::Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = &'a mut Writer;
    type SerializeTuple = &'a mut Writer;
    type SerializeTupleStruct = &'a mut Writer;
    type SerializeTupleVariant = &'a mut Writer;
    type SerializeMap = &'a mut Writer;
    type SerializeStruct = &'a mut Writer;
    type SerializeStructVariant = &'a mut Writer;

    numbers! {
        serialize_i8 i8, serialize_u8 u8;
        serialize_i16 i16, serialize_u16 u16;
        serialize_i32 i32, serialize_u32 u32;
        serialize_i64 i64, serialize_u64 u64;
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.push(0xf4 | u8::from(value));
        Ok(())
    }

    fn serialize_f32(self, _: f32) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_f64(self, _: f64) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.text(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        push_head(&mut self.0, BYTES, value.len() as u64);
        self.0.extend_from_slice(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.0.push(0xf6);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_none()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), Error> {
        self.text(name);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(name);
        value.serialize(self)
    }

    fn serialize_seq(self, count: Option<usize>) -> Result<&'a mut Writer, Error> {
        self.counted(ARRAY, count)
    }

    fn serialize_tuple(self, count: usize) -> Result<&'a mut Writer, Error> {
        self.counted(ARRAY, Some(count))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        count: usize,
    ) -> Result<&'a mut Writer, Error> {
        self.counted(ARRAY, Some(count))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        count: usize,
    ) -> Result<&'a mut Writer, Error> {
        self.variant(name);
        self.counted(ARRAY, Some(count))
    }

    fn serialize_map(self, count: Option<usize>) -> Result<&'a mut Writer, Error> {
        self.counted(MAP, count)
    }

    fn serialize_struct(self, _: &'static str, count: usize) -> Result<&'a mut Writer, Error> {
        self.counted(MAP, Some(count))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        count: usize,
    ) -> Result<&'a mut Writer, Error> {
        self.variant(name);
        self.counted(MAP, Some(count))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! items {
    ($($trait:ident $item:ident),*) => {$(
        impl ser::$trait for &mut Writer {
            type Ok = ();
            type Error = Error;

            fn $item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

items!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for &mut Writer {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.text(name);
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for &mut Writer {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}
