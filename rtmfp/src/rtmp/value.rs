//! The values of AMF0 and AMF3, as one type.

/// A decoded value. AMF3 integers and doubles are both [`Value::Number`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Absent.
    Undefined,
    /// Nothing.
    Null,
    /// Yes or no.
    Boolean(bool),
    /// Any number.
    Number(f64),
    /// Text; bytes that are not UTF-8 are replaced.
    String(String),
    /// Named members, in order.
    Object(Vec<(String, Value)>),
    /// An array with named members, as metadata has.
    EcmaArray(Vec<(String, Value)>),
    /// An array.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970.
    Date(f64),
    /// A document as text.
    Xml(String),
    /// An object of a named class.
    TypedObject(String, Vec<(String, Value)>),
    /// AMF3 only.
    ByteArray(Vec<u8>),
    /// AMF3 only.
    Vector(Vector),
    /// AMF3 only: any values as keys.
    Dictionary(Vec<(Value, Value)>),
}

/// An array of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Vector {
    /// Signed integers.
    Int(Vec<i32>),
    /// Unsigned integers.
    Uint(Vec<u32>),
    /// Numbers.
    Double(Vec<f64>),
    /// Anything else.
    Values(Vec<Value>),
}

impl Value {
    /// Text.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An object of the given members.
    pub fn object<const N: usize>(members: [(&str, Value); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A member of an object or named array.
    pub fn member(&self, wanted: &str) -> Option<&Value> {
        match self {
            Self::Object(members) | Self::EcmaArray(members) | Self::TypedObject(_, members) => {
                members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}
