//! Is the far end there, and how a session ends. RFC 7016 §3.5.4.1, §3.5.5.

use std::time::{Duration, Instant};

use super::{Liveness, packet::PacketBuilder};
use crate::{
    event::CloseReason,
    wire::chunk::{code, put_chunk},
};

const CLOSE_REPEAT: Duration = Duration::from_secs(5);
const NEAR_CLOSE_LIMIT: Duration = Duration::from_secs(90);
const FAR_CLOSE_LINGER: Duration = Duration::from_secs(19);
/// A responder pings a little later, so that the two ends do not ping at once.
const RESPONDER_PATIENCE: Duration = Duration::from_millis(500);

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
    unanswered_since: Option<Instant>,
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
            unanswered_since: None,
            ping_at: now + liveness.keepalive + patience,
            owes_close_ack: false,
        }
    }

    pub fn set_liveness(&mut self, liveness: Liveness) {
        self.liveness = liveness;
        self.ping_at = self.last_received + liveness.keepalive + self.patience;
    }

    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Any verified packet is a sign of life.
    pub fn on_received(&mut self, now: Instant) {
        self.last_received = now;
        self.unanswered_since = None;
        self.ping_at = now + self.liveness.keepalive + self.patience;
    }

    /// Something was sent that the far end should answer.
    pub fn on_unanswered(&mut self, now: Instant) {
        self.unanswered_since.get_or_insert(now);
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
    pub fn write(&mut self, now: Instant, packet: &mut PacketBuilder<'_>, erto: Duration) {
        if self.ping_is_due(now) && packet.chunk(|out| put_chunk(out, code::PING, |_| ())) {
            self.ping_at = now + erto.max(Duration::from_secs(1));
            self.on_unanswered(now);
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
            Stage::Open => match self.unanswered_since {
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
                    self.unanswered_since.is_some_and(|since| since + self.liveness.give_up <= now);
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

    const LIVENESS: Liveness =
        Liveness { keepalive: Duration::from_secs(10), give_up: Duration::from_secs(20) };

    #[test]
    fn silence_is_answered_with_a_ping_and_then_with_the_end() {
        let start = Instant::now();
        let mut life = Life::new(start, LIVENESS, false);
        let ping = start + Duration::from_secs(10);
        assert!(!life.has_work(start) && life.has_work(ping));
        life.on_unanswered(ping);
        assert_eq!(life.handle_timeout(start + Duration::from_secs(29)), None);
        assert_eq!(
            life.handle_timeout(start + Duration::from_secs(30)),
            Some(CloseReason::TimedOut)
        );
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
