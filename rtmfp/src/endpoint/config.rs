//! What an application may choose about its endpoint.

use std::time::Duration;

use crate::session::{Liveness, ReceiveLimits};

/// Endpoint settings with their defaults.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Keepalive and death of sessions; 15 s and 20 s.
    pub liveness: Liveness,
    /// Memory that a flow of the far end may take.
    pub limits: ReceiveLimits,
    /// Sessions, opening ones included; hellos beyond that go unanswered. 100,000.
    pub max_sessions: usize,
    /// Report hellos for others as [`crate::Event::Wanted`]. Servers only.
    pub introduces: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Adobe's Cirrus commanded 15 s to clients behind NATs.
            liveness: Liveness {
                keepalive: Duration::from_secs(15),
                give_up: Duration::from_secs(20),
            },
            limits: ReceiveLimits::default(),
            max_sessions: 100_000,
            introduces: false,
        }
    }
}
