//! A group as one of its members sees it, for those who draw it.

use std::{net::SocketAddr, time::Duration};

use rtmfp::crypto::PeerId;

use super::Group;
use crate::wire::StreamKey;

/// Members drawn that are no neighbours.
const MAX_HEARD: usize = 256;

/// A neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeighbourPortrait {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub remote: SocketAddr,
    /// How far away, there and back.
    pub rtt: Option<Duration>,
    /// Of the eight parts of the stream, how many we asked it to push to us.
    pub pushes: u32,
    /// And how many we push to it.
    pub is_pushed: u32,
}

/// What we know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portrait {
    /// Neighbours that proved membership.
    pub neighbours: Vec<NeighbourPortrait>,
    /// Members heard of that are no neighbours, as many as can be drawn.
    pub heard: Vec<PeerId>,
}

impl Group {
    /// What we know of the group, and of how a stream passes through us.
    pub fn portrait(&self, stream: Option<&StreamKey>) -> Portrait {
        let stream = stream.and_then(|key| self.streams.get(key));
        let members = self.neighbours.iter().filter(|(_, neighbour)| neighbour.is_member());
        let neighbours = members.map(|(peer, neighbour)| {
            let (pushes, is_pushed) = stream.map_or((0, 0), |stream| stream.parts_with(peer));
            let (remote, rtt) = (neighbour.session.remote, neighbour.rtt);
            NeighbourPortrait { peer: *peer, remote, rtt, pushes, is_pushed }
        });
        let is_stranger = |peer: &PeerId| self.neighbours.get(peer).is_none();
        let heard = self.heard.peers().filter(is_stranger).take(MAX_HEARD);
        Portrait { neighbours: neighbours.collect(), heard: heard.collect() }
    }
}
