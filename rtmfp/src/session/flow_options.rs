//! How a flow shares its session with others, and how long its messages are worth sending.

use std::time::Instant;

/// How a flow shares its session with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Commands, control, availability: small and wanted first.
    High,
    /// Media as it is played.
    #[default]
    Normal,
    /// Whatever may wait.
    Low,
}

/// What is fixed when a flow is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlowOptions {
    /// Against other flows of the session.
    pub priority: Priority,
    /// Real-time data: its packets carry the time critical flag.
    pub time_critical: bool,
}

impl FlowOptions {
    /// For what is small and wanted at once.
    pub const CONTROL: Self = Self { priority: Priority::High, time_critical: false };
}

/// Until when a message is worth sending; none means reliable.
pub type Deadline = Option<Instant>;
