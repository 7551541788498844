//! AMF0, with the switch to AMF3 that Flash uses inside it.

use super::{
    Value, amf3,
    budget::{Budget, Place},
};
use crate::wire::{Malformed, Reader};

mod marker {
    pub const NUMBER: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const OBJECT: u8 = 0x03;
    pub const NULL: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const REFERENCE: u8 = 0x07;
    pub const ECMA_ARRAY: u8 = 0x08;
    pub const OBJECT_END: u8 = 0x09;
    pub const STRICT_ARRAY: u8 = 0x0a;
    pub const DATE: u8 = 0x0b;
    pub const LONG_STRING: u8 = 0x0c;
    pub const UNSUPPORTED: u8 = 0x0d;
    pub const XML: u8 = 0x0f;
    pub const TYPED_OBJECT: u8 = 0x10;
    pub const AMF3: u8 = 0x11;
}

/// Strings of up to this size have the short form.
const SHORT: usize = u16::MAX as usize;

/// Reads values until the bytes end; what follows a malformed one is lost.
pub fn decode_all(bytes: &[u8]) -> Vec<Value> {
    let mut reader = Reader::new(bytes);
    let mut decoder = Decoder::new(&mut reader);
    let mut values = Vec::new();
    while !decoder.reader.is_empty() {
        match decoder.value() {
            Ok(value) => values.push(value),
            Err(Malformed) => break,
        }
    }
    values
}

/// Reads one value with a reference table of its own. Its depth (32), its number of values (100,000)
/// and its text (4 MB) are bounded.
pub fn decode(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    Decoder::new(reader).value()
}

struct Decoder<'r, 'a> {
    reader: &'r mut Reader<'a>,
    /// What references point to.
    places: Vec<Place<Reader<'a>>>,
    /// What is read again must not be numbered again.
    is_repeating: bool,
    budget: Budget,
}

impl<'r, 'a> Decoder<'r, 'a> {
    fn new(reader: &'r mut Reader<'a>) -> Self {
        Self { reader, places: Vec::new(), is_repeating: false, budget: Budget::default() }
    }

    fn value(&mut self) -> Result<Value, Malformed> {
        self.budget.values(1)?;
        self.budget.enter()?;
        let start = *self.reader;
        let value = match self.reader.u8()? {
            marker::NUMBER => Value::Number(self.reader.f64()?),
            marker::BOOLEAN => Value::Boolean(self.reader.u8()? != 0),
            marker::STRING => Value::String(self.short_text()?),
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::REFERENCE => self.reference()?,
            kind @ (marker::OBJECT
            | marker::ECMA_ARRAY
            | marker::STRICT_ARRAY
            | marker::TYPED_OBJECT) => self.remembered(start, kind)?,
            marker::DATE => {
                let milliseconds = self.reader.f64()?;
                self.reader.u16()?;
                Value::Date(milliseconds)
            }
            marker::LONG_STRING => Value::String(self.long_text()?),
            marker::XML => Value::Xml(self.long_text()?),
            marker::AMF3 => amf3::decode_within(self.reader, &mut self.budget)?,
            _ => return Err(Malformed),
        };
        self.budget.leave();
        Ok(value)
    }

    /// A value that later ones may refer to.
    fn remembered(&mut self, start: Reader<'a>, kind: u8) -> Result<Value, Malformed> {
        let number = self.places.len();
        if self.is_repeating {
            return self.composite(kind);
        }
        self.places.push(Place { reader: start, is_open: true });
        let value = self.composite(kind)?;
        self.places[number].is_open = false;
        Ok(value)
    }

    fn composite(&mut self, kind: u8) -> Result<Value, Malformed> {
        Ok(match kind {
            marker::OBJECT => Value::Object(self.members()?),
            marker::ECMA_ARRAY => {
                // How many there are is known at the end mark only.
                self.reader.u32()?;
                Value::EcmaArray(self.members()?)
            }
            marker::STRICT_ARRAY => {
                let count = self.reader.u32()?;
                Value::StrictArray((0..count).map(|_| self.value()).collect::<Result<_, _>>()?)
            }
            _ => Value::TypedObject(self.short_text()?, self.members()?),
        })
    }

    /// Reads again what the reference points to; inside of that very value it is undefined.
    fn reference(&mut self) -> Result<Value, Malformed> {
        let number = usize::from(self.reader.u16()?);
        let place = self.places.get_mut(number).ok_or(Malformed)?;
        if std::mem::replace(&mut place.is_open, true) {
            return Ok(Value::Undefined);
        }
        let after = std::mem::replace(self.reader, place.reader);
        let was_repeating = std::mem::replace(&mut self.is_repeating, true);
        let value = self.value();
        *self.reader = after;
        self.is_repeating = was_repeating;
        self.places[number].is_open = false;
        value
    }

    fn short_text(&mut self) -> Result<String, Malformed> {
        let length = self.reader.u16()?;
        self.text(length.into())
    }

    fn long_text(&mut self) -> Result<String, Malformed> {
        let length = usize::try_from(self.reader.u32()?).map_err(|_| Malformed)?;
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<String, Malformed> {
        self.budget.text(length)?;
        Ok(String::from_utf8_lossy(self.reader.bytes(length)?).into_owned())
    }

    /// Members up to the end mark; some encoders end a message without it.
    fn members(&mut self) -> Result<Vec<(String, Value)>, Malformed> {
        let mut members = Vec::new();
        while !self.reader.is_empty() {
            let name = self.short_text()?;
            let mut ahead = *self.reader;
            if name.is_empty() && ahead.u8() == Ok(marker::OBJECT_END) {
                *self.reader = ahead;
                break;
            }
            members.push((name, self.value()?));
        }
        Ok(members)
    }
}

/// Appends a value. What AMF0 has no form for is written in AMF3, behind the switch to it.
pub fn encode(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::ByteArray(_) | Value::Vector(_) | Value::Dictionary(_) => {
            out.push(marker::AMF3);
            amf3::encode(out, value);
        }
        Value::TypedObject(class, members) => {
            out.push(marker::TYPED_OBJECT);
            put_short_text(out, class);
            put_members(out, members);
        }
        Value::Null => out.push(marker::NULL),
        Value::Boolean(on) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*on)]),
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::String(text) if text.len() <= SHORT => {
            out.push(marker::STRING);
            put_short_text(out, text);
        }
        Value::String(text) => put_long_text(out, marker::LONG_STRING, text),
        Value::Xml(text) => put_long_text(out, marker::XML, text),
        Value::Object(members) => {
            out.push(marker::OBJECT);
            put_members(out, members);
        }
        Value::EcmaArray(members) => {
            out.push(marker::ECMA_ARRAY);
            out.extend_from_slice(&(members.len() as u32).to_be_bytes());
            put_members(out, members);
        }
        Value::StrictArray(values) => {
            out.push(marker::STRICT_ARRAY);
            out.extend_from_slice(&(values.len() as u32).to_be_bytes());
            values.iter().for_each(|value| encode(out, value));
        }
        Value::Date(milliseconds) => {
            out.push(marker::DATE);
            out.extend_from_slice(&milliseconds.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
    }
}

fn put_short_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(SHORT)];
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_long_text(out: &mut Vec<u8>, marker: u8, text: &str) {
    out.push(marker);
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_members(out: &mut Vec<u8>, members: &[(String, Value)]) {
    for (name, value) in members {
        put_short_text(out, name);
        encode(out, value);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_round_trips() {
        let value = Value::object([
            ("number", Value::Number(1.5)),
            ("text", Value::string("grüezi")),
            ("long", Value::string("x".repeat(70_000))),
            ("list", Value::StrictArray(vec![Value::Null, Value::Boolean(true), Value::Undefined])),
            ("meta", Value::EcmaArray(vec![("width".into(), Value::Number(640.0))])),
            ("date", Value::Date(1e12)),
            ("xml", Value::Xml("<a/>".into())),
            ("typed", Value::TypedObject("a.B".into(), vec![("x".into(), Value::Null)])),
            ("bytes", Value::ByteArray(vec![1, 2])),
            ("after", Value::Boolean(false)),
        ]);
        let mut out = Vec::new();
        encode(&mut out, &value);
        assert_eq!(decode_all(&out), [value]);
    }

    #[test]
    fn nesting_is_bounded() {
        let bomb = [[marker::STRICT_ARRAY, 0, 0, 0, 1]; 10_000].concat();
        assert_eq!(decode(&mut Reader::new(&bomb)), Err(Malformed));
    }

    #[test]
    fn references_point_to_what_came_before_and_cannot_blow_up() {
        let inner = Value::StrictArray(vec![Value::Null]);
        let bytes = [10, 0, 0, 0, 2, 10, 0, 0, 0, 1, 5, 7, 0, 1];
        assert_eq!(decode_all(&bytes), [Value::StrictArray(vec![inner.clone(), inner])]);
        assert_eq!(decode_all(&[7, 0, 0]), [], "nothing came before");
        // Each array holds the one before it eight times.
        let mut bomb = vec![10, 0, 0, 0, 0];
        for level in 0..30u16 {
            bomb.extend([10, 0, 0, 0, 8]);
            bomb.extend([7, (level >> 8) as u8, level as u8].repeat(8));
        }
        assert!(decode_all(&bomb).len() < 10);
    }

    #[test]
    fn counts_from_the_wire_allocate_nothing() {
        let lie = [marker::STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff, marker::NULL];
        assert_eq!(decode(&mut Reader::new(&lie)), Err(Malformed));
    }

    #[test]
    fn librtmfp_switches_to_amf3_for_arguments() {
        // From `protocol/rtmfp.md` §11: null, then AMF3 string "s1".
        let values = decode_all(&[0x05, 0x11, 0x06, 0x05, 0x73, 0x31]);
        assert_eq!(values, [Value::Null, Value::string("s1")]);
    }
}
