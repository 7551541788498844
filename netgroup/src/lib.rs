//! NetGroups: Adobe's peer-to-peer groups over RTMFP, as Flash, AIR and librtmfp speak them.
//!
//! [`Group`] is one group as a state machine over its peers. [`Node`] ties it to an
//! [`rtmfp::Endpoint`] and a connection to a server. Neither does I/O.

mod group;
mod groupspec;
mod heard;
mod multicast;
mod node;
mod ring;
pub mod wire;

pub use group::{Action, Channel, Group, GroupEvent, GroupStats, Incoming, PeerSession};
pub use groupspec::{Capabilities, GroupSpec, GroupSpecError, hex};
pub use multicast::{Delivery, StreamEvent, StreamStats, publisher_of};
pub use node::{Node, NodeEvent, NodeStats};
pub use ring::{GroupAddress, estimate_members};
