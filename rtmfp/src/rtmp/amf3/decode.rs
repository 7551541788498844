//! Reading, with bounds on depth, values and text.

use super::{
    super::{Value, Vector, amf0::MAX_DEPTH},
    marker,
};
use crate::wire::{Malformed, Reader};

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

/// Externalizable classes of Flex whose format is one value.
const WRAPPERS: [&str; 3] = [
    "flex.messaging.io.ArrayCollection",
    "flex.messaging.io.ArrayList",
    "flex.messaging.io.ObjectProxy",
];

#[derive(Debug, Clone)]
struct Traits {
    class: String,
    is_dynamic: bool,
    is_externalizable: bool,
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
            marker::VECTOR_INT => self.vector(|decoder, count| {
                Ok(Vector::Int(decoder.numbers(count, |reader| Ok(reader.u32()? as i32))?))
            })?,
            marker::VECTOR_UINT => self.vector(|decoder, count| {
                Ok(Vector::Uint(decoder.numbers(count, |reader| reader.u32())?))
            })?,
            marker::VECTOR_DOUBLE => self.vector(|decoder, count| {
                Ok(Vector::Double(decoder.numbers(count, |reader| reader.f64())?))
            })?,
            marker::VECTOR_OBJECT => self.vector(|decoder, count| {
                decoder.string()?;
                let values = (0..count).map(|_| decoder.value(depth + 1));
                Ok(Vector::Values(values.collect::<Result<_, _>>()?))
            })?,
            marker::DICTIONARY => self.remembered(|decoder, count| {
                // Whether its keys are weak is of no interest here.
                decoder.reader.u8()?;
                let pairs =
                    (0..count).map(|_| Ok((decoder.value(depth + 1)?, decoder.value(depth + 1)?)));
                Ok(Value::Dictionary(pairs.collect::<Result<_, _>>()?))
            })?,
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

    /// A count, whether it is fixed, and the elements.
    fn vector(
        &mut self,
        read: impl FnOnce(&mut Self, usize) -> Result<Vector, Malformed>,
    ) -> Result<Value, Malformed> {
        self.remembered(|decoder, count| {
            decoder.reader.u8()?;
            Ok(Value::Vector(read(decoder, count)?))
        })
    }

    /// Memory is bounded by the bytes that are there.
    fn numbers<T>(
        &mut self,
        count: usize,
        read: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        (0..count).map(|_| read(self.reader)).collect()
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

    fn object(&mut self, header: usize, depth: usize) -> Result<Value, Malformed> {
        let traits = self.traits(header)?;
        if traits.is_externalizable {
            // Only its class knows the format.
            let is_wrapper = WRAPPERS.contains(&traits.class.as_str());
            return if is_wrapper { self.value(depth + 1) } else { Err(Malformed) };
        }
        self.spend(traits.names.len())?;
        let mut members = Vec::new();
        for name in traits.names {
            members.push((name, self.value(depth + 1)?));
        }
        if traits.is_dynamic {
            self.named_values(&mut members, depth)?;
        }
        Ok(if traits.class.is_empty() {
            Value::Object(members)
        } else {
            Value::TypedObject(traits.class, members)
        })
    }

    /// `header`: 1 bit new traits, 1 bit externalizable, 1 bit dynamic, then a count of names.
    fn traits(&mut self, header: usize) -> Result<Traits, Malformed> {
        if header & 1 == 0 {
            return self.traits.get(header >> 1).cloned().ok_or(Malformed);
        }
        let is_externalizable = header & 2 != 0;
        let class = self.string()?;
        let count = if is_externalizable { 0 } else { header >> 3 };
        let names = (0..count).map(|_| self.string()).collect::<Result<_, _>>()?;
        let traits = Traits { class, is_dynamic: header & 4 != 0, is_externalizable, names };
        self.traits.push(traits.clone());
        Ok(traits)
    }
}

fn sign_extend(value: u32) -> i32 {
    (value << 3) as i32 >> 3
}
