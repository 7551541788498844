use super::*;
use crate::flv::TagKind;

/// Between tags of the source, by its clock.
const PERIOD_MS: u64 = 200;
const CUSHION: Duration = Duration::from_millis(1000);
const HOUR: Duration = Duration::from_secs(3600);
const OUTAGE: Duration = Duration::from_secs(20);

/// A live source in virtual time: its clock, its stamps, what of it has come.
struct Source {
    start: Instant,
    /// Its clock is faster than ours by this many parts in a million.
    drift: i64,
    given: u64,
    first_stamp: u32,
}

impl Source {
    /// When its next tag comes, by our clock: late by up to 100 ms, and after an outage of 20 s every
    /// two hours.
    fn next_at(&self) -> Instant {
        let own = self.given * PERIOD_MS * 1000;
        let ours = own.cast_signed() - own.cast_signed() * self.drift / 1_000_000;
        let jitter = (self.given * 7919 % 101) * 1000;
        let outages = OUTAGE * self.outages();
        self.start + Duration::from_micros(ours.cast_unsigned() + jitter) + outages
    }

    fn outages(&self) -> u32 {
        (self.given * PERIOD_MS / (2 * HOUR.as_millis() as u64)) as u32
    }

    fn stamp(&self) -> u32 {
        self.first_stamp.wrapping_add((self.given * PERIOD_MS) as u32)
    }
}

/// What became of a day.
struct Day {
    sent: u64,
    /// The longest from arrival to sending, by hour.
    delays: Vec<Duration>,
    most_held: usize,
}

fn run_a_day(drift: i64) -> Day {
    let start = Instant::now();
    let mut source = Source { start, drift, given: 0, first_stamp: u32::MAX - 100_000 };
    let mut desk = Desk::new(start, Vec::new());
    let mut arrivals: VecDeque<(u32, Instant)> = VecDeque::new();
    let mut day = Day { sent: 0, delays: vec![Duration::ZERO; 24], most_held: 0 };
    let (mut now, mut newest, mut last_outages) = (start, 0u32, 0);
    while now < start + 24 * HOUR {
        let backlog = |stamp: u32| {
            let ahead = newest.wrapping_sub(stamp).cast_signed().max(0).unsigned_abs();
            Some((Duration::from_millis(ahead.into()), CUSHION))
        };
        match desk.next(now, backlog).unwrap() {
            Next::Send(tags) => {
                for tag in tags.iter().filter(|tag| tag.is_media()) {
                    let (stamp, arrived) = arrivals.pop_front().expect("it came before it went");
                    assert_eq!(tag.payload[2..], stamp.to_be_bytes(), "in order, none lost");
                    let hour = (now - start).as_secs() as usize / 3600;
                    day.delays[hour] = day.delays[hour].max(now - arrived);
                    day.sent += 1;
                }
                continue;
            }
            Next::Wait(until) => now = until.min(source.next_at()).max(now),
            Next::Read => now = source.next_at().max(now),
            Next::Say(_) | Next::End => unreachable!("it says and ends nothing"),
        }
        while source.next_at() <= now {
            if std::mem::replace(&mut last_outages, source.outages()) != source.outages() {
                desk.take(Mixed::Break);
            }
            let stamp = source.stamp();
            let payload = [&[0x12, 1][..], &stamp.to_be_bytes()].concat().into();
            let tag = Tag { kind: TagKind::Video, timestamp: stamp, payload };
            desk.take(Mixed::Tag(tag, Some(now - start)));
            arrivals.push_back((stamp, now));
            (newest, source.given) = (stamp, source.given + 1);
        }
        day.most_held = day.most_held.max(arrivals.len());
    }
    day
}

#[test]
fn a_day_brings_neither_drift_nor_growth() {
    // Ordinary quartz is off by up to a hundred parts in a million; this is five times that.
    for drift in [-500, 0, 500] {
        let day = run_a_day(drift);
        assert!(day.sent > 24 * 3600 * 1000 / PERIOD_MS - 2000, "{drift}: {} sent", day.sent);
        let limit = CUSHION + Duration::from_millis(500);
        assert!(day.delays.iter().all(|delay| *delay < limit), "{drift}: {:?}", day.delays);
        assert!(day.most_held < 20, "{drift}: {} held", day.most_held);
    }
}

#[test]
fn a_recording_is_paced_over_loops_and_the_end_of_32_bits() {
    let start = Instant::now();
    let mut desk = Desk::new(start, Vec::new());
    let (mut now, mut sent) = (start, 0u64);
    let film_ms: u64 = 10_000_000;
    let (mut fed, mut round) = (0u64, 0);
    while round < 900 {
        match desk.next(now, |_| None).unwrap() {
            Next::Send(tags) => sent += tags.iter().filter(|tag| tag.is_media()).count() as u64,
            Next::Wait(until) => now = until,
            Next::Read => {
                if fed == film_ms {
                    desk.take(Mixed::Break);
                    (fed, round) = (0, round + 1);
                }
                let payload = bytes::Bytes::from_static(&[0x12, 1]);
                let tag = Tag { kind: TagKind::Video, timestamp: fed as u32, payload };
                desk.take(Mixed::Tag(tag, None));
                fed += 50_000;
            }
            Next::Say(_) | Next::End => unreachable!("it says and ends nothing"),
        }
    }
    let played = (now - start).as_millis() as u64;
    assert!(played > 2 << 32, "over a hundred days");
    let expected = 900 * (199 * 50_000 + 40);
    assert!(played.abs_diff(expected) < 100_000, "{played} ms of {expected}");
    assert!(sent >= 900 * 200 - 2, "{sent}");
}
