//! Which of several publications of one name is played: the one that plays, until it ends or falls
//! silent. What another one says meanwhile is kept, so that nothing is lost when it takes over.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use netgroup::{Delivery, StreamEvent, wire::StreamKey};

/// If another publication plays while ours has been silent this long, we change; and this long, if
/// only one member speaks of it, who did not publish it.
const SWITCH_AFTER: Duration = Duration::from_secs(2);
const SWITCH_TO_DOUBTFUL_AFTER: Duration = Duration::from_secs(10);
/// Who said something within this time is casting.
const IS_CASTING: Duration = Duration::from_secs(4);
/// What may be kept of one that does not play yet.
const MAX_KEPT: usize = 4096;
const MAX_KEPT_BYTES: usize = 16 << 20;
/// Publications remembered.
const MAX_KNOWN: usize = 16;

/// What is to be played next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Another broadcast begins.
    Began {
        /// With its very first message.
        from_start: bool,
    },
    /// Its next message.
    Message(Delivery),
    /// It is over.
    Ended,
}

#[derive(Debug)]
struct Publication {
    last: Option<Instant>,
    /// Nothing of it was missed so far.
    from_start: bool,
    kept: Vec<Delivery>,
    kept_bytes: usize,
}

/// The publications of one name.
#[derive(Debug, Default)]
pub struct Choice {
    known: BTreeMap<StreamKey, Publication>,
    playing: Option<StreamKey>,
}

impl Choice {
    /// The publication that plays, or played last.
    pub fn playing(&self) -> Option<StreamKey> {
        self.playing
    }

    /// How many cast at this time.
    pub fn casters(&self, now: Instant) -> usize {
        let is_casting = |publication: &&Publication| {
            publication.last.is_some_and(|last| now.saturating_duration_since(last) < IS_CASTING)
        };
        self.known.values().filter(is_casting).count()
    }

    /// Takes what one of them says. `is_vouched_for`: its publisher shows it, or several do.
    pub fn on_event(
        &mut self,
        now: Instant,
        key: StreamKey,
        is_vouched_for: bool,
        event: StreamEvent,
        out: &mut Vec<Next>,
    ) {
        match event {
            StreamEvent::Began { from_start } => self.begin(key, from_start),
            StreamEvent::Message(message) => {
                let patience = if is_vouched_for { SWITCH_AFTER } else { SWITCH_TO_DOUBTFUL_AFTER };
                self.on_message(now, key, patience, message, out);
            }
            StreamEvent::Ended => {
                let is_known = self.known.remove(&key).is_some();
                if self.playing == Some(key) && is_known {
                    out.push(Next::Ended);
                }
            }
        }
    }

    fn begin(&mut self, key: StreamKey, from_start: bool) {
        if self.known.len() >= MAX_KNOWN {
            let silent = self.known.iter().filter(|(key, _)| self.playing != Some(**key));
            let longest = silent.min_by_key(|(_, publication)| publication.last);
            if let Some(key) = longest.map(|(key, _)| *key) {
                self.known.remove(&key);
            }
        }
        let publication = Publication { last: None, from_start, kept: Vec::new(), kept_bytes: 0 };
        self.known.insert(key, publication);
        // It begins anew, after an outage perhaps.
        self.playing = self.playing.filter(|playing| *playing != key);
    }

    fn on_message(
        &mut self,
        now: Instant,
        key: StreamKey,
        patience: Duration,
        message: Delivery,
        out: &mut Vec<Next>,
    ) {
        let may_switch =
            self.playing.and_then(|playing| self.known.get(&playing)).is_none_or(|ours| {
                ours.last.is_none_or(|last| now.saturating_duration_since(last) >= patience)
            });
        let Some(publication) = self.known.get_mut(&key) else { return };
        publication.last = Some(now);
        if self.playing == Some(key) {
            out.push(Next::Message(message));
            self.forget_kept(key);
            return;
        }
        publication.keep(message);
        if may_switch {
            self.playing = Some(key);
            out.push(Next::Began { from_start: publication.from_start });
            publication.kept_bytes = 0;
            out.extend(publication.kept.drain(..).map(Next::Message));
        }
    }

    /// As long as ours plays, what others said before is of no use.
    fn forget_kept(&mut self, playing: StreamKey) {
        for (_, other) in self.known.iter_mut().filter(|(key, _)| **key != playing) {
            if !other.kept.is_empty() {
                other.forget();
            }
        }
    }
}

impl Publication {
    fn keep(&mut self, message: Delivery) {
        self.kept_bytes += message.payload.len();
        self.kept.push(message);
        if self.kept.len() > MAX_KEPT || self.kept_bytes > MAX_KEPT_BYTES {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.kept.clear();
        (self.kept_bytes, self.from_start) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: StreamKey = StreamKey([1; 32]);
    const B: StreamKey = StreamKey([2; 32]);
    const DOUBTFUL: StreamKey = StreamKey([3; 32]);

    struct Stage {
        choice: Choice,
        start: Instant,
        out: Vec<Next>,
    }

    impl Stage {
        fn new() -> Self {
            Self { choice: Choice::default(), start: Instant::now(), out: Vec::new() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn event(&mut self, ms: u64, key: StreamKey, event: StreamEvent) {
            let now = self.at(ms);
            self.choice.on_event(now, key, key != DOUBTFUL, event, &mut self.out);
        }

        fn say(&mut self, ms: u64, key: StreamKey) {
            self.event(ms, key, StreamEvent::Message(message(ms)));
        }
    }

    fn message(ms: u64) -> Delivery {
        Delivery { kind: 9, timestamp: ms as u32, payload: bytes::Bytes::new() }
    }

    #[test]
    fn what_nobody_vouches_for_does_not_take_over_soon() {
        let mut stage = Stage::new();
        for key in [A, DOUBTFUL] {
            stage.event(0, key, StreamEvent::Began { from_start: false });
        }
        stage.say(0, A);
        (1..=9).for_each(|second| stage.say(second * 1000, DOUBTFUL));
        assert_eq!(stage.choice.playing(), Some(A));
        stage.say(10_000, DOUBTFUL);
        assert_eq!(stage.choice.playing(), Some(DOUBTFUL));
    }

    #[test]
    fn one_that_dies_is_followed_by_the_next_from_its_start() {
        let mut stage = Stage::new();
        stage.event(0, A, StreamEvent::Began { from_start: false });
        stage.say(0, A);
        stage.event(1000, B, StreamEvent::Began { from_start: true });
        for ms in [1000, 1500, 2000] {
            stage.say(ms, B);
        }
        let began = |from_start| Next::Began { from_start };
        let messages = [1000, 1500, 2000].map(|ms| Next::Message(message(ms)));
        let mut expected = vec![began(false), Next::Message(message(0)), began(true)];
        expected.extend(messages);
        assert_eq!(stage.out, expected);
    }

    #[test]
    fn one_that_ends_is_followed_at_once() {
        let mut stage = Stage::new();
        stage.event(0, A, StreamEvent::Began { from_start: true });
        stage.say(0, A);
        stage.event(10, A, StreamEvent::Ended);
        stage.event(20, B, StreamEvent::Began { from_start: true });
        stage.say(20, B);
        assert_eq!(
            stage.out[2..],
            [Next::Ended, Next::Began { from_start: true }, Next::Message(message(20))]
        );
    }

    #[test]
    fn of_two_that_cast_the_first_plays_and_both_are_counted() {
        let mut stage = Stage::new();
        for key in [A, B] {
            stage.event(0, key, StreamEvent::Began { from_start: true });
        }
        for ms in (0..10_000).step_by(100) {
            stage.say(ms, A);
            stage.say(ms + 50, B);
        }
        assert_eq!(stage.out.len(), 101);
        assert_eq!(stage.choice.casters(stage.at(10_000)), 2);
        assert_eq!(stage.choice.casters(stage.at(15_000)), 0);
        assert!(stage.choice.known[&B].kept.len() <= 1);
    }

    #[test]
    fn publications_without_end_are_bounded() {
        let mut stage = Stage::new();
        for number in 0..100 {
            stage.event(
                number,
                StreamKey([number as u8; 32]),
                StreamEvent::Began { from_start: true },
            );
        }
        assert!(stage.choice.known.len() <= MAX_KNOWN);
    }
}
