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
    web::{Lineup, Token},
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

/// Serves the console, on a thread of its own.
pub fn serve(listener: TcpListener, config: ConsoleConfig) -> Result<(), Error> {
    let shared = Arc::new(Shared::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("console".into()).spawn(move || {
        runtime.block_on(async {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return log::error!("the console ends: {error}"),
            };
            let served = axum::serve(listener, api::router(shared)).await;
            if let Err(error) = served {
                log::error!("the console ends: {error}");
            }
        });
    })?;
    Ok(())
}
