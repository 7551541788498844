//! What viewers see: a page for each channel, the film as HTTP-FLV, and the figures.

mod assets;
mod connections;
mod figures;
pub mod film;
mod hls;
mod lineup;
mod patient;
mod saved;
pub mod token;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension, Json, Router,
    extract::{
        FromRequestParts, Path, Query, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderName, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::Error;
pub use assets::{console_assets, is_reserved};
use connections::Connection;
pub use connections::{Connections, Limits};
pub use figures::{Figures, Frames, Shown, Stream, ViewerFigures};
#[cfg(feature = "demo")]
pub use lineup::FigureSource;
pub use lineup::{Exhibit, Lineup};
pub use token::Token;

/// RFC 3986 §2.3: all but these is written as %XX in a path.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// At the end, viewers may take the rest for so long.
const FAREWELL: Duration = Duration::from_secs(1);

/// How channels are shown.
#[derive(Debug, Clone, Default)]
pub struct WebConfig {
    /// How many may watch.
    pub limits: Limits,
    /// Who watches must show this.
    pub token: Option<Token>,
}

#[derive(Clone)]
struct Shared {
    lineup: Lineup,
    connections: Arc<Connections>,
    token: Option<Token>,
}

/// Takes the address, so that a taken one is known at once.
pub fn bind(addresses: &[SocketAddr]) -> Result<TcpListener, Error> {
    let first = addresses.first().copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    let failed = |error| Error::Http(first, error);
    let listener = TcpListener::bind(addresses).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Where a browser on this machine finds what listens there.
pub fn host_of(listener: &TcpListener) -> Result<String, Error> {
    let address = listener.local_addr()?;
    Ok(match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    })
}

/// Answers on a listener, on a thread of its own and within limits, for ever.
pub fn answer(
    name: &str,
    listener: TcpListener,
    connections: Arc<Connections>,
    router: Router,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.into()).spawn(move || {
        runtime.block_on(async {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => connections.accept(listener, router).await,
                Err(error) => log::error!("HTTP ends: {error}"),
            }
        });
    })?;
    Ok(())
}

/// A server that runs.
#[derive(Debug)]
pub struct Web {
    connections: Arc<Connections>,
}

impl Web {
    /// Waits until those who watch have got the end, once the hubs are closed.
    pub fn finish(self) {
        const LOOK: Duration = Duration::from_millis(20);
        let until = Instant::now() + FAREWELL;
        while self.connections.viewers() > 0 && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        // What was handed over last is on its way.
        std::thread::sleep(LOOK);
    }
}

/// Serves the channels of a line-up, on a thread of its own.
pub fn serve(listener: TcpListener, lineup: Lineup, config: WebConfig) -> Result<Web, Error> {
    let connections = Arc::new(Connections::new(config.limits));
    let shared = Shared { lineup, connections: connections.clone(), token: config.token };
    answer("http", listener, connections.clone(), router(shared))?;
    Ok(Web { connections })
}

fn router(shared: Shared) -> Router {
    assets::viewer_assets(Router::new())
        .route("/", get(front))
        .route("/channels.json", get(channels))
        .route("/figures.json", get(only_figures))
        .route("/{name}", get(of_channel).options(preflight))
        .route("/{name}/hls/{part}", get(hls_part).options(preflight))
        .route("/{name}/saved", get(saved_list))
        .route("/{name}/saved/{film}", get(saved_film).options(preflight))
        .fallback(|State(shared): State<Shared>| async move { not_found(&shared) })
        .with_state(shared)
}

/// Players on other pages may take the film, as they ask first.
async fn preflight() -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Range, Cache-Control, Authorization"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, HEADERS).into_response()
}

/// Where on the page's host a channel is.
pub fn channel_path(name: &str) -> String {
    format!("/{}", utf8_percent_encode(name, NAME))
}

/// What may follow a question mark.
#[derive(Debug, Default, Deserialize)]
struct Wishes {
    token: Option<String>,
    /// Seconds before the newest to begin.
    back: Option<f64>,
    /// Seconds after the beginning of what is saved.
    from: Option<f64>,
}

/// What somebody wants who shows the token, if one is wanted; others are refused.
struct Allowed(Wishes);

impl FromRequestParts<Shared> for Allowed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let wishes = Query::<Wishes>::try_from_uri(&parts.uri);
        let Query(wishes) = wishes.map_err(IntoResponse::into_response)?;
        match token::may(shared.token.as_ref(), wishes.token.as_deref(), &parts.headers) {
            true => Ok(Self(wishes)),
            false => Err(token::refusal()),
        }
    }
}

/// Whoever asks for a film.
struct Request {
    method: Method,
    wishes: Wishes,
    connection: Arc<Connection>,
    /// It wants a WebSocket.
    upgrade: Option<WebSocketUpgrade>,
}

/// The page of the only channel, or an index of all.
async fn front(State(shared): State<Shared>) -> Response {
    match &shared.lineup.all()[..] {
        [_] => assets::page(assets::CHANNEL),
        _ => assets::page(assets::INDEX),
    }
}

/// A line of the index.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    title: Option<String>,
    path: String,
    #[serde(flatten)]
    shown: Shown,
    http_viewers: usize,
}

async fn channels(State(shared): State<Shared>, _: Allowed) -> Response {
    let list = |exhibit: Arc<Exhibit>| {
        let figures = exhibit.figures();
        Listed {
            path: channel_path(&exhibit.name)[1..].to_owned(),
            name: exhibit.name.clone(),
            title: exhibit.title(),
            shown: figures.shown,
            http_viewers: figures.http_viewers,
        }
    };
    fresh(Json(shared.lineup.all().into_iter().map(list).collect::<Vec<_>>()))
}

/// Of the only channel.
async fn only_figures(State(shared): State<Shared>, _: Allowed) -> Response {
    match &shared.lineup.all()[..] {
        [exhibit] => fresh(Json(exhibit.figures())),
        _ => (StatusCode::NOT_FOUND, "there are several channels; see channels.json\n")
            .into_response(),
    }
}

fn fresh(body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// `NAME` is the page of a channel, `NAME.flv` its film, `NAME.m3u8` its playlist, `NAME.json` its
/// figures.
async fn of_channel(
    method: Method,
    State(shared): State<Shared>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(path): Path<String>,
    allowed: Result<Allowed, Response>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // The bare page tells nothing.
    if shared.lineup.get(&path).is_some() {
        return assets::page(assets::CHANNEL);
    }
    let found = path.rsplit_once('.').and_then(|(name, kind)| {
        let exhibit = shared.lineup.get(name)?;
        ["flv", "json", "m3u8"].contains(&kind).then_some((exhibit, kind))
    });
    let Some((exhibit, kind)) = found else { return not_found(&shared) };
    let wishes = match allowed {
        Ok(Allowed(wishes)) => wishes,
        Err(refusal) => return refusal,
    };
    match kind {
        "json" => fresh(Json(exhibit.figures())),
        "m3u8" => hls::playlist(&exhibit, &query(wishes.token.as_deref())),
        _ => {
            let upgrade = upgrade.ok();
            film(&shared, &exhibit, Request { method, wishes, connection, upgrade })
        }
    }
}

/// What follows names in playlists, for those who need a token.
fn query(token: Option<&str>) -> String {
    token.map_or(String::new(), |token| format!("?token={}", utf8_percent_encode(token, NAME)))
}

async fn hls_part(
    State(shared): State<Shared>,
    Path((name, part)): Path<(String, String)>,
    _: Allowed,
) -> Response {
    match shared.lineup.get(&name) {
        Some(exhibit) => hls::part(&exhibit, &part),
        None => not_found(&shared),
    }
}

/// What is saved of a channel.
async fn saved_list(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    _: Allowed,
) -> Response {
    match shared.lineup.get(&name).and_then(|exhibit| exhibit.shelf().cloned()) {
        Some(shelf) => saved::list(shelf).await,
        None => fresh(Json([(); 0])),
    }
}

async fn saved_film(
    State(shared): State<Shared>,
    Extension(connection): Extension<Arc<Connection>>,
    Path((name, film)): Path<(String, String)>,
    Allowed(wishes): Allowed,
    headers: HeaderMap,
) -> Response {
    let exhibit = shared.lineup.get(&name);
    let shelf = exhibit.as_ref().and_then(|exhibit| Some((exhibit.shelf()?.clone(), exhibit)));
    let Some((shelf, exhibit)) = shelf else { return not_found(&shared) };
    let Some(seat) = shared.connections.seat(&connection, exhibit.viewers()) else {
        return too_many();
    };
    let from = wishes.from.and_then(|from| Duration::try_from_secs_f64(from).ok());
    let film = film.strip_suffix(".flv").unwrap_or(&film).to_owned();
    saved::film(shelf, film, from.unwrap_or_default(), &headers, seat).await
}

fn too_many() -> Response {
    const HINT: &str = "too many watch here just now; try again later\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], HINT).into_response()
}

/// Which channels there are is told to those only who may know.
fn not_found(shared: &Shared) -> Response {
    let hint = match &shared.lineup.all()[..] {
        [only] if shared.token.is_none() => {
            format!("not here; the film is at {}.flv\n", channel_path(&only.name))
        }
        _ => "not here; the channels are listed at /\n".to_owned(),
    };
    (StatusCode::NOT_FOUND, hint).into_response()
}

fn film(shared: &Shared, exhibit: &Exhibit, request: Request) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "video/x-flv"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ACCEPT_RANGES, "none"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    if request.method == Method::HEAD {
        return headers.into_response();
    }
    let Some(seat) = shared.connections.seat(&request.connection, exhibit.viewers()) else {
        return too_many();
    };
    let viewer = match request.wishes.back.map(Duration::try_from_secs_f64) {
        Some(Ok(back)) if !back.is_zero() => exhibit.hub.join_behind(back),
        _ => exhibit.hub.join(),
    };
    request.connection.watches(&viewer);
    let ticks = exhibit.ticks();
    if let Some(upgrade) = request.upgrade {
        let take = |socket| film::over_websocket(socket, viewer, seat, ticks);
        // Players say nothing but goodbye.
        const HEARD: usize = 1024;
        return upgrade.max_message_size(HEARD).max_frame_size(HEARD).on_upgrade(take);
    }
    (headers, film::body(viewer, seat, ticks)).into_response()
}
