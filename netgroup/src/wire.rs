//! Group messages: one file for each, as Flash and librtmfp speak them.

mod announcement;
mod availability;
mod fragment;
mod join;
mod report;
mod server_channel;

pub use announcement::{Announcement, MediaControl, StreamKey, StreamParameters};
pub use availability::Availability;
pub use fragment::{
    Fragment, FragmentStart, MAX_FRAGMENT, MAX_PAYLOAD, is_key_frame, is_media_type,
};
pub use join::Join;
pub use report::{Member, Report};
pub use server_channel::{GroupId, ServerJoin, ServerMember};

/// Flow metadata: `GC` towards the server, `GR` and a letter between peers.
pub mod signature {
    /// Joining at the server.
    pub const SERVER_CHANNEL: &[u8] = b"GC";
    /// Membership and reports; the life of the relation.
    pub const CONTROL: &[u8] = b"GR\x1c";
    /// Announcements, availability, pushes and pulls of one stream.
    pub const MEDIA_CONTROL: &[u8] = b"GR\x11";
    /// Fragments of one stream.
    pub const MEDIA: &[u8] = b"GR\x12";
}

/// First bytes of messages on the control flow.
pub mod control {
    /// [`super::Join`]
    pub const JOIN: u8 = 0x01;
    /// Meaning unknown; always sent before [`READY_EXACT`].
    pub const HELLO: u8 = 0x02;
    /// [`super::Report`]
    pub const REPORT: u8 = 0x0a;
    /// "May I leave you?"
    pub const ASK_DISCONNECT: u8 = 0x0c;
    /// Ready; directed routing reaches us by our exact address.
    pub const READY_EXACT: u8 = 0x0e;
    /// Ready; directed routing reaches us as the nearest.
    pub const READY_NEAREST: u8 = 0x0f;
}
