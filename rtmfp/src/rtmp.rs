//! RTMP messages, over flows (RFC 7425 §5) and over TCP.

pub mod amf0;
pub mod amf3;
mod budget;
mod command;
mod flow_sync;
mod message;
pub mod tcp;
mod value;

pub use command::Command;
pub use flow_sync::FlowSync;
pub use message::{FlowMetadata, Message, MessageType, UserControl};
pub use value::{Value, Vector};
