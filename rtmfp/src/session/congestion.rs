//! The congestion control algorithm of RFC 7016 Appendix A.2, in the RFC's words.

/// Sender Maximum Segment Size.
const SMSS: usize = 1460;
const WINDOW_INITIAL: usize = 3 * SMSS;
const WINDOW_TIMED_OUT: usize = SMSS;
/// Above this, and when growth is free, loss costs an eighth instead of half.
const LARGE_WINDOW: usize = 67_200;
/// A loss that so many windows of data came before may be chance; more often it is a short queue
/// somewhere, which round trips do not show.
const LONE: usize = 2;

/// Time critical notifications of the last 800 ms (RFC 7016 §3.5.2.1).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimeCritical {
    /// Sent on this session.
    pub sent_here: bool,
    /// Sent on any session of the endpoint.
    pub sent_anywhere: bool,
    /// The far end asked this session to grow slowly.
    pub reverse_received: bool,
}

impl TimeCritical {
    fn fast_growth_allowed(self) -> bool {
        !self.reverse_received && !self.sent_anywhere
    }
}

/// What one received packet said about our data.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct AckSummary {
    /// An acknowledgement chunk arrived.
    pub any_acks: bool,
    /// A fragment was overtaken by later ones.
    pub any_naks: bool,
    /// A fragment was overtaken so often that it counts as lost.
    pub any_loss: bool,
    /// Routers or round trip times tell of congestion.
    pub is_congested: bool,
    /// Round trips are nearly as short as they can be: nothing queues on the way, and what is lost
    /// was lost by chance.
    pub is_way_clear: bool,
    /// The queue on the way is to drain for a moment.
    pub drains: bool,
    /// The window was cut after what is lost or marked here was sent.
    pub is_recovering: bool,
    /// Bytes newly acknowledged.
    pub acked_bytes: usize,
    /// Bytes in flight before the packet.
    pub outstanding_before: usize,
}

impl AckSummary {
    pub fn calls_for_cut(&self) -> bool {
        self.any_loss || self.is_congested
    }
}

/// How much may be in flight.
#[derive(Debug)]
pub(crate) struct Congestion {
    window: usize,
    slow_start_threshold: usize,
    acked_accumulator: usize,
    /// Bytes acknowledged since the window was last cut.
    acked_since_cut: usize,
    /// Window and threshold before the last cut, while that may turn out to be a mistake.
    before_cut: Option<(usize, usize)>,
}

impl Congestion {
    pub fn new() -> Self {
        Self {
            window: WINDOW_INITIAL,
            slow_start_threshold: usize::MAX,
            acked_accumulator: 0,
            acked_since_cut: 0,
            before_cut: None,
        }
    }

    /// Bytes of User Data chunks that may be outstanding.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Figure 24. The threshold remembers three quarters of what worked; it is not a cut.
    pub fn on_timeout(&mut self, was_loss: bool) {
        self.before_cut = None;
        self.slow_start_threshold = self.slow_start_threshold.max(self.window * 3 / 4);
        (self.acked_accumulator, self.acked_since_cut) = (0, 0);
        self.window = if was_loss { WINDOW_TIMED_OUT } else { WINDOW_INITIAL };
    }

    /// Figure 25, after all chunks of a packet.
    pub fn on_packet(&mut self, summary: AckSummary, critical: TimeCritical) {
        self.acked_since_cut = self.acked_since_cut.saturating_add(summary.acked_bytes);
        if summary.is_recovering {
            // Cut already.
        } else if summary.calls_for_cut() {
            let is_lone = self.acked_since_cut >= LONE * self.window;
            let is_chance = summary.is_way_clear && !summary.is_congested && is_lone;
            self.cut(summary.outstanding_before, is_chance, critical);
        } else if summary.drains
            && self.window > 4 * SMSS
            && self.window > self.slow_start_threshold
        {
            self.slow_start_threshold = self.window;
            self.window = (summary.outstanding_before * 21 / 32).max(WINDOW_INITIAL);
        } else if summary.any_acks && !summary.any_naks && summary.outstanding_before >= self.window
        {
            let increase = self.increase(summary.acked_bytes, critical);
            self.window = (self.window + increase).max(WINDOW_INITIAL);
        }
    }

    /// What is lost by chance says little about the window (as TCP Veno has it).
    fn cut(&mut self, outstanding: usize, is_chance: bool, critical: TimeCritical) {
        let gentle = critical.sent_here
            || is_chance
            || (outstanding > LARGE_WINDOW && critical.fast_growth_allowed());
        let kept = if gentle { outstanding * 7 / 8 } else { outstanding / 2 };
        self.before_cut = Some((self.window, self.slow_start_threshold));
        self.slow_start_threshold = kept.max(WINDOW_INITIAL);
        self.window = self.slow_start_threshold;
        (self.acked_accumulator, self.acked_since_cut) = (0, 0);
    }

    /// What the last cut was for had not been lost (as RFC 4015 does it).
    pub fn undo_cut(&mut self) {
        if let Some((window, threshold)) = self.before_cut.take() {
            self.window = self.window.max(window);
            self.slow_start_threshold = self.slow_start_threshold.max(threshold);
        }
    }

    fn increase(&mut self, acked: usize, critical: TimeCritical) -> usize {
        let below_threshold = self.window < self.slow_start_threshold;
        if critical.fast_growth_allowed() {
            if below_threshold { slow_start(acked) } else { self.avoid(acked, 48, 4800) }
        } else if below_threshold && critical.sent_here {
            acked.div_ceil(4)
        } else {
            self.avoid(acked, 24, if critical.sent_here { 2400 } else { 4800 })
        }
    }

    /// Congestion avoidance: `step` bytes for each threshold's worth of acknowledged data.
    fn avoid(&mut self, acked: usize, step: usize, threshold_cap: usize) -> usize {
        let threshold = (self.window / 16).max(64).min(threshold_cap);
        self.acked_accumulator += acked;
        let steps = self.acked_accumulator / threshold;
        self.acked_accumulator %= threshold;
        steps * step
    }
}

/// One SMSS an acknowledgement at most (RFC 5681 §3.1), had two packets each been acknowledged.
/// Receivers that work by batches acknowledge many packets at once, and would starve slow start.
fn slow_start(acked: usize) -> usize {
    acked.min(SMSS * acked.div_ceil(2 * SMSS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acked(bytes: usize, outstanding: usize) -> AckSummary {
        AckSummary {
            any_acks: true,
            acked_bytes: bytes,
            outstanding_before: outstanding,
            ..AckSummary::default()
        }
    }

    #[test]
    fn slow_start_grows_by_what_was_acked_if_the_window_was_full() {
        let mut congestion = Congestion::new();
        congestion.on_packet(acked(1000, WINDOW_INITIAL), TimeCritical::default());
        assert_eq!(congestion.window(), WINDOW_INITIAL + 1000);
        congestion.on_packet(acked(1000, 100), TimeCritical::default());
        assert_eq!(congestion.window(), WINDOW_INITIAL + 1000);
    }

    #[test]
    fn a_batch_of_acknowledgements_grows_the_window_like_pairs_would() {
        for (bytes, growth) in [(1000, 1000), (2 * SMSS, SMSS), (20 * SMSS, 10 * SMSS)] {
            let mut congestion = Congestion::new();
            congestion.on_packet(acked(bytes, WINDOW_INITIAL), TimeCritical::default());
            assert_eq!(congestion.window(), WINDOW_INITIAL + growth);
        }
    }

    #[test]
    fn a_window_that_shares_with_time_critical_data_grows_slowly() {
        let reverse = TimeCritical { reverse_received: true, ..TimeCritical::default() };
        let mut congestion = Congestion::new();
        congestion.on_packet(acked(WINDOW_INITIAL, WINDOW_INITIAL), reverse);
        assert_eq!(congestion.window(), WINDOW_INITIAL + 16 * 24);
    }

    #[test]
    fn loss_halves_and_time_critical_loss_keeps_seven_eighths() {
        let loss =
            AckSummary { any_loss: true, outstanding_before: 40_000, ..AckSummary::default() };
        let mut congestion = Congestion::new();
        congestion.on_packet(loss, TimeCritical::default());
        assert_eq!(congestion.window(), 20_000);
        congestion.on_packet(loss, TimeCritical { sent_here: true, ..TimeCritical::default() });
        assert_eq!(congestion.window(), 35_000);
    }

    #[test]
    fn what_is_lost_alone_on_a_clear_way_costs_an_eighth() {
        let loss = AckSummary {
            any_loss: true,
            is_way_clear: true,
            outstanding_before: 40_000,
            ..AckSummary::default()
        };
        let critical = TimeCritical::default();
        let mut congestion = Congestion { acked_since_cut: 100_000, ..Congestion::new() };
        congestion.on_packet(loss, critical);
        assert_eq!(congestion.window(), 35_000);
        congestion.on_packet(loss, critical);
        assert_eq!(congestion.window(), 20_000, "two in a row are no chance");
        congestion.on_packet(acked(50_000, 0), critical);
        congestion.on_packet(AckSummary { is_congested: true, ..loss }, critical);
        assert_eq!(congestion.window(), 20_000, "nor is a mark");
    }

    #[test]
    fn a_cut_that_was_a_mistake_is_undone_once() {
        let loss =
            AckSummary { any_loss: true, outstanding_before: 40_000, ..AckSummary::default() };
        let mut congestion = Congestion { window: 40_000, ..Congestion::new() };
        congestion.on_packet(loss, TimeCritical::default());
        congestion.undo_cut();
        assert_eq!(congestion.window(), 40_000);
        congestion.on_packet(loss, TimeCritical::default());
        congestion.on_timeout(true);
        congestion.undo_cut();
        assert_eq!(congestion.window(), SMSS);
    }

    #[test]
    fn a_timeout_with_loss_starts_from_one_segment() {
        let mut congestion = Congestion::new();
        congestion.on_timeout(true);
        assert_eq!(congestion.window(), SMSS);
        congestion.on_timeout(false);
        assert_eq!(congestion.window(), WINDOW_INITIAL);
    }
}
