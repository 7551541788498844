//! FLV: tags in and out.

mod anatomy;
mod demux;
mod frame;
pub mod metadata;
pub mod mime;
mod mux;
mod tag;

pub use anatomy::{Anatomy, Codec, Part};
pub use demux::{Demuxer, NotFlv, Skipped};
pub use frame::{Inside, inside};
pub use mux::{TAG_HEADER_LEN, Tracks, file_header, put_tag, put_tag_at, tag_header, tag_trailer};
pub use tag::{Tag, TagKind};
