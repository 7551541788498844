//! Timestamps, their echoes, and the retransmission timeout made of them. RFC 7016 §3.5.2.2.

use std::time::{Duration, Instant};

/// One tick of the 16-bit timestamp.
const TICK: Duration = Duration::from_millis(4);
/// A timestamp held longer than this is no longer echoed.
const ECHO_LIFETIME: Duration = Duration::from_secs(128);
const INITIAL_ERTO: Duration = Duration::from_secs(3);
const MIN_ERTO: Duration = Duration::from_millis(250);
/// How far unanswered transmissions lengthen it; a longer round trip lengthens it further.
const MAX_BACKED_OFF: Duration = Duration::from_secs(10);
/// Covers the far end's delayed acknowledgement.
const DELAYED_ACK_ALLOWANCE: Duration = Duration::from_millis(200);
const BACKOFF: f64 = std::f64::consts::SQRT_2;

/// A session's view of time on both ends.
#[derive(Debug)]
pub(crate) struct Clock {
    epoch: Instant,
    received: Option<(u16, Instant)>,
    sent_echo: Option<u16>,
    received_echo: Option<u16>,
    smoothed: Option<Smoothed>,
    /// MRTO: what round trips call for.
    measured: Duration,
    erto: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Smoothed {
    rtt: Duration,
    variation: Duration,
}

impl Clock {
    /// `epoch` is any instant, the same for all sessions of an endpoint.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            received: None,
            sent_echo: None,
            received_echo: None,
            smoothed: None,
            measured: MIN_ERTO,
            erto: INITIAL_ERTO,
        }
    }

    /// Our timestamp. It goes into every packet, changed or not: MonaServer and librtmfp do not
    /// parse packets without one.
    pub fn timestamp(&self, now: Instant) -> u16 {
        timestamp(self.epoch, now)
    }

    /// The echo to send, if there is one that was not sent yet.
    pub fn take_echo(&mut self, now: Instant) -> Option<u16> {
        let (stamp, at) = self.received?;
        let held = now.saturating_duration_since(at);
        if held > ECHO_LIFETIME {
            self.received = None;
            self.sent_echo = None;
            return None;
        }
        let echo = stamp.wrapping_add(ticks(held));
        (self.sent_echo.replace(echo) != Some(echo)).then_some(echo)
    }

    /// Takes in the far end's timestamp.
    pub fn on_timestamp(&mut self, now: Instant, stamp: u16) {
        if self.received.is_none_or(|(known, _)| known != stamp) {
            self.received = Some((stamp, now));
        }
    }

    /// Takes in the echo of one of our timestamps; the round trip that it shows.
    pub fn on_echo(&mut self, now: Instant, echo: u16) -> Option<Duration> {
        if self.received_echo.replace(echo) == Some(echo) {
            return None;
        }
        let elapsed = self.timestamp(now).wrapping_sub(echo);
        if elapsed > i16::MAX as u16 {
            return None;
        }
        let rtt = TICK * u32::from(elapsed);
        let smoothed = match self.smoothed {
            None => Smoothed { rtt, variation: rtt / 2 },
            Some(old) => Smoothed {
                rtt: (old.rtt * 7 + rtt) / 8,
                variation: (old.variation * 3 + old.rtt.abs_diff(rtt)) / 4,
            },
        };
        self.smoothed = Some(smoothed);
        self.measured = smoothed.rtt + smoothed.variation * 4 + DELAYED_ACK_ALLOWANCE;
        self.erto = self.measured.max(MIN_ERTO);
        Some(rtt)
    }

    /// Smoothed round trip time, once measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed.rtt)
    }

    /// Effective retransmission timeout.
    pub fn erto(&self) -> Duration {
        self.erto
    }

    /// After a timeout with loss, or a ping without a reply.
    pub fn back_off(&mut self) {
        self.erto = self.erto.mul_f64(BACKOFF).min(MAX_BACKED_OFF).max(self.measured);
    }
}

/// The low 16 bits of the 250 Hz clock.
pub(crate) fn timestamp(epoch: Instant, now: Instant) -> u16 {
    ticks(now.saturating_duration_since(epoch))
}

fn ticks(duration: Duration) -> u16 {
    (duration.as_millis() / TICK.as_millis()) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_advances_by_the_time_held_and_is_sent_once() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        assert_eq!(clock.take_echo(start), None);
        clock.on_timestamp(start, 0xfffe);
        assert_eq!(clock.take_echo(start + Duration::from_millis(16)), Some(2));
        assert_eq!(clock.take_echo(start + Duration::from_millis(17)), None);
        assert_eq!(clock.take_echo(start + Duration::from_secs(129)), None);
    }

    #[test]
    fn round_trips_make_the_timeout() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        assert_eq!(clock.erto(), INITIAL_ERTO);
        let sent = clock.timestamp(start + Duration::from_secs(1));
        clock.on_echo(start + Duration::from_millis(1100), sent);
        assert_eq!(clock.rtt(), Some(Duration::from_millis(100)));
        assert_eq!(clock.erto(), Duration::from_millis(500));
        clock.back_off();
        assert!(clock.erto() > Duration::from_millis(700));
    }

    #[test]
    fn the_timeout_is_never_below_the_round_trip() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let sent = clock.timestamp(start);
        clock.on_echo(start + Duration::from_secs(20), sent);
        assert!(clock.erto() > Duration::from_secs(20));
        clock.back_off();
        assert!(clock.erto() > Duration::from_secs(20));
    }

    #[test]
    fn an_echo_from_the_future_is_ignored() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.on_echo(start, 100);
        assert_eq!(clock.rtt(), None);
    }
}
