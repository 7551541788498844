//! Members that lie: each is a real member that besides its work tells one kind of lie.

use std::time::Duration;

use bytes::Bytes;
use netgroup::{
    Action, Channel, Group, Outgoing,
    wire::{
        Announcement, Availability, Fragment, FragmentStart, GroupId, Join, MAX_FRAGMENT,
        MediaControl, Member, Report, StreamKey, StreamParameters,
    },
};
use rand::{RngExt, rngs::StdRng};
use rtmfp::{
    crypto::{PeerId, sha256},
    wire::{Address, Origin},
};

use super::film::STREAM;

/// How often a liar lies, to all its neighbours.
pub(crate) const PERIOD: Duration = Duration::from_millis(500);
/// Fragments pulled at once.
const GREED: u64 = 200;
/// Streams that a liar casts by itself.
const OWN_STREAMS: u8 = 4;
/// Fragments that a map goes back.
const WINDOW: u64 = 500;
/// Members that a report invents.
const INVENTED: usize = 256;

/// A lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// A fragment far ahead.
    FarFragment,
    /// Fragments of its own making where the stream's next ones will be: the wire has nothing by
    /// which to tell them from true ones.
    Forgery,
    /// A fragment of long ago.
    LowFragment,
    /// A map of everything, far ahead.
    FarMap,
    /// A map of everything that there could be.
    GiantMap,
    /// The stream has ended.
    FalseEnd,
    /// Members that do not exist.
    InventedMembers,
    /// One publication of the name after the other.
    ManyStreams,
    /// The stream is to be handled otherwise.
    OtherParameters,
    /// "I belong to this group", without knowing it.
    WrongProof,
    /// It pulls everything, again and again.
    Greed,
    /// Streams of its own under the name, as many as one may have, which never end.
    OwnStreams,
    /// The latest key frame is where there is none.
    FalseEntrance,
}

/// The number of forgery, which no member can see through.
pub(super) const FORGERY: usize = usize::MAX;
/// Those that members must see through.
const LIES: [Lie; 12] = [
    Lie::FarFragment,
    Lie::LowFragment,
    Lie::FarMap,
    Lie::GiantMap,
    Lie::FalseEnd,
    Lie::InventedMembers,
    Lie::ManyStreams,
    Lie::OtherParameters,
    Lie::WrongProof,
    Lie::Greed,
    Lie::OwnStreams,
    Lie::FalseEntrance,
];

fn lie(kind: usize) -> Lie {
    if kind == FORGERY { Lie::Forgery } else { LIES[kind % LIES.len()] }
}

/// What a liar of this kind says now.
pub(crate) fn tell(kind: usize, group: &Group, rng: &mut StdRng) -> Vec<Action> {
    let lie = lie(kind);
    let Some(key) = group.streams().next() else { return Vec::new() };
    let newest = group.stream_stats(&key).map_or(0, |stats| stats.newest);
    let truth = Truth { own: group.peer_id(), group: group.spec().group_id(), key, newest };
    group.members().flat_map(|peer| lie.to(peer, truth, rng)).collect()
}

/// What a liar knows.
#[derive(Debug, Clone, Copy)]
struct Truth {
    own: PeerId,
    group: GroupId,
    key: StreamKey,
    newest: u64,
}

impl Lie {
    fn to(self, peer: PeerId, truth: Truth, rng: &mut StdRng) -> Vec<Action> {
        let Truth { own, group, key, newest } = truth;
        let far = (newest + 30_000).min(MAX_FRAGMENT);
        let control =
            |message: MediaControl| send(peer, Channel::MediaControl(key), message.encode());
        let fragment = |id: u64| {
            let start = Some(FragmentStart { kind: 9, timestamp: 0 });
            let bytes = Fragment::encode(id.max(1), start, 0, b"not of this film at all").to_vec();
            send(peer, Channel::Media(key), bytes)
        };
        match self {
            Self::FarFragment => vec![fragment(far)],
            Self::Forgery => (1..20).map(|ahead| fragment(newest + ahead * 7)).collect(),
            Self::LowFragment => vec![fragment(newest / 2)],
            Self::FarMap => {
                let map = Availability::of(newest, far, |_| u64::MAX);
                vec![control(MediaControl::Availability(map))]
            }
            Self::GiantMap => {
                let map = Availability::of(1, newest + 50, |_| u64::MAX);
                vec![control(MediaControl::Availability(map))]
            }
            Self::FalseEnd => vec![control(MediaControl::End(newest + 1))],
            Self::InventedMembers => vec![send(peer, Channel::Control, invented(rng).encode())],
            Self::ManyStreams => (0..4).map(|_| announce(peer, StreamKey(rng.random()))).collect(),
            Self::OtherParameters => Vec::new(),
            Self::Greed => {
                let latest = newest.saturating_sub(GREED).max(1)..newest;
                latest.map(|number| control(MediaControl::Pull(number))).collect()
            }
            Self::OwnStreams => {
                (0..OWN_STREAMS).map(|number| announce(peer, own_key(&own, number))).collect()
            }
            Self::FalseEntrance => {
                let from = |first: u64| {
                    let map = Availability::of(first, newest, |_| u64::MAX);
                    control(MediaControl::Availability(map))
                };
                vec![from(newest.saturating_sub(WINDOW)), from(newest.saturating_sub(3))]
            }
            Self::WrongProof => {
                let join = Join { group, proof: rng.random(), to: peer };
                vec![send(peer, Channel::Control, join.encode())]
            }
        }
    }
}

fn send(peer: PeerId, channel: Channel, bytes: Vec<u8>) -> Action {
    let bytes = bytes.into();
    Action::Send(Outgoing { peer, channel, association: None, bytes, deadline: None })
}

/// What a liar of this kind makes of a message that it would send.
pub(super) fn twist(kind: usize, channel: Channel, bytes: Bytes) -> Bytes {
    if lie(kind) != Lie::OtherParameters || !matches!(channel, Channel::MediaControl(_)) {
        return bytes;
    }
    match MediaControl::decode(&bytes) {
        Some(MediaControl::Announce(mut announcement)) => {
            announcement.parameters.window = Duration::from_millis(100);
            announcement.parameters.update_period = Duration::from_secs(100);
            MediaControl::Announce(announcement).encode().into()
        }
        _ => bytes,
    }
}

fn announce(peer: PeerId, key: StreamKey) -> Action {
    let parameters = StreamParameters::default();
    let announcement = Announcement { name: STREAM.to_owned(), key, parameters };
    send(peer, Channel::MediaControl(key), MediaControl::Announce(announcement).encode())
}

/// A key that shows `own` to be the publisher, always the same for a number.
fn own_key(own: &PeerId, number: u8) -> StreamKey {
    let mut key = [number; 32];
    let mark = sha256(&[&own.0, &key[..16]]);
    key[16..].copy_from_slice(&mark[..16]);
    StreamKey(key)
}

fn invented(rng: &mut StdRng) -> Report {
    let victim = Address::new(([203, 0, 113, 7], 53).into(), Origin::Observed);
    let members = (0..INVENTED).map(|_| Member {
        peer: PeerId(rng.random()),
        age: 0,
        addresses: vec![victim],
    });
    Report { observed: None, own: vec![victim], members: members.collect() }
}
