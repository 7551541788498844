//! NetGroups: Adobe's peer-to-peer groups over RTMFP, as Flash, AIR and librtmfp speak them.
//!
//! [`Group`] is one group as a state machine over its peers. [`Node`] ties any number of them to an
//! [`rtmfp::Endpoint`] and a connection to a server. Neither does I/O.

mod group;
mod groupspec;
mod heard;
mod multicast;
mod node;
mod peer_map;
mod ring;
mod uplink;
mod way;
pub mod wire;

pub use group::{
    Action, Channel, Group, GroupEvent, GroupStats, Incoming, NeighbourPortrait, Outgoing, Parting,
    PeerSession, Portrait,
};
pub use groupspec::{Capabilities, GroupSpec, GroupSpecError, hex};
pub use multicast::{Delivery, Misconduct, StreamEvent, StreamStats, publisher_of};
pub use node::{GroupHandle, MEMBER_LIVENESS, Node, NodeEvent};
pub use ring::GroupAddress;
pub use uplink::Uplink;
pub use way::Way;
