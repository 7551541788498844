use rand::SeedableRng;

use super::*;
use crate::multicast::misconduct::Misconduct;
use crate::{
    StreamEvent,
    wire::{StreamKey, StreamParameters},
};

const SIZE: usize = 500;
/// Fragments a second of the streams here.
const STEP: Duration = Duration::from_millis(10);

fn relay(seed: u8) -> PeerId {
    PeerId([seed; 32])
}

struct Rig {
    now: Instant,
    stream: Stream,
    rng: StdRng,
    /// Fragments that exist.
    last: u64,
    played: usize,
    suspects: Vec<(PeerId, Misconduct)>,
    ended: bool,
    /// It says what it has, and pushes nothing.
    silent: Option<u8>,
}

impl Rig {
    /// A subscriber with four relays.
    fn new() -> Self {
        let now = Instant::now();
        let (name, parameters) = ("stream".into(), StreamParameters::default());
        let announcement = Announcement { name, key: StreamKey([9; 32]), parameters };
        let mut stream = Stream::subscribed(now, relay(1), announcement);
        for seed in 1..=4 {
            stream.add_neighbour(now, relay(seed), parameters);
        }
        let rng = StdRng::seed_from_u64(1);
        Self {
            now,
            stream,
            rng,
            last: 0,
            played: 0,
            suspects: Vec::new(),
            ended: false,
            silent: None,
        }
    }

    /// One that has played for a while.
    fn playing() -> Self {
        let mut rig = Self::new();
        rig.run(Duration::from_secs(5));
        assert!(rig.played > 400, "{}", rig.played);
        rig
    }

    fn hear(&mut self, from: u8, message: MediaControl) {
        self.stream.on_control(self.now, relay(from), message, &mut self.rng);
        self.settle();
    }

    fn receive(&mut self, from: u8, id: u64) {
        let start = FragmentStart { kind: 9, timestamp: id as u32 * 10 };
        let first = if id.is_multiple_of(50) { 0x17 } else { 0x27 };
        let payload = [&[first, 1][..], &[0; SIZE]].concat();
        let message = Fragment::encode(id, Some(start), 0, &payload);
        self.stream.on_fragment(self.now, relay(from), message, &mut self.rng);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Event(StreamEvent::Message(_)) => self.played += 1,
                Output::Event(StreamEvent::Ended) => self.ended = true,
                Output::Suspect(peer, of) => self.suspects.push((peer, of)),
                _ => {}
            }
        }
    }

    /// The stream goes on: each relay pushes what it was asked for and says what it has.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += STEP;
            self.last += 1;
            let last = self.last;
            let pushers: Vec<(PeerId, u32)> = self.stream.pushers().collect();
            if pushers.is_empty() {
                self.receive(1, last);
            }
            for seed in 1..=4 {
                if self.silent != Some(seed) && self.stream.pushers.asks(&relay(seed), last) {
                    self.receive(seed, last);
                }
            }
            if last.is_multiple_of(10) {
                let map = Availability::of(last.saturating_sub(300), last, |_| u64::MAX);
                self.hear((last / 10 % 4) as u8 + 1, MediaControl::Availability(map));
            }
            if self.stream.next_timeout() <= self.now {
                self.stream.handle_timeout(self.now, &mut self.rng);
                self.settle();
            }
        }
    }

    /// For the next seconds, everything is played.
    fn assert_plays_on(&mut self) {
        let before = self.played;
        self.run(Duration::from_secs(10));
        assert!(self.played - before > 950, "{} of 1000", self.played - before);
    }
}

#[test]
fn one_fragment_far_ahead_stops_nothing() {
    let mut rig = Rig::playing();
    for _ in 0..5 {
        let far = rig.last + 30_000;
        rig.receive(2, far);
    }
    assert!(rig.suspects.contains(&(relay(2), Misconduct::FarFragment)));
    rig.assert_plays_on();
    assert!(rig.stream.stats().newest <= rig.last);
}

#[test]
fn fragments_a_little_ahead_are_neither_told_nor_passed_on() {
    let mut rig = Rig::playing();
    let (last, ahead) = (rig.last, rig.last + 1500);
    rig.hear(3, MediaControl::PushMask(0xff));
    rig.receive(2, ahead);
    assert_eq!(rig.stream.whole_maps().next().map(|map| map.last), Some(last));
    rig.assert_plays_on();
}

#[test]
fn one_map_far_ahead_stops_nothing() {
    let mut rig = Rig::playing();
    let far = rig.last + 30_000;
    let map = Availability::of(rig.last, far, |_| u64::MAX);
    rig.hear(2, MediaControl::Availability(map));
    assert_eq!(rig.suspects, [(relay(2), Misconduct::FarMap)]);
    rig.assert_plays_on();
}

#[test]
fn a_fragment_of_long_ago_does_not_grow_the_store() {
    let mut rig = Rig::playing();
    rig.run(Duration::from_secs(60));
    let first = rig.stream.store.first();
    rig.receive(2, 3);
    assert_eq!(rig.stream.store.first(), first);
    rig.assert_plays_on();
}

#[test]
fn an_end_told_too_early_by_one_is_not_believed_and_the_true_one_is() {
    let mut rig = Rig::playing();
    rig.hear(2, MediaControl::End(rig.last + 1));
    rig.assert_plays_on();
    assert!(!rig.ended);
    // A lie about what comes does not hide the true end.
    let ahead = rig.last + 40;
    rig.receive(2, ahead);
    for seed in 1..=3 {
        rig.hear(seed, MediaControl::End(rig.last + 1));
    }
    rig.now += END_PATIENCE * 2;
    rig.stream.handle_timeout(rig.now, &mut rig.rng);
    rig.settle();
    assert!(rig.ended);
}

#[test]
fn parameters_are_not_one_members_word() {
    let mut rig = Rig::new();
    let odd = StreamParameters { window: Duration::from_millis(1), ..StreamParameters::default() };
    rig.stream.add_neighbour(rig.now, relay(9), odd);
    assert_eq!(rig.stream.announcement().parameters, StreamParameters::default());
    rig.run(Duration::from_secs(5));
    rig.assert_plays_on();
}

#[test]
fn a_dense_stream_fits_into_its_window() {
    // 100 Mbit/s for ten seconds.
    let now = Instant::now();
    let (name, parameters) = ("stream".into(), StreamParameters::default());
    let announcement = Announcement { name, key: StreamKey([9; 32]), parameters };
    let mut stream = Stream::published(now, announcement);
    let payload = Bytes::from(vec![0x27; 600]);
    for id in 0..120_000u32 {
        stream.publish(now + Duration::from_micros(80) * id, 9, id, &payload);
    }
    assert!((1..=120_000).all(|id| stream.store.has(id)));
}

/// A publisher with ten neighbours that all want everything.
fn crowded_source(now: Instant) -> Stream {
    let (name, parameters) = ("stream".into(), StreamParameters::default());
    let announcement = Announcement { name, key: StreamKey([9; 32]), parameters };
    let (mut stream, mut rng) = (Stream::published(now, announcement), StdRng::seed_from_u64(1));
    for seed in 1..=10 {
        stream.add_neighbour(now, relay(seed), parameters);
        stream.on_control(now, relay(seed), MediaControl::PushMask(0xff), &mut rng);
    }
    stream
}

#[test]
fn a_full_source_takes_back_places_evenly_and_keeps_one_of_each_residue() {
    let (mut now, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
    let mut stream = crowded_source(now);
    let takers = |stream: &Stream| {
        [0, 1, 2, 3, 4, 5, 6, 7].map(|residue| {
            let gets = |other: &&Neighbour| other.taker.gets >> residue & 1 == 1;
            stream.neighbours.values().filter(gets).count()
        })
    };
    assert_eq!(takers(&stream), [4; 8]);
    stream.set_uplink(Uplink::Full, 1);
    let mut steps = Vec::new();
    for id in 1..=60 {
        now += Duration::from_millis(100);
        stream.publish(now, 9, id, &Bytes::from_static(&[0x27; 600]));
        for seed in 1..=10 {
            let map = Availability::of(1, id.into(), |_| u64::MAX);
            stream.on_control(now, relay(seed), MediaControl::Availability(map), &mut rng);
            stream.set_way(&relay(seed), Way::default());
        }
        stream.handle_timeout(now, &mut rng);
        steps.push(takers(&stream));
    }
    assert!(
        steps.iter().all(|counts| counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1)
    );
    assert_eq!(takers(&stream), [1; 8]);
}

#[test]
fn a_full_source_answers_few_pulls_but_some() {
    let now = Instant::now();
    let answered = |uplink| {
        let (mut stream, mut rng) = (crowded_source(now), StdRng::seed_from_u64(1));
        for id in 0..200 {
            stream.publish(now, 9, id, &Bytes::from(vec![0x27; 600]));
        }
        stream.set_uplink(uplink, 1);
        let before = stream.stats().pulls_refused;
        for id in 1..=200 {
            let asker = relay((id % 10) as u8 + 1);
            stream.set_way(&asker, Way::default());
            stream.on_control(now, asker, MediaControl::Pull(id), &mut rng);
        }
        200 - (stream.stats().pulls_refused - before)
    };
    let (free, full) = (answered(Uplink::Free), answered(Uplink::Full));
    assert_eq!(free, 200);
    assert!((10..60).contains(&full), "{full}");
}

#[test]
fn a_stream_that_was_said_to_have_ended_may_go_on() {
    let mut rig = Rig::playing();
    for seed in 2..=3 {
        rig.hear(seed, MediaControl::End(rig.last + 1));
    }
    rig.now += END_PATIENCE * 2;
    rig.stream.handle_timeout(rig.now, &mut rig.rng);
    rig.settle();
    assert!(rig.ended);
    rig.assert_plays_on();
    assert!(!rig.stream.has_ended());
}

#[test]
fn junk_is_no_service() {
    let now = Instant::now();
    let (mut stream, mut rng) = (crowded_source(now), StdRng::seed_from_u64(1));
    let is_free_rider = |stream: &mut Stream| {
        let neighbour = stream.neighbours.get_mut(&relay(1)).unwrap();
        for miss in 1..=5 {
            neighbour.miss(now + Duration::from_secs(2) * miss);
        }
        neighbour.is_free_rider()
    };
    assert!(is_free_rider(&mut stream));
    stream.on_fragment(now, relay(1), Fragment::encode(1 << 53, None, 0, b""), &mut rng);
    assert!(stream.neighbours.get(&relay(1)).unwrap().is_free_rider());
    stream.publish(now, 9, 1, &Bytes::from_static(&[0x27; 600]));
    stream.on_fragment(now, relay(1), Fragment::encode(1, None, 0, b""), &mut rng);
    assert!(!stream.neighbours.get(&relay(1)).unwrap().is_free_rider());
}

#[test]
fn what_is_too_old_for_others_is_not_pushed() {
    let mut rig = Rig::playing();
    rig.stream.add_neighbour(rig.now, relay(9), StreamParameters::default());
    rig.stream.neighbours.get_mut(&relay(1)).unwrap().is_source = true;
    let sent = |rig: &mut Rig, id: u64| {
        let before = rig.stream.stats().bytes_sent;
        rig.hear(9, MediaControl::PushMask(0xff));
        rig.stream.set_way(&relay(9), Way::default());
        rig.receive(1, id);
        rig.stream.stats().bytes_sent - before
    };
    let missed = rig.last + 1;
    rig.last += 1;
    rig.run(Duration::from_secs(9));
    assert_eq!(sent(&mut rig, missed), 0);
    let next = rig.last + 1;
    assert!(sent(&mut rig, next) > 0);
}

#[test]
fn who_leaps_far_ahead_does_not_keep_its_residues() {
    let mut rig = Rig::playing();
    let residues = |rig: &Rig| {
        let pushers = rig.stream.pushers().filter(|(peer, _)| *peer == relay(2));
        pushers.map(|(_, count)| count).sum::<u32>()
    };
    assert!(residues(&rig) > 0);
    rig.silent = Some(2);
    let mut kept = 0;
    for _ in 0..40 {
        for far in 1000..1008 {
            rig.receive(2, rig.last + far);
        }
        rig.run(Duration::from_millis(500));
        kept += residues(&rig);
    }
    assert!(kept < 20, "{kept}");
}

#[test]
fn who_never_gave_anything_loses_its_place_at_the_first_silence() {
    let now = Instant::now();
    let places_after_a_miss = |has_served: bool| {
        let mut stream = crowded_source(now);
        assert_eq!(stream.neighbours.get(&relay(1)).unwrap().taker.gets, 0xff);
        let neighbour = stream.neighbours.get_mut(&relay(1)).unwrap();
        if has_served {
            neighbour.serve(now);
        }
        neighbour.miss(now);
        stream.assign_places(now);
        stream.neighbours.get(&relay(1)).unwrap().taker.gets
    };
    assert_eq!(places_after_a_miss(true), 0xff);
    assert_eq!(places_after_a_miss(false), 0);
}

#[test]
fn a_full_relay_answers_those_who_push_to_it() {
    let mut rig = Rig::playing();
    rig.stream.set_uplink(Uplink::Full, 1);
    let is_answered = |rig: &mut Rig, from: u8, id: u64| {
        let before = rig.stream.stats().bytes_sent;
        rig.hear(from, MediaControl::Pull(id));
        rig.stream.stats().bytes_sent > before
    };
    rig.stream.add_neighbour(rig.now, relay(9), StreamParameters::default());
    let id = rig.last;
    let pusher = (1..=4).find(|seed| rig.stream.pushers.asks(&relay(*seed), id)).unwrap();
    assert!(!is_answered(&mut rig, 9, id));
    rig.now += Duration::from_secs(1);
    assert!(is_answered(&mut rig, pusher, id));
    assert!((0..100).any(|_| !is_answered(&mut rig, pusher, id)), "nor without end");
}

/// A relay that has played for a while, and what so many members get of it who ask for all.
fn relay_with_askers(count: u8, uplink: Uplink) -> (Rig, Vec<u32>) {
    let mut rig = Rig::playing();
    rig.stream.set_uplink(uplink, 1);
    let askers = 11..11 + count;
    for seed in askers.clone() {
        rig.stream.add_neighbour(rig.now, relay(seed), StreamParameters::default());
        rig.hear(seed, MediaControl::PushMask(0xff));
    }
    let gets = |seed| rig.stream.neighbours.get(&relay(seed)).unwrap().taker.gets.count_ones();
    let gets = askers.map(gets).collect();
    (rig, gets)
}

#[test]
fn who_asks_a_free_relay_gets_something_at_once() {
    let (_, gets) = relay_with_askers(3, Uplink::Free);
    assert!(gets[2] > 0, "{gets:?}");
    let (_, gets) = relay_with_askers(3, Uplink::Busy);
    assert_eq!(gets, [8, 8, 0]);
}

#[test]
fn who_pulls_much_does_not_lose_its_places_for_that() {
    let gets_after = |pulls: u64| {
        let (mut rig, _) = relay_with_askers(1, Uplink::Free);
        let newest = rig.last;
        for id in newest - pulls..newest {
            rig.hear(11, MediaControl::Pull(id));
        }
        // As much waits for it in both cases.
        let way = Way { backlog: 20_000, ..Way::default() };
        for _ in 0..10 {
            rig.stream.set_way(&relay(11), way);
            rig.run(Duration::from_millis(100));
        }
        rig.stream.neighbours.get(&relay(11)).unwrap().taker.gets.count_ones()
    };
    assert!(gets_after(0) < 8);
    assert_eq!(gets_after(24), 8);
}

#[test]
fn a_busy_relay_answers_pulls_for_half_of_the_stream() {
    let answered_in_ten_seconds = |uplink| {
        let (mut rig, _) = relay_with_askers(1, uplink);
        rig.hear(11, MediaControl::PushMask(0));
        let mut sent = 0;
        for _ in 0..1000 {
            rig.run(STEP);
            rig.stream.set_uplink(uplink, 1);
            rig.stream.set_way(&relay(11), Way::default());
            let before = rig.stream.stats().bytes_sent;
            rig.hear(11, MediaControl::Pull(rig.last));
            sent += u32::from(rig.stream.stats().bytes_sent > before);
        }
        sent
    };
    assert_eq!(answered_in_ten_seconds(Uplink::Free), 1000);
    let busy = answered_in_ten_seconds(Uplink::Busy);
    assert!((450..700).contains(&busy), "{busy}");
}
