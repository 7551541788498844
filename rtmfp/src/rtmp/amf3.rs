//! AMF3, for reading: Flash and librtmfp use it inside AMF0.

use super::{Value, amf0::MAX_DEPTH};
use crate::wire::{Malformed, Reader};

mod marker {
    pub const UNDEFINED: u8 = 0x00;
    pub const NULL: u8 = 0x01;
    pub const FALSE: u8 = 0x02;
    pub const TRUE: u8 = 0x03;
    pub const INTEGER: u8 = 0x04;
    pub const DOUBLE: u8 = 0x05;
    pub const STRING: u8 = 0x06;
    pub const XML_DOCUMENT: u8 = 0x07;
    pub const DATE: u8 = 0x08;
    pub const ARRAY: u8 = 0x09;
    pub const OBJECT: u8 = 0x0a;
    pub const XML: u8 = 0x0b;
    pub const BYTE_ARRAY: u8 = 0x0c;
}

/// References can make a small message large; no value is made of more values than this.
const MAX_VALUES: usize = 100_000;
/// Nor of more text than this.
const MAX_TEXT: usize = 4 << 20;

/// Reads one value with reference tables of its own, as AMF0 embeds it.
pub fn decode(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    Decoder {
        reader,
        strings: Vec::new(),
        objects: Vec::new(),
        traits: Vec::new(),
        values: MAX_VALUES,
        text: MAX_TEXT,
    }
    .value(0)
}

#[derive(Debug, Clone)]
struct Traits {
    is_dynamic: bool,
    names: Vec<String>,
}

struct Decoder<'r, 'a> {
    reader: &'r mut Reader<'a>,
    strings: Vec<String>,
    objects: Vec<Value>,
    traits: Vec<Traits>,
    values: usize,
    text: usize,
}

/// A reference to something seen before, or the header of something new.
enum Header {
    Reference(usize),
    Inline(usize),
}

impl Decoder<'_, '_> {
    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        self.spend(1)?;
        Ok(match self.reader.u8()? {
            marker::UNDEFINED => Value::Undefined,
            marker::NULL => Value::Null,
            marker::FALSE => Value::Boolean(false),
            marker::TRUE => Value::Boolean(true),
            marker::INTEGER => Value::Number(f64::from(sign_extend(self.u29()?))),
            marker::DOUBLE => Value::Number(self.reader.f64()?),
            marker::STRING => Value::String(self.string()?),
            marker::XML_DOCUMENT | marker::XML => self.remembered(|decoder, length| {
                let text = decoder.text(length)?;
                Ok(Value::Xml(text))
            })?,
            marker::DATE => self.remembered(|decoder, _| Ok(Value::Date(decoder.reader.f64()?)))?,
            marker::BYTE_ARRAY => self.remembered(|decoder, length| {
                Ok(Value::ByteArray(decoder.reader.bytes(length)?.to_vec()))
            })?,
            marker::ARRAY => self.remembered(|decoder, count| decoder.array(count, depth))?,
            marker::OBJECT => self.remembered(|decoder, header| decoder.object(header, depth))?,
            _ => return Err(Malformed),
        })
    }

    fn spend(&mut self, values: usize) -> Result<(), Malformed> {
        self.values = self.values.checked_sub(values).ok_or(Malformed)?;
        Ok(())
    }

    /// 29-bit variable length integer.
    fn u29(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for _ in 0..3 {
            let byte = self.reader.u8()?;
            value = value << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Ok(value << 8 | u32::from(self.reader.u8()?))
    }

    fn header(&mut self) -> Result<Header, Malformed> {
        let word = self.u29()? as usize;
        Ok(if word & 1 == 0 { Header::Reference(word >> 1) } else { Header::Inline(word >> 1) })
    }

    fn text(&mut self, length: usize) -> Result<String, Malformed> {
        self.text = self.text.checked_sub(length).ok_or(Malformed)?;
        Ok(String::from_utf8_lossy(self.reader.bytes(length)?).into_owned())
    }

    fn string(&mut self) -> Result<String, Malformed> {
        match self.header()? {
            Header::Reference(index) => {
                let text = self.strings.get(index).cloned().ok_or(Malformed)?;
                self.text = self.text.checked_sub(text.len()).ok_or(Malformed)?;
                Ok(text)
            }
            Header::Inline(length) => {
                let text = self.text(length)?;
                if !text.is_empty() {
                    self.strings.push(text.clone());
                }
                Ok(text)
            }
        }
    }

    /// A value that later ones may refer to. One that contains itself reads as undefined there.
    fn remembered(
        &mut self,
        read: impl FnOnce(&mut Self, usize) -> Result<Value, Malformed>,
    ) -> Result<Value, Malformed> {
        match self.header()? {
            Header::Reference(index) => {
                let weight = self.objects.get(index).ok_or(Malformed)?.weight();
                self.spend(weight)?;
                Ok(self.objects[index].clone())
            }
            Header::Inline(rest) => {
                let place = self.objects.len();
                self.objects.push(Value::Undefined);
                let value = read(self, rest)?;
                self.spend(value.weight())?;
                self.objects[place] = value.clone();
                Ok(value)
            }
        }
    }

    /// Names and values up to an empty name.
    fn named_values(
        &mut self,
        members: &mut Vec<(String, Value)>,
        depth: usize,
    ) -> Result<(), Malformed> {
        loop {
            let name = self.string()?;
            if name.is_empty() {
                return Ok(());
            }
            members.push((name, self.value(depth + 1)?));
        }
    }

    fn array(&mut self, count: usize, depth: usize) -> Result<Value, Malformed> {
        let mut named = Vec::new();
        self.named_values(&mut named, depth)?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        if named.is_empty() {
            return Ok(Value::StrictArray(values));
        }
        named.extend(
            values.into_iter().enumerate().map(|(index, value)| (index.to_string(), value)),
        );
        Ok(Value::EcmaArray(named))
    }

    /// `header`: 1 bit new traits, 1 bit externalizable, 1 bit dynamic, then a count.
    fn object(&mut self, header: usize, depth: usize) -> Result<Value, Malformed> {
        let traits = if header & 1 == 0 {
            self.traits.get(header >> 1).cloned().ok_or(Malformed)?
        } else if header & 2 != 0 {
            // Externalizable: only its class knows the format.
            return Err(Malformed);
        } else {
            self.string()?;
            let names = (0..header >> 3).map(|_| self.string()).collect::<Result<_, _>>()?;
            let traits = Traits { is_dynamic: header & 4 != 0, names };
            self.traits.push(traits.clone());
            traits
        };
        self.spend(traits.names.len())?;
        let mut members = Vec::new();
        for name in traits.names {
            members.push((name, self.value(depth + 1)?));
        }
        if traits.is_dynamic {
            self.named_values(&mut members, depth)?;
        }
        Ok(Value::Object(members))
    }
}

fn sign_extend(value: u32) -> i32 {
    (value << 3) as i32 >> 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Value, Malformed> {
        decode(&mut Reader::new(bytes))
    }

    #[test]
    fn scalars() {
        assert_eq!(read(&[4, 0x81, 0x00]), Ok(Value::Number(128.0)));
        assert_eq!(read(&[4, 0xff, 0xff, 0xff, 0xff]), Ok(Value::Number(-1.0)));
        assert_eq!(read(&[6, 5, b'h', b'i']), Ok(Value::string("hi")));
        assert_eq!(read(&[0x0c, 5, 1, 2]), Ok(Value::ByteArray(vec![1, 2])));
    }

    #[test]
    fn objects_arrays_and_references() {
        // {a: "x", b: "x" by reference}
        let bytes = [0x0a, 0x0b, 1, 3, b'a', 6, 3, b'x', 3, b'b', 6, 2, 1];
        let object = Value::object([("a", Value::string("x")), ("b", Value::string("x"))]);
        assert_eq!(read(&bytes), Ok(object));
        assert_eq!(
            read(&[9, 5, 1, 4, 7, 9, 0]),
            Ok(Value::StrictArray(vec![Value::Number(7.0), Value::Undefined]))
        );
    }

    #[test]
    fn references_cannot_blow_up() {
        // Arrays that hold the one before them eight times.
        let mut bytes = vec![9, 17, 1];
        for level in 0..20u8 {
            if level < 19 {
                bytes.extend([9, 17, 1]);
            }
        }
        bytes.extend([1; 8]);
        for level in (1..20u8).rev() {
            bytes.extend([9, level << 1].repeat(7));
        }
        let _ = read(&bytes);
        assert_eq!(read(&[9, 0xff, 0xff, 0xff, 0xff, 1]), Err(Malformed));
    }
}
