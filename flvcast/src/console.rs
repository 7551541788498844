//! The operator's console: what all channels do, in charts and in words, and the switches. One
//! page, and the same as JSON, server-sent events and Prometheus text.

mod api;
mod board;
mod guard;
mod history;
mod metrics;
mod places;

use std::{net::TcpListener, sync::Arc};

use crate::{
    Error,
    journal::Journal,
    serve::Control,
    web::{self, Connections, Limits, Lineup, Token},
};
use api::Shared;
pub use board::{Board, ChannelView, GroupView, Phase, Rates, ServerView, Snapshot, Trouble};
pub use history::{History, Span};
pub use places::Places;

/// How often the charts have a new point.
pub const HISTORY_PERIOD: std::time::Duration = std::time::Duration::from_secs(history::FINE);

/// What the console needs.
#[derive(Debug, Clone)]
pub struct ConsoleConfig {
    /// What the operator must show.
    pub token: Option<Token>,
    /// For previews.
    pub lineup: Lineup,
    /// What is shown.
    pub board: Board,
    /// What happened.
    pub journal: Journal,
    /// Takes orders.
    pub control: Control,
}

/// Operators and the programs that watch over this one; each page has several connections.
const OPERATORS: usize = 32;

/// Serves the console, on a thread of its own.
pub fn serve(listener: TcpListener, config: ConsoleConfig) -> Result<(), Error> {
    let limits = Limits { viewers: OPERATORS, viewers_of_address: Some(OPERATORS) };
    let (connections, shared) = (Arc::new(Connections::new(limits)), Arc::new(Shared::new(config)));
    web::answer("console", listener, connections, api::router(shared))
}
