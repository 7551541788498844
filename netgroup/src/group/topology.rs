//! Whom to connect to, and whom to leave.
//!
//! A member that has too few neighbours looks for some; one that has enough only sees to it that
//! it is connected to the nearest on the ring, on both sides, for these hold the group together.
//! Choices stay as they are while they serve.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use rand::RngExt;
use rtmfp::crypto::PeerId;

use super::{Action, Channel, Group, Parting, neighbour::Neighbour};
use crate::{
    heard::{Heard, LOWEST_LATENCY, NEAREST_A_SIDE},
    multicast::Stream,
    wire::control,
};

/// How often the wish list is made anew.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// Something happened that cannot wait for that.
const SOON: Duration = Duration::from_millis(50);
/// News of members, which come again and again.
const NEWS: Duration = Duration::from_millis(500);
/// A neighbour is not asked for leave more often.
const ASK_INTERVAL: Duration = Duration::from_secs(90);
/// Neighbours asked in one go.
const MAX_ASKED: usize = 2;
/// A few neighbours too many are borne when nobody has come for this long: a group is to rest.
const BEARABLE: usize = 4;
const OLD: Duration = Duration::from_secs(60);
/// Who has not answered by then will not.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// Who has not answered by then is not counted on.
const CONNECT_HOPE: Duration = Duration::from_secs(3);
/// Sessions being opened at once.
const MAX_CONNECTING: usize = 16;
/// Hearsay is good enough while fewer members are known: there is nobody to confirm it.
const FEW: usize = 4;
/// The server is asked for members no more often; rarely, once it was asked in vain for so long.
const FIRST_ASK: Duration = Duration::from_secs(8);
const LAST_ASK: Duration = Duration::from_secs(120);
const HOPE: Duration = Duration::from_secs(180);
/// Most groups that wait for a broadcast are whole: nothing is wrong but that nobody casts.
const FAINT_HOPE: Duration = Duration::from_secs(15);
/// The group may have fallen apart if so many of the neighbours are lost within this.
const LOSS_SPAN: Duration = Duration::from_secs(15);
const LOSS_SHARE: usize = 3;

/// What a member keeps in mind about its neighbourhood.
#[derive(Debug)]
pub(super) struct Topology {
    pub next_look: Instant,
    /// The neighbour chosen by chance, as long as it lasts.
    random: Option<PeerId>,
    /// Neighbours lost lately, and since when.
    lost: (usize, Instant),
    /// When the server may be asked for members again, and since when it was asked in vain.
    pub ask_at: Instant,
    asking_since: Option<Instant>,
}

impl Topology {
    pub fn new(now: Instant) -> Self {
        Self {
            next_look: now + PERIOD,
            random: None,
            lost: (0, now),
            ask_at: now + FIRST_ASK,
            asking_since: None,
        }
    }
}

impl Group {
    /// How many neighbours are enough, and how many too many.
    fn wanted(&self) -> (usize, usize) {
        let log = self.heard.size().members.max(2).ilog2() as usize;
        (2 * NEAREST_A_SIDE + log.max(4) + 1, 2 * log + 13)
    }

    pub(super) fn latencies(&self) -> Vec<(Duration, PeerId)> {
        let members = self.neighbours.iter().filter(|(_, neighbour)| neighbour.is_member());
        let mut latencies: Vec<_> =
            members.filter_map(|(peer, neighbour)| Some((neighbour.rtt?, *peer))).collect();
        latencies.sort_unstable();
        latencies
    }

    /// Something changed that may change whom we want: look soon.
    pub(super) fn topology_soon(&mut self, now: Instant) {
        self.topology.next_look = self.topology.next_look.min(now + SOON);
    }

    /// Members were heard of; of interest to those who have too few neighbours.
    pub(super) fn note_news(&mut self, now: Instant) {
        if self.count_on(now) < self.wanted().0 {
            self.topology.next_look = self.topology.next_look.min(now + NEWS);
        }
    }

    /// A neighbour is gone that we did not part from.
    pub(super) fn note_loss(&mut self, now: Instant, parting: Parting) {
        let (count, since) = &mut self.topology.lost;
        if now.saturating_duration_since(*since) > LOSS_SPAN {
            (*count, *since) = (0, now);
        }
        *count += 1;
        if parting == Parting::Lost && *count * LOSS_SHARE >= self.neighbours.len() + *count {
            self.topology.ask_at = self.topology.ask_at.min(now);
            self.streams.values_mut().for_each(Stream::on_group_torn);
        }
        self.topology_soon(now);
    }

    pub(super) fn update_topology(&mut self, now: Instant) {
        self.topology.next_look = now + PERIOD;
        self.heard.expire(now);
        self.banned.retain(|_, until| *until > now);
        self.give_up_connecting(now);
        self.close_strangers(now);
        self.connect_to_nearest(now);
        self.connect_to_more(now);
        self.ask_leave(now);
    }

    /// Asks the server for members, if the group may have fallen apart without our knowing.
    pub(super) fn ask_server(&mut self, now: Instant) {
        if self.topology.ask_at > now {
            return;
        }
        let is_alone = !self.neighbours.values().any(|neighbour| neighbour.is_member());
        let (lost, since) = self.topology.lost;
        let has_lost_many = lost * LOSS_SHARE >= self.neighbours.len() + lost
            && lost > 1
            && now.saturating_duration_since(since) < 4 * LOSS_SPAN;
        let is_urgent = is_alone || has_lost_many || self.misses_stream(now);
        if is_urgent || self.may_miss_stream(now) {
            self.actions.push_back(Action::AskServer);
            let asking_since = *self.topology.asking_since.get_or_insert(now);
            let hope = if is_urgent { HOPE } else { FAINT_HOPE };
            let is_hopeless = now.saturating_duration_since(asking_since) > hope;
            let pause = if is_hopeless { LAST_ASK } else { FIRST_ASK };
            // What happened to all at once is not asked about by all at once.
            self.topology.ask_at = now + pause.mul_f64(self.rng.random_range(0.5..1.0));
        } else {
            self.topology.ask_at = now + Duration::from_secs(1);
            self.topology.asking_since = None;
        }
    }

    fn give_up_connecting(&mut self, now: Instant) {
        let is_late = |since: &Instant| now.saturating_duration_since(*since) > CONNECT_LIMIT;
        let late: Vec<PeerId> =
            self.connecting.iter().filter(|(_, at)| is_late(at)).map(|(peer, _)| *peer).collect();
        for peer in late {
            self.actions.push_back(Action::Disconnect { peer });
            self.handle_connect_failed(now, &peer);
        }
    }

    /// Neighbours there are, and those that are likely to be.
    fn count_on(&self, now: Instant) -> usize {
        let hoped = self
            .connecting
            .values()
            .filter(|since| now.saturating_duration_since(**since) < CONNECT_HOPE);
        self.neighbours.len() + hoped.count()
    }

    /// The nearest on the ring hold the group together: they are always wanted.
    fn connect_to_nearest(&mut self, now: Instant) {
        let is_there = |heard: &Heard| heard.is_connected || heard.may_try(now);
        let nearest = self.heard.nearest(&self.own, NEAREST_A_SIDE, is_there);
        let missing = nearest.into_iter().filter(|heard| !heard.is_connected);
        for peer in missing.map(|heard| heard.peer).collect::<Vec<_>>() {
            self.connect(now, peer);
        }
    }

    /// Too few: one by chance, some at growing distances, and whoever there is.
    fn connect_to_more(&mut self, now: Instant) {
        let (enough, _) = self.wanted();
        let mut missing = enough.saturating_sub(self.count_on(now));
        if missing == 0 {
            return;
        }
        let may_try = |heard: &Heard| heard.may_try(now);
        let random = self.topology.random.filter(|peer| self.neighbours.contains_key(peer));
        let chosen = match random {
            Some(_) => None,
            None => self.heard.anybody(&mut self.rng, may_try).map(|heard| heard.peer),
        };
        self.topology.random = random.or(chosen);
        let mut wishes: Vec<PeerId> = chosen.into_iter().collect();
        wishes.extend(self.heard.at_distances(&self.own, may_try).map(|heard| heard.peer));
        for _ in 0..missing {
            wishes.extend(self.heard.anybody(&mut self.rng, may_try).map(|heard| heard.peer));
        }
        // Those of networks where we know nobody come first.
        let known: Vec<Network> =
            self.neighbours.values().map(|other| Network::of(other.session.remote.ip())).collect();
        let is_of_known = |peer: &PeerId| {
            let addresses = self.heard.get(peer).into_iter().flat_map(Heard::addresses);
            addresses.map(|address| Network::of(address.socket.ip())).any(|of| known.contains(&of))
        };
        wishes.sort_by_cached_key(is_of_known);
        for peer in wishes {
            if missing > 0 && self.connect(now, peer) {
                missing -= 1;
            }
        }
    }

    fn connect(&mut self, now: Instant, peer: PeerId) -> bool {
        let is_busy = self.neighbours.contains_key(&peer)
            || self.connecting.contains_key(&peer)
            || self.connecting.len() >= MAX_CONNECTING
            || self.is_banned(now, &peer);
        let trusts_hearsay = self.heard.len() <= FEW;
        let Some(heard) = self.heard.get(&peer).filter(|_| !is_busy) else { return false };
        let trusted = heard.trusted_addresses(trusts_hearsay);
        let addresses = trusted.map(|address| address.socket).collect();
        self.connecting.insert(peer, now);
        self.actions.push_back(Action::Connect { peer, addresses });
        true
    }

    /// Neighbours that we would not do without: the nearest on the ring and in time, the one by
    /// chance, and those with whom a stream is exchanged.
    pub(super) fn dear(&self) -> BTreeSet<PeerId> {
        let is_connected = |heard: &Heard| heard.is_connected;
        let nearest = self.heard.nearest(&self.own, NEAREST_A_SIDE, is_connected);
        let quick = self.latencies().into_iter().take(LOWEST_LATENCY).map(|(_, peer)| peer);
        let tied = self
            .neighbours
            .keys()
            .filter(|peer| self.streams.values().any(|stream| stream.is_tied_to(peer)));
        let near = nearest.into_iter().map(|heard| heard.peer);
        near.chain(quick).chain(self.topology.random).chain(tied.copied()).collect()
    }

    /// With too many neighbours, some that we do not need are asked whether we may go.
    fn ask_leave(&mut self, now: Instant) {
        let (_, most) = self.wanted();
        let surplus = self.neighbours.len().saturating_sub(most);
        let is_old = |other: &Neighbour| now.saturating_duration_since(other.since) > OLD;
        if surplus == 0 || (surplus <= BEARABLE && self.neighbours.values().all(is_old)) {
            return;
        }
        let dear = self.dear();
        let may_ask = |asked: Option<Instant>| {
            asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_INTERVAL)
        };
        let mut candidates: Vec<(Option<Duration>, PeerId)> = self
            .neighbours
            .iter()
            .filter(|(peer, neighbour)| {
                neighbour.is_member() && may_ask(neighbour.asked_to_leave) && !dear.contains(peer)
            })
            .map(|(peer, neighbour)| (neighbour.rtt, *peer))
            .collect();
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        for (_, peer) in candidates.into_iter().take(surplus.min(MAX_ASKED)) {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.asked_to_leave = Some(now);
            }
            self.send(peer, Channel::Control, vec![control::ASK_DISCONNECT]);
        }
    }

    /// A neighbour would leave us: fine unless we want it or have too few.
    pub(super) fn on_ask_disconnect(&mut self, peer: PeerId, flow: u64) {
        let (enough, _) = self.wanted();
        if self.neighbours.len() > enough && !self.dear().contains(&peer) {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.is_parting = true;
            }
            self.actions.push_back(Action::Reject { peer, flow });
        }
    }
}

/// A /16 of IPv4, a /32 of IPv6: mostly one provider's, and one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    V4([u8; 2]),
    V6([u8; 4]),
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Self::V4([a, b])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Self::V6([a, b, c, d])
            }
        }
    }
}
