//! What one member says of others, of us, or of a stream is one member's word.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use netgroup::{
    Action, Capabilities, Channel, Group, GroupEvent, GroupSpec, Incoming, PeerSession,
    wire::{
        Announcement, Availability, Join, MediaControl, Member, Report, StreamKey, StreamParameters,
    },
};
use rtmfp::{
    crypto::PeerId,
    wire::{Address, Origin},
};

const CONTROL: u64 = 1;
const MEDIA_CONTROL: u64 = 2;
const OWN: PeerId = id(7);
const LIAR: PeerId = id(101);

const fn id(number: u8) -> PeerId {
    PeerId([number; 32])
}

fn spec() -> GroupSpec {
    GroupSpec::new("test", Capabilities::CHANNEL, 1).unwrap()
}

fn address(text: &str) -> Address {
    Address::new(text.parse().unwrap(), Origin::Observed)
}

/// A group, as its neighbours see it.
struct Rig {
    now: Instant,
    group: Group,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        let mut group = Group::new(now, OWN, spec(), None, [7; 32]);
        group.subscribe("stream");
        Self { now, group }
    }

    fn hear(&mut self, peer: PeerId, flow: u64, message: Vec<u8>) {
        self.group.handle_message(self.now, peer, flow, message.into());
    }

    fn join(&mut self, peer: PeerId) {
        let remote = SocketAddr::from(([10, 0, 0, peer.0[0]], 9));
        let (near_nonce, far_nonce) = ([1; 32], [2; 32]);
        let session = PeerSession { is_initiator: false, near_nonce, far_nonce, remote };
        self.group.handle_peer_opened(self.now, peer, session);
        self.group.handle_flow_opened(self.now, peer, CONTROL, Incoming::Control);
        let join = Join { group: spec().group_id(), proof: spec().proof(&[1; 32]), to: OWN };
        self.hear(peer, CONTROL, join.encode());
        self.hear(peer, CONTROL, Report::default().encode());
    }

    fn announce(&mut self, peer: PeerId) {
        self.group.handle_flow_opened(self.now, peer, MEDIA_CONTROL, Incoming::MediaControl);
        let (name, key) = ("stream".into(), StreamKey([5; 32]));
        let announcement = Announcement { name, key, parameters: StreamParameters::default() };
        self.hear(peer, MEDIA_CONTROL, MediaControl::Announce(announcement).encode());
    }

    /// A member that has the stream.
    fn meet(&mut self, peer: PeerId) {
        self.join(peer);
        self.announce(peer);
    }

    fn show(&mut self, peer: PeerId, last: u64) {
        let map = Availability::of(last.saturating_sub(500), last, |_| u64::MAX);
        self.hear(peer, MEDIA_CONTROL, MediaControl::Availability(map).encode());
    }

    /// What it tells a neighbour that reports.
    fn report_to(&mut self, peer: PeerId) -> Report {
        while self.group.poll_action().is_some() {}
        self.now += Duration::from_secs(2);
        self.hear(peer, CONTROL, Report::default().encode());
        let sent =
            std::iter::from_fn(|| self.group.poll_action()).filter_map(|action| match action {
                Action::Send(sent) if sent.peer == peer && sent.channel == Channel::Control => {
                    Report::decode(&sent.bytes)
                }
                _ => None,
            });
        sent.last().expect("reports are exchanged")
    }
}

#[test]
fn who_spoke_first_of_a_stream_does_not_have_the_others_dropped() {
    let mut rig = Rig::new();
    rig.meet(LIAR);
    rig.show(LIAR, 1);
    let honest: Vec<PeerId> = (20..30).map(id).collect();
    for peer in &honest {
        rig.meet(*peer);
    }
    for step in 0..200 {
        rig.now += Duration::from_millis(50);
        rig.show(honest[step / 2 % 10], 8000 + step as u64 * 4);
        rig.show(LIAR, 1);
        rig.group.handle_timeout(rig.now);
    }
    let events = std::iter::from_fn(|| rig.group.poll_event());
    let dropped = events.filter(|event| matches!(event, GroupEvent::NeighborBanned { .. }));
    assert_eq!(dropped.collect::<Vec<_>>(), []);
    let newest = rig.group.stream_stats(&StreamKey([5; 32])).unwrap().newest;
    assert!(newest > 8000, "{newest}");
}

#[test]
fn one_members_word_of_an_address_is_not_passed_on() {
    let mut rig = Rig::new();
    let (victim, invented) = (address("203.0.113.7:53"), id(200));
    [LIAR, id(20), id(21)].into_iter().for_each(|peer| rig.join(peer));
    let tell = |rig: &mut Rig, by| {
        rig.now += Duration::from_secs(2);
        let member = Member { peer: invented, age: 0, addresses: vec![victim] };
        rig.hear(by, CONTROL, Report { members: vec![member], ..Report::default() }.encode());
    };
    let told = |report: Report| {
        report.members.into_iter().find(|member| member.peer == invented).expect("it was named")
    };
    tell(&mut rig, LIAR);
    assert_eq!(told(rig.report_to(id(20))).addresses, []);
    tell(&mut rig, id(21));
    assert_eq!(told(rig.report_to(id(20))).addresses, [victim]);
}

#[test]
fn where_we_are_is_what_two_say() {
    let mut rig = Rig::new();
    let (victim, true_one) = (address("203.0.113.7:53"), address("198.51.100.2:4000"));
    [LIAR, id(20), id(21)].into_iter().for_each(|peer| rig.join(peer));
    let tell = |rig: &mut Rig, by, observed| {
        rig.now += Duration::from_secs(2);
        rig.hear(by, CONTROL, Report { observed: Some(observed), ..Report::default() }.encode());
    };
    tell(&mut rig, id(20), true_one);
    assert_eq!(rig.report_to(id(21)).own, [true_one], "there is no other word yet");
    tell(&mut rig, LIAR, victim);
    assert_eq!(rig.report_to(id(20)).own, []);
    tell(&mut rig, id(21), true_one);
    assert_eq!(rig.report_to(LIAR).own, [true_one]);
}

#[test]
fn flows_of_a_stream_that_is_over_are_ended() {
    let mut rig = Rig::new();
    rig.meet(id(20));
    while rig.group.poll_action().is_some() {}
    rig.now += Duration::from_secs(3600);
    rig.group.handle_timeout(rig.now);
    let actions: Vec<Action> = std::iter::from_fn(|| rig.group.poll_action()).collect();
    let channel = Channel::MediaControl(StreamKey([5; 32]));
    assert!(actions.contains(&Action::Finish { peer: id(20), channel }), "{actions:?}");
    assert!(actions.contains(&Action::Reject { peer: id(20), flow: MEDIA_CONTROL }), "{actions:?}");
}

#[test]
fn between_one_word_and_another_nobody_is_dropped() {
    let mut rig = Rig::new();
    rig.meet(LIAR);
    rig.show(LIAR, 1);
    rig.meet(id(20));
    for step in 0..20 {
        rig.now += Duration::from_millis(500);
        rig.show(id(20), 8000 + step * 40);
        rig.group.handle_timeout(rig.now);
    }
    let mut events = std::iter::from_fn(|| rig.group.poll_event());
    assert!(!events.any(|event| matches!(event, GroupEvent::NeighborBanned { .. })));
}
