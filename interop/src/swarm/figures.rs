//! What is measured: by each host on its own, summed up at the end. All sums are of integers, so
//! that they come out the same in any order.

use std::time::Duration;

use netgroup::Group;
use serde::{Deserialize, Serialize};

use super::{
    film::{Film, published},
    scenario::Outage,
};

/// How long a message may take to be played in time.
pub(crate) const WINDOW: Duration = Duration::from_secs(8);
/// A newcomer owes nothing of what was published before this.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Times in bins of a hundredth of a second, the last of which holds all above.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Histogram {
    bins: Vec<u64>,
    count: u64,
}

const BIN: Duration = Duration::from_millis(10);
const BINS: usize = 6000;

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: vec![0; BINS + 1], count: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, time: Duration) {
        let bin = (time.as_millis() / BIN.as_millis()) as usize;
        self.bins[bin.min(BINS)] += 1;
        self.count += 1;
    }

    pub fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        self.bins.iter_mut().zip(&other.bins).for_each(|(sum, count)| *sum += count);
    }

    /// The time below which this part of all lies, in milliseconds, to a hundredth of a second.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let wanted = (self.count as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bin = self.bins.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Some(bin.unwrap_or(0) as f64 * BIN.as_millis() as f64)
    }
}

/// What was published within one second, and what became of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Second {
    pub delay: Histogram,
    /// Messages owed to viewers, and those that came in time.
    pub owed: u64,
    pub in_time: u64,
}

/// Of all hosts of one worker.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub delay: Histogram,
    pub start: Histogram,
    /// By second of publication.
    pub seconds: Vec<Second>,
    /// Messages owed to viewers, and those that came in time.
    pub owed: u64,
    pub in_time: u64,
    pub longest_gap: Duration,
    pub media_bytes: u64,
    pub control_bytes: u64,
    /// All that came in datagrams, where there are any.
    pub wire_bytes: u64,
    pub fragments: u64,
    pub duplicates: u64,
    /// Sessions opened by viewers older than a minute, and how long they were that.
    pub late_sessions: u64,
    pub late_time: Duration,
    pub source_sent: u64,
    pub source_published: u64,
    /// Members that others let go for lying, and those let go that had not.
    pub liars_dropped: u64,
    pub honest_dropped: u64,
}

impl Tally {
    pub fn second(&mut self, at: Duration) -> &mut Second {
        let index = at.as_secs() as usize;
        if self.seconds.len() <= index {
            self.seconds.resize_with(index + 1, Second::default);
        }
        &mut self.seconds[index]
    }

    pub fn absorb(&mut self, other: &Self) {
        self.delay.absorb(&other.delay);
        self.start.absorb(&other.start);
        for (index, second) in other.seconds.iter().enumerate() {
            let sum = self.second(Duration::from_secs(index as u64));
            sum.delay.absorb(&second.delay);
            sum.owed += second.owed;
            sum.in_time += second.in_time;
        }
        self.owed += other.owed;
        self.in_time += other.in_time;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        self.media_bytes += other.media_bytes;
        self.control_bytes += other.control_bytes;
        self.wire_bytes += other.wire_bytes;
        self.fragments += other.fragments;
        self.duplicates += other.duplicates;
        self.late_sessions += other.late_sessions;
        self.late_time += other.late_time;
        self.source_sent += other.source_sent;
        self.source_published += other.source_published;
        self.liars_dropped += other.liars_dropped;
        self.honest_dropped += other.honest_dropped;
    }
}

/// One viewer of one film.
#[derive(Debug)]
pub(crate) struct Viewing {
    joined: Duration,
    /// Of what is published from here on, nothing can arrive before the viewer or the run ends.
    until: Duration,
    began: bool,
    last: Option<Duration>,
    in_time: u64,
    /// When the network has no way to it.
    cut_off: Option<Outage>,
}

impl Viewing {
    /// `ends`: when the viewer leaves, or the run ends.
    pub fn new(joined: Duration, ends: Duration, cut_off: Option<Outage>) -> Self {
        let until = ends.saturating_sub(WINDOW);
        Self { joined, until, began: false, last: None, in_time: 0, cut_off }
    }

    /// Something is to be played at `now`: a message of the film, or what a liar made.
    pub fn play(&mut self, tally: &mut Tally, now: Duration, payload: &[u8]) {
        if let Some((at, is_key)) = published(payload).filter(|(at, _)| *at <= now) {
            self.on_message(tally, now, at, is_key);
        }
    }

    /// It is over; what was owed of a film, and what came twice in its group.
    pub fn sum_up(&self, tally: &mut Tally, ends: Duration, film: &Film, group: &Group) {
        let owed = self.owed_messages(|time| film.count_before(time));
        self.owe(tally, |time| film.count_before(time));
        self.end(tally, ends, owed);
        let stats = group.streams().filter_map(|key| group.stream_stats(&key));
        tally.duplicates += stats.map(|stats| stats.duplicates).sum::<u64>();
    }

    fn on_message(&mut self, tally: &mut Tally, now: Duration, published: Duration, is_key: bool) {
        if is_key && !std::mem::replace(&mut self.began, true) {
            tally.start.add(now - self.joined);
        }
        self.note_gap(tally, now);
        self.last = Some(now);
        let delay = now.saturating_sub(published);
        if published >= self.joined {
            tally.delay.add(delay);
            tally.second(published).delay.add(delay);
        }
        if self.is_owed(published) && delay <= WINDOW {
            self.in_time += 1;
            tally.second(published).in_time += 1;
        }
    }

    /// From when to when messages were to be had for this viewer.
    pub fn owed(&self) -> (Duration, Duration) {
        (self.joined + GRACE, self.until)
    }

    fn is_owed(&self, published: Duration) -> bool {
        let (from, until) = self.owed();
        let is_possible = self.cut_off.is_none_or(|outage| !outage.covers(published));
        published >= from && published < until && is_possible
    }

    fn note_gap(&self, tally: &mut Tally, now: Duration) {
        let since = self.last.unwrap_or(self.joined);
        let excused = self.cut_off.map_or(Duration::ZERO, |outage| outage.overlap(since, now));
        tally.longest_gap = tally.longest_gap.max(now.saturating_sub(since + excused));
    }

    /// How many messages were to be had, by a count of those before a time.
    fn owed_messages(&self, count_before: impl Fn(Duration) -> u64) -> u64 {
        let count = |from: Duration, to: Duration| count_before(to.max(from)) - count_before(from);
        let (from, until) = self.owed();
        let cut_off = self.cut_off.map_or(0, |outage| {
            let at = |second: f64| Duration::from_secs_f64(second).clamp(from, until.max(from));
            count(at(outage.at), at(outage.at + outage.lasts))
        });
        count(from, until) - cut_off
    }

    /// Notes what was owed second by second.
    fn owe(&self, tally: &mut Tally, count_before: impl Fn(Duration) -> u64) {
        let (from, until) = self.owed();
        let second = Duration::from_secs(1);
        let mut at = Duration::from_secs(from.as_secs());
        while at < until {
            let (first, last) = (at.max(from), (at + second).min(until));
            let is_possible = self.cut_off.is_none_or(|outage| !outage.covers(first));
            if is_possible && first < last {
                tally.second(at).owed += count_before(last) - count_before(first);
            }
            at += second;
        }
    }

    /// The viewer is gone, or the run is over.
    fn end(&self, tally: &mut Tally, ends: Duration, owed: u64) {
        if owed == 0 {
            return;
        }
        tally.owed += owed;
        tally.in_time += self.in_time;
        if !self.began {
            tally.start.add(ends - self.joined);
        }
        self.note_gap(tally, ends);
    }
}
