//! What a session knows of the path to its far end.

use std::time::{Duration, Instant};

use super::{
    congestion::AckSummary,
    delay::{Advice, DelayWatch},
    ecn::EcnState,
    mobility::Mobility,
    mtu::PathMtu,
    settings::Settings,
};
use crate::path::Path;

/// Where the far end is, how large datagrams get there, and what tells of queues on the way.
#[derive(Debug)]
pub(crate) struct Way {
    pub path: Path,
    pub mobility: Mobility,
    pub ecn: EcnState,
    pub mtu: PathMtu,
    pub delay: DelayWatch,
}

impl Way {
    pub fn new(now: Instant, path: Path, settings: &Settings) -> Self {
        Self {
            path,
            mobility: Mobility::default(),
            ecn: EcnState::new(settings.congestion.ecn),
            mtu: PathMtu::new(now, settings.max_datagram),
            delay: DelayWatch::new(now, settings.congestion.delay),
        }
    }

    /// The far end has proved to be elsewhere now. What was learned of the old path is void.
    pub fn move_to(&mut self, now: Instant, path: Path) {
        self.path = path;
        self.mtu.restart(now);
        self.delay.reset();
    }

    /// Data was acknowledged, with round trips of about `rtt`: what the path says of queues.
    pub fn on_acknowledged(
        &mut self,
        now: Instant,
        rtt: Duration,
        window: usize,
        summary: &mut AckSummary,
    ) {
        self.mtu.on_progress();
        self.ecn.on_acknowledged();
        let is_busy = summary.outstanding_before > window / 2;
        summary.is_way_clear = self.delay.is_way_clear(now, rtt);
        match self.delay.advice(now, rtt, is_busy) {
            Advice::Nothing => {}
            Advice::Congestion => summary.is_congested = true,
            Advice::Drain => summary.drains = true,
        }
    }

    /// All that was in flight is lost. True if datagrams are to be smaller from now on.
    pub fn on_timeout(&mut self, now: Instant) -> bool {
        self.delay.reset();
        self.mtu.on_timeout(now)
    }
}
