//! What an application may choose about a session.

use std::time::Duration;

use super::{life::Liveness, recv_flow::ReceiveLimits};

/// Of [`crate::Config`], what each session takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub liveness: Liveness,
    pub limits: ReceiveLimits,
    pub max_datagram: usize,
    pub congestion: CongestionSignals,
}

/// Congestion signals beside loss, both as rtmfp-cpp has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CongestionSignals {
    /// Mark packets as ECN-capable until the far end turns out not to report marks, so that
    /// routers slow us down before they drop. On. Marks that arrive are always reported.
    pub ecn: bool,
    /// Take a round trip this much longer than the shortest one for congestion. Off; 100 ms
    /// keeps queues short at the price of bandwidth against other senders.
    pub delay: Option<Duration>,
}

impl Default for CongestionSignals {
    fn default() -> Self {
        Self { ecn: true, delay: None }
    }
}
