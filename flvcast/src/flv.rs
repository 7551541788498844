//! FLV: tags in and out.

mod demux;
mod mux;
mod tag;

pub use demux::{Demuxer, NotFlv, Skipped};
pub use mux::{file_header, put_tag};
pub use tag::{Tag, TagKind};
