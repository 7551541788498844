//! The film as the body of an answer.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::ws::{Message, WebSocket},
};
use bytes::Bytes;
use tokio::sync::Notify;

use super::{connections::Seat, lineup::Exhibit};
use crate::hub::{Hub, Taken, Viewer};

/// Tags of so long go to a viewer in one write: a syscall for each tag of each viewer is what
/// costs most.
const COALESCE: Duration = Duration::from_millis(40);
const CHUNK: usize = 64 << 10;
/// How often who watches from behind gets more.
const EARLY: Duration = Duration::from_millis(500);

/// Wakes all viewers together, at most once a period, and never while nothing comes.
#[derive(Debug, Default)]
pub struct Ticks {
    tick: Notify,
}

impl Ticks {
    /// Runs until the programme is over.
    pub async fn run(&self, hub: &Hub) {
        loop {
            let news = hub.news();
            if hub.is_over() {
                return self.tick.notify_waiters();
            }
            news.await;
            tokio::time::sleep(COALESCE).await;
            self.tick.notify_waiters();
        }
    }
}

struct Film {
    viewer: Viewer,
    chunks: VecDeque<Bytes>,
    is_over: bool,
    ticks: Arc<Ticks>,
    /// Held as long as the film is watched.
    _seat: Option<Seat>,
}

/// FLV from the latest opening on, until the programme is over or the viewer is too slow.
pub fn body(viewer: Viewer, seat: Seat, ticks: Arc<Ticks>) -> Body {
    film(viewer, Some(seat), ticks)
}

/// For the operator, who needs no seat.
pub fn preview(exhibit: &Exhibit) -> Body {
    film(exhibit.hub.join(), None, exhibit.ticks())
}

fn film(viewer: Viewer, seat: Option<Seat>, ticks: Arc<Ticks>) -> Body {
    let film = Film { viewer, chunks: VecDeque::new(), is_over: false, ticks, _seat: seat };
    Body::from_stream(futures_util::stream::unfold(film, |mut film| async move {
        let next = film.next().await?;
        Some((next, film))
    }))
}

/// FLV over a WebSocket, each chunk a message: some proxies and firewalls let nothing else pass.
pub async fn over_websocket(mut socket: WebSocket, viewer: Viewer, seat: Seat, ticks: Arc<Ticks>) {
    let (chunks, is_over, seat) = (VecDeque::new(), false, Some(seat));
    let mut film = Film { viewer, chunks, is_over, ticks, _seat: seat };
    loop {
        let chunk = tokio::select! {
            chunk = film.next() => chunk,
            // Players say nothing but goodbye.
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        let Some(Ok(chunk)) = chunk else { break };
        if socket.send(Message::Binary(chunk)).await.is_err() {
            return;
        }
    }
    let _ = socket.send(Message::Close(None)).await;
}

impl Film {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(bytes) = self.chunks.pop_front() {
                return Some(Ok(bytes));
            }
            if self.is_over {
                return None;
            }
            // From here on no tick is missed.
            let tick = self.ticks.tick.notified();
            let mut taken = Vec::new();
            let state = self.viewer.take(CHUNK, &mut taken);
            self.chunks.extend(taken);
            match state {
                Taken::More => {}
                Taken::Over => self.is_over = true,
                Taken::Lagged => return Some(Err(io::Error::other("the viewer is too slow"))),
                Taken::UpToDate if self.chunks.is_empty() => tick.await,
                Taken::Early if self.chunks.is_empty() => tokio::time::sleep(EARLY).await,
                Taken::UpToDate | Taken::Early => {}
            }
        }
    }
}
