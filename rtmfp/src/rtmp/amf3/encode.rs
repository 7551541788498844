//! Writing. Strings that repeat are written once; objects are written out.

use std::collections::HashMap;

use super::{
    super::{Value, Vector},
    marker,
};

/// Integers from −2^28 to 2^28 − 1 have a short form.
const INTEGERS: std::ops::Range<f64> = -268_435_456.0..268_435_456.0;
const MAX_U29: usize = (1 << 29) - 1;

/// Appends a value with reference tables of its own, as AMF0 embeds it.
pub fn encode(out: &mut Vec<u8>, value: &Value) {
    Encoder { out, strings: HashMap::new() }.value(value);
}

struct Encoder<'a, 'v> {
    out: &'a mut Vec<u8>,
    strings: HashMap<&'v str, usize>,
}

impl<'v> Encoder<'_, 'v> {
    fn value(&mut self, value: &'v Value) {
        match value {
            Value::Undefined => self.out.push(marker::UNDEFINED),
            Value::Null => self.out.push(marker::NULL),
            Value::Boolean(false) => self.out.push(marker::FALSE),
            Value::Boolean(true) => self.out.push(marker::TRUE),
            Value::Number(number) => self.number(*number),
            Value::String(text) => {
                self.out.push(marker::STRING);
                self.string(text);
            }
            Value::Xml(text) => self.bytes(marker::XML, text.as_bytes()),
            Value::ByteArray(bytes) => self.bytes(marker::BYTE_ARRAY, bytes),
            Value::Date(milliseconds) => {
                self.out.push(marker::DATE);
                self.inline(0);
                self.out.extend_from_slice(&milliseconds.to_be_bytes());
            }
            Value::StrictArray(values) => {
                self.out.push(marker::ARRAY);
                self.inline(values.len());
                self.string("");
                values.iter().for_each(|value| self.value(value));
            }
            Value::EcmaArray(members) => {
                self.out.push(marker::ARRAY);
                self.inline(0);
                self.members(members);
            }
            Value::Object(members) => self.object("", members),
            Value::TypedObject(class, members) => self.object(class, members),
            Value::Vector(vector) => self.vector(vector),
            Value::Dictionary(pairs) => {
                self.out.push(marker::DICTIONARY);
                self.inline(pairs.len());
                self.out.push(0);
                for (key, value) in pairs {
                    self.value(key);
                    self.value(value);
                }
            }
        }
    }

    fn number(&mut self, number: f64) {
        let is_negative_zero = number == 0.0 && number.is_sign_negative();
        if INTEGERS.contains(&number) && number.fract() == 0.0 && !is_negative_zero {
            self.out.push(marker::INTEGER);
            self.u29((number as i32 as u32 & MAX_U29 as u32) as usize);
        } else {
            self.out.push(marker::DOUBLE);
            self.out.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// All dynamic, for what has one form needs no shared traits.
    fn object(&mut self, class: &'v str, members: &'v [(String, Value)]) {
        const NEW_DYNAMIC_TRAITS: usize = 0b101;
        self.out.push(marker::OBJECT);
        self.inline(NEW_DYNAMIC_TRAITS);
        self.string(class);
        self.members(members);
    }

    fn members(&mut self, members: &'v [(String, Value)]) {
        // An empty name is the end of the list; a member with none cannot be written.
        for (name, value) in members.iter().filter(|(name, _)| !name.is_empty()) {
            self.string(name);
            self.value(value);
        }
        self.string("");
    }

    fn vector(&mut self, vector: &'v Vector) {
        let (kind, count) = match vector {
            Vector::Int(numbers) => (marker::VECTOR_INT, numbers.len()),
            Vector::Uint(numbers) => (marker::VECTOR_UINT, numbers.len()),
            Vector::Double(numbers) => (marker::VECTOR_DOUBLE, numbers.len()),
            Vector::Values(values) => (marker::VECTOR_OBJECT, values.len()),
        };
        self.out.push(kind);
        self.inline(count);
        self.out.push(0);
        match vector {
            Vector::Int(numbers) => numbers.iter().for_each(|n| self.out.extend(n.to_be_bytes())),
            Vector::Uint(numbers) => numbers.iter().for_each(|n| self.out.extend(n.to_be_bytes())),
            Vector::Double(numbers) => {
                numbers.iter().for_each(|n| self.out.extend(n.to_be_bytes()));
            }
            Vector::Values(values) => {
                self.string("");
                values.iter().for_each(|value| self.value(value));
            }
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(MAX_U29 >> 1)];
        self.out.push(kind);
        self.inline(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn string(&mut self, text: &'v str) {
        if let Some(index) = self.strings.get(text) {
            self.u29(index << 1);
            return;
        }
        let text = &text[..text.floor_char_boundary(MAX_U29 >> 1)];
        if !text.is_empty() {
            self.strings.insert(text, self.strings.len());
        }
        self.inline(text.len());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The header of something that is no reference.
    fn inline(&mut self, rest: usize) {
        self.u29(rest << 1 | 1);
    }

    fn u29(&mut self, number: usize) {
        let number = number & MAX_U29;
        let group = |shift: usize| (number >> shift & 0x7f) as u8;
        match number {
            0..0x80 => self.out.push(group(0)),
            0x80..0x4000 => self.out.extend([group(7) | 0x80, group(0)]),
            0x4000..0x20_0000 => self.out.extend([group(14) | 0x80, group(7) | 0x80, group(0)]),
            _ => {
                self.out.extend([group(22) | 0x80, group(15) | 0x80, group(8) | 0x80, number as u8])
            }
        }
    }
}
