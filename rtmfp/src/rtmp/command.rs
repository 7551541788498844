//! Commands: a name, a transaction, arguments. RFC 7425 §5.3, RTMP §7.2.

use bytes::Bytes;

use super::{Message, MessageType, Value, amf0};
use crate::wire::Malformed;

/// A call or the answer to one.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// `connect`, `_result`, `onStatus`…
    pub name: String,
    /// Ties an answer to its call; 0 wants none.
    pub transaction: f64,
    /// The command object, mostly null.
    pub object: Value,
    /// What follows.
    pub arguments: Vec<Value>,
}

impl Command {
    /// A command with a null object.
    pub fn new(name: &str, transaction: f64, arguments: Vec<Value>) -> Self {
        Self { name: name.into(), transaction, object: Value::Null, arguments }
    }

    /// Decodes types 20 and 17; the latter begins with a format byte. A missing transaction or
    /// object is tolerated.
    pub fn decode(message: &Message) -> Result<Self, Malformed> {
        let payload: &[u8] = match message.kind {
            MessageType::COMMAND_AMF0 => &message.payload,
            MessageType::COMMAND_AMF3 => message.payload.get(1..).ok_or(Malformed)?,
            _ => return Err(Malformed),
        };
        let mut values = amf0::decode_all(payload).into_iter();
        let Some(Value::String(name)) = values.next() else { return Err(Malformed) };
        let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
        let object = values.next().unwrap_or(Value::Null);
        Ok(Self { name, transaction, object, arguments: values.collect() })
    }

    /// A message of type 20.
    pub fn to_message(&self) -> Message {
        let mut payload = Vec::new();
        amf0::encode(&mut payload, &Value::string(&self.name));
        amf0::encode(&mut payload, &Value::Number(self.transaction));
        amf0::encode(&mut payload, &self.object);
        self.arguments.iter().for_each(|argument| amf0::encode(&mut payload, argument));
        Message { kind: MessageType::COMMAND_AMF0, timestamp: 0, payload: payload.into() }
    }

    /// As it travels over a flow.
    pub fn encode(&self) -> Bytes {
        self.to_message().to_bytes()
    }

    /// The `code` of a status or result.
    pub fn status_code(&self) -> Option<&str> {
        let values = self.arguments.iter().chain([&self.object]);
        values.into_iter().find_map(|value| value.member("code")?.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_message_types_decode() {
        let info = Value::object([("code", Value::string("NetConnection.Connect.Success"))]);
        let command = Command::new("_result", 1.0, vec![info]);
        let message = Message::decode(&command.encode()).unwrap();
        assert_eq!(Command::decode(&message).unwrap(), command);
        let mut payload = vec![0];
        payload.extend_from_slice(&message.payload);
        let amf3 =
            Message { kind: MessageType::COMMAND_AMF3, timestamp: 0, payload: payload.into() };
        assert_eq!(
            Command::decode(&amf3).unwrap().status_code(),
            Some("NetConnection.Connect.Success")
        );
    }
}
