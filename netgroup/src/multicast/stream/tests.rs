use rand::SeedableRng;

use super::*;
use crate::wire::{StreamKey, StreamParameters};

const RELAYS: [PeerId; 2] = [PeerId([1; 32]), PeerId([2; 32])];

struct Rig {
    now: Instant,
    stream: Stream,
    rng: StdRng,
    out: Vec<Output>,
    events: Vec<StreamEvent>,
}

impl Rig {
    /// A subscriber with two relays, the first of which has fragments 1 to 10, which arrived.
    fn new() -> Self {
        let now = Instant::now();
        let (name, parameters) = ("stream".into(), StreamParameters::default());
        let announcement = Announcement { name, key: StreamKey([9; 32]), parameters };
        let stream = Stream::subscribed(now, announcement);
        let (out, events) = Default::default();
        let mut rig = Self { now, stream, rng: StdRng::seed_from_u64(1), out, events };
        RELAYS.iter().for_each(|peer| rig.stream.add_neighbour(*peer, &mut rig.out));
        rig.hear(MediaControl::Availability(Availability::of(1, 10, |_| true)));
        for id in 1..=10 {
            let start = FragmentStart { kind: 9, timestamp: 0 };
            let message = Fragment::encode(id, Some(start), 0, b"x");
            let (out, events) = (&mut rig.out, &mut rig.events);
            rig.stream.on_fragment(rig.now, RELAYS[0], message, out, events);
        }
        rig.pass(Duration::from_secs(1));
        rig
    }

    fn hear(&mut self, message: MediaControl) {
        let (out, events) = (&mut self.out, &mut self.events);
        self.stream.on_control(self.now, RELAYS[0], message, &mut self.rng, out, events);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let (out, events) = (&mut self.out, &mut self.events);
        self.stream.handle_timeout(self.now, &mut self.rng, out, events);
    }

    fn has_ended(&self) -> bool {
        self.events.contains(&StreamEvent::Ended)
    }
}

#[test]
fn after_a_standstill_a_leap_is_a_new_beginning() {
    const FAR: u64 = 1 << 20;
    let mut rig = Rig::new();
    let leap = MediaControl::Availability(Availability::of(FAR - 10, FAR, |_| true));
    rig.hear(leap.clone());
    assert_eq!(rig.stream.stats().newest, 10);
    rig.pass(STANDSTILL);
    rig.hear(leap);
    assert_eq!(rig.stream.stats().newest, FAR);
    assert!(!rig.stream.has_fragments());
}

#[test]
fn a_relay_is_believed_that_a_stream_ends_when_nothing_more_comes() {
    let mut rig = Rig::new();
    rig.out.clear();
    rig.hear(MediaControl::End(5));
    assert!(rig.out.is_empty(), "more than that is known of it");
    rig.hear(MediaControl::End(11));
    assert_eq!(rig.out, [Output::Control(RELAYS[1], MediaControl::End(11))]);
    assert!(!rig.has_ended());
    rig.pass(END_PATIENCE);
    assert!(rig.has_ended());
}

#[test]
fn an_end_that_is_none_is_forgotten() {
    let mut rig = Rig::new();
    rig.hear(MediaControl::End(11));
    rig.hear(MediaControl::Availability(Availability::of(1, 12, |_| true)));
    rig.pass(END_PATIENCE * 2);
    assert!(!rig.has_ended());
}
