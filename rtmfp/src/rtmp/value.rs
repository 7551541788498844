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
    /// AMF3 only.
    ByteArray(Vec<u8>),
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
            Self::Object(members) | Self::EcmaArray(members) => {
                members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// How many values it is made of, itself included.
    pub(super) fn weight(&self) -> usize {
        1 + match self {
            Self::Object(members) | Self::EcmaArray(members) => {
                members.iter().map(|(_, value)| value.weight()).sum()
            }
            Self::StrictArray(values) => values.iter().map(Value::weight).sum(),
            _ => 0,
        }
    }
}
