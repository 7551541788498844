//! AMF3: Flash and librtmfp use it inside AMF0, for arguments and in messages of types 15 and 17.

mod decode;
mod encode;

pub use decode::decode;
pub(super) use decode::decode_within;
pub use encode::encode;

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
    pub const VECTOR_INT: u8 = 0x0d;
    pub const VECTOR_UINT: u8 = 0x0e;
    pub const VECTOR_DOUBLE: u8 = 0x0f;
    pub const VECTOR_OBJECT: u8 = 0x10;
    pub const DICTIONARY: u8 = 0x11;
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Value, Vector},
        *,
    };
    use crate::wire::{Malformed, Reader};

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
    fn every_kind_round_trips() {
        let value = Value::object([
            ("small", Value::Number(-5.0)),
            (
                "integers",
                Value::StrictArray(
                    [
                        127.0,
                        128.0,
                        16_383.0,
                        16_384.0,
                        2_097_151.0,
                        2_097_152.0,
                        268_435_455.0,
                        -268_435_456.0,
                    ]
                    .map(Value::Number)
                    .to_vec(),
                ),
            ),
            ("large", Value::Number(268_435_456.0)),
            ("fraction", Value::Number(0.5)),
            ("text", Value::string("grüezi")),
            ("again", Value::string("grüezi")),
            ("list", Value::StrictArray(vec![Value::Null, Value::Boolean(true), Value::Undefined])),
            ("named", Value::EcmaArray(vec![("x".into(), Value::Boolean(false))])),
            ("date", Value::Date(1e12)),
            ("xml", Value::Xml("<a/>".into())),
            ("bytes", Value::ByteArray(vec![1, 2, 3])),
            ("typed", Value::TypedObject("a.B".into(), vec![("y".into(), Value::Null)])),
            ("ints", Value::Vector(Vector::Int(vec![-1, 2]))),
            ("uints", Value::Vector(Vector::Uint(vec![u32::MAX]))),
            ("doubles", Value::Vector(Vector::Double(vec![1.5]))),
            ("values", Value::Vector(Vector::Values(vec![Value::string("text")]))),
            ("map", Value::Dictionary(vec![(Value::Number(1.0), Value::string("one"))])),
        ]);
        let mut out = Vec::new();
        encode(&mut out, &value);
        assert_eq!(read(&out), Ok(value));
    }

    #[test]
    fn wrappers_of_flex_are_seen_through() {
        let mut bytes = vec![0x0a, 0x07, 33 << 1 | 1];
        bytes.extend(b"flex.messaging.io.ArrayCollection");
        bytes.extend([9, 3, 1, 4, 7]);
        assert_eq!(read(&bytes), Ok(Value::StrictArray(vec![Value::Number(7.0)])));
        bytes[3] = b'F';
        assert_eq!(read(&bytes), Err(Malformed), "any other class");
    }

    #[test]
    fn references_cannot_blow_up() {
        // Each array holds the one before it eight times.
        let mut bomb = vec![9, 61, 1, 9, 1, 1];
        for level in 1..30u8 {
            bomb.extend([9, 17, 1]);
            bomb.extend([9, level << 1].repeat(8));
        }
        assert_eq!(read(&bomb), Err(Malformed));
        assert_eq!(read(&[9, 0xff, 0xff, 0xff, 0xff, 1]), Err(Malformed));
    }

    #[test]
    fn names_of_classes_cannot_blow_up() {
        // Objects of a class with a name of 8,000 letters, which only the first one spells.
        let mut bomb = vec![9, 0x9f, 0x21, 1, 0x0a, 0x0b, 0x80 | 125, 1];
        bomb.extend([b'x'; 8000]);
        bomb.push(1);
        bomb.extend([0x0a, 1, 1].repeat(1999));
        assert_eq!(read(&bomb), Err(Malformed));
    }

    #[test]
    fn a_value_inside_of_itself_is_undefined_there() {
        // An array of an object, which holds the array, and of that object again.
        let bytes = [9, 5, 1, 0x0a, 0x0b, 1, 3, b'a', 9, 0, 1, 0x0a, 2];
        let object = Value::object([("a", Value::Undefined)]);
        assert_eq!(read(&bytes), Ok(Value::StrictArray(vec![object.clone(), object])));
    }
}
