//! The console's pages and its interface for programs; `openapi.json` describes it.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{ConsoleConfig, Places, Span, guard, metrics};
use crate::{
    serve::{ChannelTable, Order, Refusal},
    web::{self, film},
};

/// Requests with more in them make no sense.
const MAX_BODY: usize = 64 << 10;
/// A board that was not renewed for so long hangs before an empty house.
const STALE_MS: u64 = 5000;
const DESCRIPTION: &str = include_str!("../../web/openapi.json");

/// What all requests need.
#[derive(Debug)]
pub struct Shared {
    pub config: ConsoleConfig,
}

impl Shared {
    pub fn new(config: ConsoleConfig) -> Self {
        Self { config }
    }
}

type Here = State<Arc<Shared>>;

/// All there is.
pub fn router(shared: Arc<Shared>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/api/openapi.json", get(description))
        .route("/api/status", get(status))
        .route("/api/events", get(events))
        .route("/api/journal", get(journal))
        .route("/api/history/{name}", get(history))
        .route("/api/swarm/{name}", get(swarm))
        .route("/api/reload", post(reload))
        .route("/api/channels", get(channels))
        .route("/api/channels/{name}", get(channel).put(put_channel).delete(delete_channel))
        .route("/api/channels/{name}/start", post(start))
        .route("/api/channels/{name}/stop", post(stop))
        .route("/preview/{name}", get(preview))
        .layer(middleware::from_fn_with_state(shared.clone(), guard::check));
    // The page alone tells nothing, and whoever watches over processes needs no secret.
    web::console_assets(Router::new())
        .route("/healthz", get(health))
        .merge(guarded)
        .layer(middleware::map_response(unframed))
        .with_state(shared)
}

/// No page from elsewhere may hold the console in a frame and have its switches clicked.
async fn unframed(mut response: Response) -> Response {
    let policy = HeaderValue::from_static("frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}

/// Whether the process does its work.
async fn health(State(shared): Here) -> Response {
    let age = now_ms().saturating_sub(shared.config.board.get().time_ms);
    match age <= STALE_MS {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "nothing moves\n").into_response(),
    }
}

async fn metrics_text(State(shared): Here) -> Response {
    const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";
    let text = metrics::text(&shared.config.board.get());
    ([(header::CONTENT_TYPE, KIND)], text).into_response()
}

async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

async fn status(State(shared): Here) -> Response {
    Json(&*shared.config.board.get()).into_response()
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn journal(State(shared): Here, Query(After { after }): Query<After>) -> Response {
    Json(shared.config.journal.since(after)).into_response()
}

/// The board each time that it is new, and the lines of the journal as they are written.
async fn events(State(shared): Here) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let watch = shared.config.board.watch();
    let stream = stream::unfold((shared, watch, 0), |(shared, mut watch, seen)| async move {
        watch.changed().await.ok()?;
        let snapshot = watch.borrow_and_update().clone();
        let entries = shared.config.journal.since(seen);
        let seen = entries.last().map_or(seen, |last| last.number);
        let mut events = vec![Event::default().event("status").json_data(&*snapshot)];
        if !entries.is_empty() {
            events.push(Event::default().event("journal").json_data(&entries));
        }
        let events = events.into_iter().filter_map(Result::ok).map(Ok).collect::<Vec<_>>();
        Some((stream::iter(events), (shared, watch, seen)))
    });
    Sse::new(stream.flatten()).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

#[derive(Deserialize)]
struct Window {
    #[serde(default)]
    span: Span,
}

async fn history(
    State(shared): Here,
    Path(name): Path<String>,
    Query(Window { span }): Query<Window>,
) -> Response {
    let board = shared.config.board.get();
    if board.channels.iter().all(|channel| channel.name != name) {
        return unknown(&name);
    }
    let columns = shared.config.board.behind().history.columns(&name, span, now_ms() / 1000);
    Json(columns).into_response()
}

/// A channel's group, for who draws it.
#[derive(Serialize)]
struct SwarmView {
    /// Our place on the ring, 0 to 1.
    own: Option<f64>,
    neighbours: Vec<NeighbourView>,
    /// Places of members that are no neighbours.
    heard: Vec<f64>,
    /// Neighbours by country.
    places: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct NeighbourView {
    peer: String,
    /// On the ring, 0 to 1.
    place: f64,
    address: String,
    rtt_ms: Option<f64>,
    /// Eighths of the stream that it is asked to push to us.
    pushes: u32,
    /// Eighths that we push to it.
    is_pushed: u32,
}

async fn swarm(State(shared): Here, Path(name): Path<String>) -> Response {
    let behind = shared.config.board.behind();
    let Some((_, stats)) = behind.groups.iter().find(|(known, _)| *known == name) else {
        return unknown(&name);
    };
    let portrait = stats.portrait();
    let addresses = portrait.neighbours.iter().map(|neighbour| neighbour.remote);
    let places = Places::count(behind.places.as_ref(), addresses);
    let neighbours = portrait.neighbours.iter().map(|neighbour| NeighbourView {
        peer: neighbour.peer.to_string(),
        place: place(&neighbour.peer),
        address: neighbour.remote.to_string(),
        rtt_ms: neighbour.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        pushes: neighbour.pushes,
        is_pushed: neighbour.is_pushed,
    });
    Json(SwarmView {
        own: behind.own.as_ref().map(place),
        neighbours: neighbours.collect(),
        heard: portrait.heard.iter().map(place).collect(),
        places,
    })
    .into_response()
}

/// Where on the ring a member is, as a part of it.
fn place(peer: &rtmfp::crypto::PeerId) -> f64 {
    let address = netgroup::GroupAddress::of(peer);
    let top = address.0.first_chunk().map_or(0, |top| u64::from_be_bytes(*top));
    top as f64 / 2f64.powi(64)
}

fn unknown(name: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("there is no channel '{name}'\n")).into_response()
}

async fn order(shared: &Shared, order: Order) -> Response {
    match shared.config.control.order(order).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Refusal::Unknown(name)) => unknown(&name),
        Err(why) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response(),
    }
}

async fn channels(State(shared): Here) -> Response {
    Json(&shared.config.board.get().channels).into_response()
}

async fn channel(State(shared): Here, Path(name): Path<String>) -> Response {
    let board = shared.config.board.get();
    match board.channels.iter().find(|channel| channel.name == name) {
        Some(view) => Json(view).into_response(),
        None => unknown(&name),
    }
}

async fn reload(State(shared): Here) -> Response {
    order(&shared, Order::Reload).await
}

async fn start(State(shared): Here, Path(name): Path<String>) -> Response {
    order(&shared, Order::Run(name, true)).await
}

async fn stop(State(shared): Here, Path(name): Path<String>) -> Response {
    order(&shared, Order::Run(name, false)).await
}

async fn delete_channel(State(shared): Here, Path(name): Path<String>) -> Response {
    order(&shared, Order::Remove(name)).await
}

/// The body is a channel's table as in the file, in JSON.
async fn put_channel(State(shared): Here, Path(name): Path<String>, body: Bytes) -> Response {
    if body.len() > MAX_BODY {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    match serde_json::from_slice::<ChannelTable>(&body) {
        Ok(table) => order(&shared, Order::Put(name, Box::new(table))).await,
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// What was parsed of the source, as players get it.
async fn preview(State(shared): Here, Path(name): Path<String>) -> Response {
    let name = name.strip_suffix(".flv").unwrap_or(&name);
    match shared.config.lineup.get(name) {
        Some(exhibit) => {
            let headers =
                [(header::CONTENT_TYPE, "video/x-flv"), (header::CACHE_CONTROL, "no-store")];
            (headers, film::preview(&exhibit)).into_response()
        }
        None => unknown(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_every_path() {
        let description: serde_json::Value = serde_json::from_str(DESCRIPTION).unwrap();
        let paths = description["paths"].as_object().unwrap();
        let here = include_str!("api.rs");
        let mut routes = here.lines().filter_map(|line| {
            let (_, rest) = line.trim().split_once(".route(\"")?;
            rest.split_once('"').map(|(path, _)| path.to_owned())
        });
        assert!(routes.clone().count() > 10);
        assert!(routes.all(|path| paths.contains_key(&path)));
    }
}
