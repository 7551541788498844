//! Reading, with bounds on depth, values and text.

use super::{
    super::{
        Value, Vector,
        budget::{Budget, Place},
    },
    marker,
};
use crate::wire::{Malformed, Reader};

/// Reads one value with reference tables of its own. Its depth (32), its number of values (100,000)
/// and its text (4 MB) are bounded.
pub fn decode(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    decode_within(reader, &mut Budget::default())
}

/// As AMF0 embeds it: a part of a larger value.
pub(in crate::rtmp) fn decode_within(
    reader: &mut Reader<'_>,
    budget: &mut Budget,
) -> Result<Value, Malformed> {
    let (strings, places, traits) = Default::default();
    Decoder { reader, strings, places, traits, is_repeating: false, budget }.value()
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
    /// What references to objects point to.
    places: Vec<Place<Reader<'a>>>,
    traits: Vec<Traits>,
    /// What is read again must not be numbered again.
    is_repeating: bool,
    budget: &'r mut Budget,
}

/// A reference to something seen before, or the header of something new.
enum Header {
    Reference(usize),
    Inline(usize),
}

impl<'a> Decoder<'_, 'a> {
    fn value(&mut self) -> Result<Value, Malformed> {
        self.budget.values(1)?;
        self.budget.enter()?;
        let start = *self.reader;
        let value = match self.reader.u8()? {
            marker::UNDEFINED => Value::Undefined,
            marker::NULL => Value::Null,
            marker::FALSE => Value::Boolean(false),
            marker::TRUE => Value::Boolean(true),
            marker::INTEGER => Value::Number(f64::from(sign_extend(self.u29()?))),
            marker::DOUBLE => Value::Number(self.reader.f64()?),
            marker::STRING => Value::String(self.string()?),
            kind @ marker::XML_DOCUMENT..=marker::DICTIONARY => self.remembered(start, kind)?,
            _ => return Err(Malformed),
        };
        self.budget.leave();
        Ok(value)
    }

    /// A value that later ones may refer to, or a reference to one.
    fn remembered(&mut self, start: Reader<'a>, kind: u8) -> Result<Value, Malformed> {
        let rest = match self.header()? {
            Header::Reference(number) => return self.reference(number),
            Header::Inline(rest) if self.is_repeating => return self.composite(kind, rest),
            Header::Inline(rest) => rest,
        };
        let number = self.places.len();
        self.places.push(Place { reader: start, is_open: true });
        let value = self.composite(kind, rest)?;
        self.places[number].is_open = false;
        Ok(value)
    }

    /// Reads again what the reference points to; inside of that very value it is undefined.
    fn reference(&mut self, number: usize) -> Result<Value, Malformed> {
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

    /// `rest` is what its header says beside that it is no reference: a length, mostly.
    fn composite(&mut self, kind: u8, rest: usize) -> Result<Value, Malformed> {
        Ok(match kind {
            marker::XML_DOCUMENT | marker::XML => Value::Xml(self.text(rest)?),
            marker::DATE => Value::Date(self.reader.f64()?),
            marker::BYTE_ARRAY => {
                self.budget.text(rest)?;
                Value::ByteArray(self.reader.bytes(rest)?.to_vec())
            }
            marker::ARRAY => self.array(rest)?,
            marker::OBJECT => self.object(rest)?,
            marker::DICTIONARY => self.dictionary(rest)?,
            _ => Value::Vector(self.vector(kind, rest)?),
        })
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
        self.budget.text(length)?;
        Ok(String::from_utf8_lossy(self.reader.bytes(length)?).into_owned())
    }

    fn string(&mut self) -> Result<String, Malformed> {
        match self.header()? {
            Header::Reference(index) => {
                let text = self.strings.get(index).cloned().ok_or(Malformed)?;
                self.budget.text(text.len())?;
                Ok(text)
            }
            Header::Inline(length) => {
                let text = self.text(length)?;
                if !text.is_empty() && !self.is_repeating {
                    self.strings.push(text.clone());
                }
                Ok(text)
            }
        }
    }

    /// Whether its length is fixed, and the elements.
    fn vector(&mut self, kind: u8, count: usize) -> Result<Vector, Malformed> {
        self.reader.u8()?;
        Ok(match kind {
            marker::VECTOR_INT => {
                Vector::Int(self.numbers(count, |reader| Ok(reader.u32()? as i32))?)
            }
            marker::VECTOR_UINT => Vector::Uint(self.numbers(count, Reader::u32)?),
            marker::VECTOR_DOUBLE => Vector::Double(self.numbers(count, Reader::f64)?),
            _ => {
                self.string()?;
                Vector::Values((0..count).map(|_| self.value()).collect::<Result<_, _>>()?)
            }
        })
    }

    fn numbers<T>(
        &mut self,
        count: usize,
        read: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.budget.values(count)?;
        (0..count).map(|_| read(self.reader)).collect()
    }

    fn dictionary(&mut self, count: usize) -> Result<Value, Malformed> {
        // Whether its keys are weak is of no interest here.
        self.reader.u8()?;
        let pairs = (0..count).map(|_| Ok((self.value()?, self.value()?)));
        Ok(Value::Dictionary(pairs.collect::<Result<_, _>>()?))
    }

    /// Names and values up to an empty name.
    fn named_values(&mut self, members: &mut Vec<(String, Value)>) -> Result<(), Malformed> {
        loop {
            let name = self.string()?;
            if name.is_empty() {
                return Ok(());
            }
            members.push((name, self.value()?));
        }
    }

    fn array(&mut self, count: usize) -> Result<Value, Malformed> {
        let mut named = Vec::new();
        self.named_values(&mut named)?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value()?);
        }
        if named.is_empty() {
            return Ok(Value::StrictArray(values));
        }
        named.extend(
            values.into_iter().enumerate().map(|(index, value)| (index.to_string(), value)),
        );
        Ok(Value::EcmaArray(named))
    }

    fn object(&mut self, header: usize) -> Result<Value, Malformed> {
        let traits = self.traits(header)?;
        if traits.is_externalizable {
            // Only its class knows the format.
            let is_wrapper = WRAPPERS.contains(&traits.class.as_str());
            return if is_wrapper { self.value() } else { Err(Malformed) };
        }
        self.budget.values(traits.names.len())?;
        let mut members = Vec::new();
        for name in traits.names {
            members.push((name, self.value()?));
        }
        if traits.is_dynamic {
            self.named_values(&mut members)?;
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
            let traits = self.traits.get(header >> 1).ok_or(Malformed)?;
            let names = traits.names.iter().map(String::len).sum::<usize>();
            self.budget.text(traits.class.len() + names)?;
            return Ok(traits.clone());
        }
        let is_externalizable = header & 2 != 0;
        let class = self.string()?;
        let count = if is_externalizable { 0 } else { header >> 3 };
        self.budget.values(count)?;
        let names = (0..count).map(|_| self.string()).collect::<Result<_, _>>()?;
        let traits = Traits { class, is_dynamic: header & 4 != 0, is_externalizable, names };
        if !self.is_repeating {
            self.traits.push(traits.clone());
        }
        Ok(traits)
    }
}

fn sign_extend(value: u32) -> i32 {
    (value << 3) as i32 >> 3
}
