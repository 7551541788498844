//! AMF0, with the switch to AMF3 that Flash uses inside it.

use super::{Value, amf3};
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

/// Values nested deeper are malformed.
pub(super) const MAX_DEPTH: usize = 32;
/// Strings of up to this size have the short form.
const SHORT: usize = u16::MAX as usize;

/// Reads values until the bytes end; what follows a malformed one is lost.
pub fn decode_all(bytes: &[u8]) -> Vec<Value> {
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    while !reader.is_empty() {
        match decode(&mut reader) {
            Ok(value) => values.push(value),
            Err(Malformed) => break,
        }
    }
    values
}

/// Reads one value. Memory is bounded by the bytes that are there.
pub fn decode(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    decode_nested(reader, 0)
}

fn decode_nested(reader: &mut Reader<'_>, depth: usize) -> Result<Value, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed);
    }
    Ok(match reader.u8()? {
        marker::NUMBER => Value::Number(reader.f64()?),
        marker::BOOLEAN => Value::Boolean(reader.u8()? != 0),
        marker::STRING => Value::String(short_text(reader)?),
        marker::OBJECT => Value::Object(members(reader, depth)?),
        marker::NULL => Value::Null,
        marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
        marker::REFERENCE => {
            reader.u16()?;
            Value::Undefined
        }
        marker::ECMA_ARRAY => {
            reader.u32()?;
            Value::EcmaArray(members(reader, depth)?)
        }
        marker::STRICT_ARRAY => {
            let count = reader.u32()?;
            let values =
                (0..count).map(|_| decode_nested(reader, depth + 1)).collect::<Result<_, _>>()?;
            Value::StrictArray(values)
        }
        marker::DATE => {
            let milliseconds = reader.f64()?;
            reader.u16()?;
            Value::Date(milliseconds)
        }
        marker::LONG_STRING => Value::String(long_text(reader)?),
        marker::XML => Value::Xml(long_text(reader)?),
        marker::TYPED_OBJECT => {
            short_text(reader)?;
            Value::Object(members(reader, depth)?)
        }
        marker::AMF3 => amf3::decode(reader)?,
        _ => return Err(Malformed),
    })
}

fn short_text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let length = reader.u16()?;
    Ok(String::from_utf8_lossy(reader.bytes(length.into())?).into_owned())
}

fn long_text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let length = usize::try_from(reader.u32()?).map_err(|_| Malformed)?;
    Ok(String::from_utf8_lossy(reader.bytes(length)?).into_owned())
}

/// Members up to the end mark; some encoders end a message without it.
fn members(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<(String, Value)>, Malformed> {
    let mut members = Vec::new();
    while !reader.is_empty() {
        let name = short_text(reader)?;
        let mut ahead = *reader;
        if name.is_empty() && ahead.u8() == Ok(marker::OBJECT_END) {
            *reader = ahead;
            break;
        }
        members.push((name, decode_nested(reader, depth + 1)?));
    }
    Ok(members)
}

/// Appends a value. Byte arrays have no AMF0 form and become undefined.
pub fn encode(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Undefined | Value::ByteArray(_) => out.push(marker::UNDEFINED),
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
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..length.into()]);
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
