//! Is the far end there, and how a session ends. RFC 7016 §3.5.4.1, §3.5.5.

use std::time::{Duration, Instant};

use super::{clock::Clock, packet::PacketBuilder};
use crate::{
    event::CloseReason,
    wire::chunk::{code, put_chunk},
};

const SHORTEST_PING: Duration = Duration::from_secs(1);
const CLOSE_REPEAT: Duration = Duration::from_secs(5);
const NEAR_CLOSE_LIMIT: Duration = Duration::from_secs(90);
const FAR_CLOSE_LINGER: Duration = Duration::from_secs(19);
/// Longer silence is not worth promising; rtmfp-cpp pings once an hour.
const MAX_KEEPALIVE: Duration = Duration::from_secs(3600);
/// A responder pings a little later, so that the two ends do not ping at once.
const RESPONDER_PATIENCE: Duration = Duration::from_millis(500);

/// When to ask whether the far end is there, and when to believe that it is not.
#[derive(Debug, Clone, Copy)]
pub struct Liveness {
    /// Silence before a ping.
    pub keepalive: Duration,
    /// How long something may stay unanswered.
    pub give_up: Duration,
}

/// Where a closed session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It must still answer for a while, but the application is done with it.
    Lingers(CloseReason),
    /// It can be forgotten; the reason is news to the application.
    Gone(CloseReason),
    /// It can be forgotten; the application knows.
    Forgotten,
}

#[derive(Debug)]
enum Stage {
    Open,
    /// We asked to close: repeat until acknowledged.
    NearClose {
        next: Instant,
        until: Instant,
    },
    /// The far end closed: acknowledge whenever asked.
    FarClose {
        until: Instant,
    },
}

/// A session's pulse.
#[derive(Debug)]
pub(crate) struct Life {
    stage: Stage,
    liveness: Liveness,
    patience: Duration,
    last_received: Instant,
    /// Of pings: any packet answers them.
    pinging_since: Option<Instant>,
    /// Of data: only acknowledgements answer it, or who never acknowledges would be served for ever.
    unacknowledged_since: Option<Instant>,
    ping_at: Instant,
    owes_close_ack: bool,
}

impl Life {
    pub fn new(now: Instant, liveness: Liveness, is_responder: bool) -> Self {
        let patience = if is_responder { RESPONDER_PATIENCE } else { Duration::ZERO };
        Self {
            stage: Stage::Open,
            liveness,
            patience,
            last_received: now,
            pinging_since: None,
            unacknowledged_since: None,
            // Who opened the session speaks first; if not, it is asked, for a certificate alone
            // proves nothing.
            ping_at: now + if is_responder { patience } else { liveness.keepalive },
            owes_close_ack: false,
        }
    }

    pub fn set_liveness(&mut self, liveness: Liveness) {
        self.liveness = Liveness { keepalive: liveness.keepalive.min(MAX_KEEPALIVE), ..liveness };
        self.ping_at = self.last_received + self.liveness.keepalive + self.patience;
    }

    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Any verified packet is a sign of life.
    pub fn on_received(&mut self, now: Instant) {
        self.last_received = now;
        self.pinging_since = None;
        self.ping_at = now + self.liveness.keepalive + self.patience;
    }

    /// Data was sent that the far end should acknowledge.
    pub fn on_unacknowledged(&mut self, now: Instant) {
        self.unacknowledged_since.get_or_insert(now);
    }

    /// The far end acknowledges what it gets.
    pub fn on_acknowledged(&mut self) {
        self.unacknowledged_since = None;
    }

    fn silent_since(&self) -> Option<Instant> {
        self.pinging_since.into_iter().chain(self.unacknowledged_since).min()
    }

    /// Begins to close from our side.
    pub fn close(&mut self, now: Instant) {
        if self.is_open() {
            self.stage = Stage::NearClose { next: now, until: now + NEAR_CLOSE_LIMIT };
        }
    }

    /// The far end sent a close.
    pub fn on_close(&mut self, now: Instant) -> Option<Ending> {
        self.owes_close_ack = true;
        if !self.is_open() {
            return None;
        }
        self.stage = Stage::FarClose { until: now + FAR_CLOSE_LINGER };
        Some(Ending::Lingers(CloseReason::Far))
    }

    /// The far end acknowledged a close, or closed abruptly.
    pub fn on_close_ack(&mut self) -> Option<Ending> {
        match self.stage {
            Stage::Open => Some(Ending::Gone(CloseReason::Far)),
            Stage::NearClose { .. } | Stage::FarClose { .. } => Some(Ending::Forgotten),
        }
    }

    fn ping_is_due(&self, now: Instant) -> bool {
        self.is_open() && self.ping_at <= now
    }

    pub fn has_work(&self, now: Instant) -> bool {
        let repeats_close = matches!(self.stage, Stage::NearClose { next, .. } if next <= now);
        self.owes_close_ack || repeats_close || self.ping_is_due(now)
    }

    /// Writes ping, close or its acknowledgement, as due.
    pub fn write(&mut self, now: Instant, packet: &mut PacketBuilder<'_>, clock: &mut Clock) {
        if self.ping_is_due(now) && packet.chunk(|out| put_chunk(out, code::PING, |_| ())) {
            // RFC 7016 §3.5.4.1: no reply to the last one.
            if self.pinging_since.is_some() {
                clock.back_off();
            }
            self.ping_at = now + clock.erto().max(SHORTEST_PING);
            self.pinging_since.get_or_insert(now);
        }
        if let Stage::NearClose { next, .. } = &mut self.stage
            && *next <= now
            && packet.chunk(|out| put_chunk(out, code::SESSION_CLOSE, |_| ()))
        {
            *next = now + CLOSE_REPEAT;
        }
        if self.owes_close_ack
            && packet.chunk(|out| put_chunk(out, code::SESSION_CLOSE_ACK, |_| ()))
        {
            self.owes_close_ack = false;
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        Some(match self.stage {
            Stage::Open => match self.silent_since() {
                Some(since) => self.ping_at.min(since + self.liveness.give_up),
                None => self.ping_at,
            },
            Stage::NearClose { next, until } => next.min(until),
            Stage::FarClose { until } => until,
        })
    }

    /// How the session ended, if time ended it.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<CloseReason> {
        match self.stage {
            Stage::Open => {
                let is_dead =
                    self.silent_since().is_some_and(|since| since + self.liveness.give_up <= now);
                is_dead.then_some(CloseReason::TimedOut)
            }
            Stage::NearClose { until, .. } | Stage::FarClose { until } => {
                (until <= now).then_some(CloseReason::Near)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::PacketKeys;

    const LIVENESS: Liveness =
        Liveness { keepalive: Duration::from_secs(10), give_up: Duration::from_secs(20) };

    #[test]
    fn silence_is_answered_with_a_ping_and_then_with_the_end() {
        let start = Instant::now();
        let mut life = Life::new(start, LIVENESS, false);
        let ping = start + Duration::from_secs(10);
        assert!(!life.has_work(start) && life.has_work(ping));
        life.pinging_since = Some(ping);
        assert_eq!(life.handle_timeout(start + Duration::from_secs(29)), None);
        assert_eq!(
            life.handle_timeout(start + Duration::from_secs(30)),
            Some(CloseReason::TimedOut)
        );
    }

    #[test]
    fn pings_without_a_reply_come_less_and_less_often() {
        let start = Instant::now();
        let (mut life, mut clock) = (Life::new(start, LIVENESS, false), Clock::new(start));
        let (mut keys, mut now, mut waits) = (PacketKeys::default(), start, Vec::new());
        for _ in 0..4 {
            let at = life.ping_at;
            waits.push(at - now);
            now = at;
            let mut out = Vec::new();
            let header = crate::wire::PacketHeader {
                flags: crate::wire::Flags::new(crate::wire::Mode::Initiator),
                timestamp: None,
                timestamp_echo: None,
            };
            let mut packet = PacketBuilder::new(&mut out, &keys, 1000, header);
            life.write(now, &mut packet, &mut clock);
            assert!(packet.finish(&mut keys).is_some());
        }
        assert_eq!(waits[0], LIVENESS.keepalive);
        assert!(waits[1] >= Duration::from_secs(1) && waits[1] < waits[2] && waits[2] < waits[3]);
    }

    #[test]
    fn data_that_is_never_acknowledged_ends_the_session_whatever_else_comes() {
        let start = Instant::now();
        let mut life = Life::new(start, LIVENESS, false);
        life.on_unacknowledged(start);
        life.on_acknowledged();
        life.on_unacknowledged(start + Duration::from_secs(1));
        life.on_received(start + Duration::from_secs(20));
        assert_eq!(life.handle_timeout(start + Duration::from_secs(20)), None);
        let end = life.handle_timeout(start + Duration::from_secs(21));
        assert_eq!(end, Some(CloseReason::TimedOut));
    }

    #[test]
    fn both_ends_closing_at_once_both_get_an_answer() {
        let start = Instant::now();
        let mut life = Life::new(start, LIVENESS, false);
        life.close(start);
        assert_eq!(life.on_close(start), None);
        assert!(life.owes_close_ack);
        // Our own close goes on until it is acknowledged.
        assert_eq!(life.next_timeout(), Some(start));
        assert_eq!(life.on_close_ack(), Some(Ending::Forgotten));
    }

    #[test]
    fn a_far_close_lingers_until_it_is_acknowledged_or_time_is_over() {
        let start = Instant::now();
        for ends_early in [false, true] {
            let mut life = Life::new(start, LIVENESS, false);
            assert_eq!(life.on_close(start), Some(Ending::Lingers(CloseReason::Far)));
            assert_eq!(life.handle_timeout(start + FAR_CLOSE_LINGER / 2), None);
            if ends_early {
                assert_eq!(life.on_close_ack(), Some(Ending::Forgotten));
            } else {
                let end = life.handle_timeout(start + FAR_CLOSE_LINGER);
                assert_eq!(end, Some(CloseReason::Near));
            }
        }
    }

    #[test]
    fn a_close_is_repeated_and_given_up() {
        let start = Instant::now();
        let mut life = Life::new(start, LIVENESS, false);
        life.close(start);
        assert!(life.has_work(start));
        assert_eq!(life.handle_timeout(start + NEAR_CLOSE_LIMIT), Some(CloseReason::Near));
        assert_eq!(life.on_close_ack(), Some(Ending::Forgotten));
    }
}
