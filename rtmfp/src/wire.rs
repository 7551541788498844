//! Bytes on the wire: RFC 7016 §2 primitives, packets and chunks.
//!
//! Decoders borrow from the packet, never allocate by a length from the wire and never
//! panic; encoders append to a `Vec<u8>`.

mod address;
pub mod chunk;
mod option;
mod packet;
mod reader;

pub use address::{Address, Origin};
pub use chunk::{Chunk, Chunks};
pub use option::{OptionItem, Options, put_marker, put_option};
pub use packet::{Flags, Mode, PacketHeader};
pub use reader::{Malformed, Reader, put_bytes_vlu, put_vlu, vlu_len};
