//! A group under whatever its members send, and whatever becomes of their sessions.

use std::time::{Duration, Instant};

use bolero::check;
use bytes::Bytes;
use netgroup::{
    Capabilities, Channel, Group, GroupSpec, Incoming, Parting, PeerSession, Uplink, Way,
    wire::{
        Announcement, Availability, Fragment, FragmentStart, Join, MediaControl, StreamKey,
        StreamParameters,
    },
};
use rtmfp::crypto::PeerId;

use crate::{assert_heap_is_bounded, script::Script};

const MAX_STEPS: usize = 400;
const MAX_ACTIONS: usize = 5_000;
const OWN: PeerId = PeerId([7; 32]);

#[test]
fn any_messages_of_members() {
    check!().for_each(|input: &[u8]| {
        let mut script = Script::new(input);
        let mut run = Run::new();
        for _ in 0..MAX_STEPS {
            if script.is_over() {
                break;
            }
            run.step(&mut script);
        }
        assert_heap_is_bounded();
    });
}

struct Run {
    now: Instant,
    spec: GroupSpec,
    group: Group,
    published: StreamKey,
}

fn key(script: &mut Script<'_>) -> StreamKey {
    StreamKey([script.below(12) as u8; 32])
}

fn peer(script: &mut Script<'_>) -> PeerId {
    PeerId([8 + script.below(5) as u8; 32])
}

impl Run {
    fn new() -> Self {
        let now = Instant::now();
        let spec = GroupSpec::new("test", Capabilities::CHANNEL, 1).expect("a name");
        let mut group = Group::new(now, OWN, spec.clone(), None, [3; 32]);
        group.subscribe("stream");
        let published = group.publish(now, "ours", StreamParameters::default());
        Self { now, spec, group, published }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let (now, from) = (self.now, peer(script));
        match script.below(12) {
            0 => self.join(from),
            1 => {
                let parting = if script.is_rare(128) { Parting::Left } else { Parting::Lost };
                self.group.handle_peer_closed(now, &from, parting);
            }
            2 => self.open_flow(from, script),
            3 => self.group.handle_flow_finished(now, from, script.below(8).try_into().unwrap()),
            4 => {
                let channel = match script.below(3) {
                    0 => Channel::Control,
                    1 => Channel::MediaControl(key(script)),
                    _ => Channel::Media(key(script)),
                };
                self.group.handle_flow_rejected(now, from, channel);
            }
            5 => self.group.handle_connect_failed(now, &from),
            6 => {
                let payload = Bytes::copy_from_slice(script.bytes(3_000));
                self.group.publish_message(now, &self.published, 9, 5, &payload);
            }
            7 if script.is_rare(128) => {
                let backlog = script.u16().into();
                let rtt = Some(Duration::from_millis(script.byte().into()));
                let window = Some(script.u16().into());
                let uplink = match script.below(3) {
                    0 => Uplink::Free,
                    1 => Uplink::Busy,
                    _ => Uplink::Full,
                };
                self.group.set_uplink(uplink, script.byte().into());
                self.group.set_way(&from, Way { rtt, backlog, window });
            }
            7 => self.now += Duration::from_millis(script.u16().into()),
            _ => {
                let message = message(script);
                self.group.handle_message(now, from, script.below(8) as u64, message);
            }
        }
        if self.group.poll_timeout() <= self.now {
            self.group.handle_timeout(self.now);
        }
        self.drain();
    }

    fn join(&mut self, from: PeerId) {
        let session = PeerSession {
            is_initiator: false,
            near_nonce: [1; 32],
            far_nonce: [2; 32],
            remote: ([192, 0, 2, 9], 9).into(),
        };
        self.group.handle_peer_opened(self.now, from, session);
        self.group.handle_flow_opened(self.now, from, 1, Incoming::Control);
        let join = Join { group: self.spec.group_id(), proof: self.spec.proof(&[1; 32]), to: OWN };
        self.group.handle_message(self.now, from, 1, join.encode().into());
    }

    fn open_flow(&mut self, from: PeerId, script: &mut Script<'_>) {
        let kind = match script.below(3) {
            0 => Incoming::Control,
            1 => Incoming::MediaControl,
            _ => Incoming::Media(key(script)),
        };
        self.group.handle_flow_opened(self.now, from, script.below(8) as u64, kind);
    }

    fn drain(&mut self) {
        let actions = std::iter::from_fn(|| self.group.poll_action()).take(MAX_ACTIONS).count();
        assert!(actions < MAX_ACTIONS, "there is no end to what it wants");
        while self.group.poll_event().is_some() {}
    }
}

fn message(script: &mut Script<'_>) -> Bytes {
    let message = match script.below(8) {
        0 => return Bytes::copy_from_slice(script.bytes(200)),
        1 => MediaControl::Announce(Announcement {
            name: ["stream", "other"][script.below(2)].to_owned(),
            key: key(script),
            parameters: StreamParameters::default(),
        }),
        2 => MediaControl::Pull(script.number()),
        3 => MediaControl::PushMask(script.byte()),
        4 => {
            let last = script.number();
            let first = last.saturating_sub(script.u16().into());
            let holes = u64::from(script.byte() % 5) + 1;
            let word =
                (0..64).filter(|bit| bit % holes == 0).fold(0u64, |word, bit| word | 1 << bit);
            MediaControl::Availability(Availability::of(first, last, |_| word))
        }
        5 if script.is_rare(20) => MediaControl::End(script.number()),
        _ => {
            let kind = [8, 9, 0x12, 0x0f][script.below(4)];
            let start = script
                .is_rare(128)
                .then(|| FragmentStart { kind, timestamp: script.number() as u32 });
            let (id, remaining) = (script.number().max(1), script.below(3));
            return Fragment::encode(id, start, remaining, script.bytes(50));
        }
    };
    message.encode().into()
}
