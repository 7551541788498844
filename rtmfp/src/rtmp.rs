//! RTMP messages over flows: RFC 7425 §5.

pub mod amf0;
pub mod amf3;
mod command;
mod message;
mod value;

pub use command::Command;
pub use message::{FlowMetadata, Message, MessageType, UserControl};
pub use value::Value;
