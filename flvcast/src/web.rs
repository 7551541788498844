//! The page, the film as HTTP-FLV, and the figures.

mod connections;
mod figures;
mod film;
mod patient;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::{HeaderName, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{Error, hub::Hub};
pub use connections::Limits;
use connections::{Connection, Connections};
pub use figures::{Figures, Frames, Shown, Stream, ViewerFigures};

/// RFC 3986 §2.3: all but these is written as %XX in a path.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes the figures when asked.
pub type FigureSource = Arc<dyn Fn() -> Figures + Send + Sync>;

#[derive(Clone)]
struct Shared {
    hub: Hub,
    figures: FigureSource,
    film: Arc<str>,
    connections: Arc<Connections>,
    ticks: Arc<film::Ticks>,
}

/// Takes the address, so that a taken one is known at once.
pub fn bind(addresses: &[SocketAddr]) -> Result<TcpListener, Error> {
    let first = addresses.first().copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    let failed = |error| Error::Http(first, error);
    let listener = TcpListener::bind(addresses).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// At the end, viewers may take the rest for so long.
const FAREWELL: Duration = Duration::from_secs(1);

/// A server that runs.
#[derive(Debug)]
pub struct Web {
    connections: Arc<Connections>,
}

impl Web {
    /// Waits until those who watch have got the end, once the hub is closed.
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

/// Serves the film as `/CHANNEL.flv` and the page as `/`, on a thread of its own.
pub fn serve(
    listener: TcpListener,
    channel: &str,
    hub: Hub,
    limits: Limits,
    figures: FigureSource,
) -> Result<Web, Error> {
    let shared = Shared {
        hub: hub.clone(),
        figures,
        film: format!("{channel}.flv").into(),
        connections: Arc::new(Connections::new(limits)),
        ticks: Arc::default(),
    };
    let web = Web { connections: shared.connections.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(async {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return log::error!("HTTP ends: {error}"),
            };
            let (connections, ticks) = (shared.connections.clone(), shared.ticks.clone());
            tokio::spawn(async move { ticks.run(&hub).await });
            connections.accept(listener, router(shared)).await;
        });
    })?;
    Ok(web)
}

fn router(shared: Shared) -> Router {
    const HTML: &str = "text/html; charset=utf-8";
    const SCRIPT: &str = "text/javascript";
    let assets: [(&str, &str, &[u8]); 8] = [
        ("/", HTML, include_bytes!("../web/index.html")),
        ("/app.js", SCRIPT, include_bytes!("../web/app.js")),
        ("/player.js", SCRIPT, include_bytes!("../web/player.js")),
        ("/charts.js", SCRIPT, include_bytes!("../web/charts.js")),
        ("/style.css", "text/css", include_bytes!("../web/style.css")),
        ("/mpegts.js", SCRIPT, include_bytes!("../web/mpegts.js")),
        ("/uPlot.js", SCRIPT, include_bytes!("../web/uPlot.min.js")),
        ("/uPlot.css", "text/css", include_bytes!("../web/uPlot.min.css")),
    ];
    let icon: (&str, &str, &[u8]) =
        ("/icon.svg", "image/svg+xml", include_bytes!("../web/icon.svg"));
    let mut router = Router::new();
    for (path, kind, bytes) in assets.into_iter().chain([icon]) {
        router = router.route(path, get(move || async move { asset(kind, bytes) }));
    }
    router
        .route("/favicon.ico", get(move || async move { asset(icon.1, icon.2) }))
        .route(
            "/figures.json",
            get(|State(shared): State<Shared>| async move {
                let mut figures = (shared.figures)();
                figures.http_viewers = shared.connections.viewers();
                ([(header::CACHE_CONTROL, "no-store")], Json(figures))
            }),
        )
        .route("/{*film}", get(film).options(preflight))
        .with_state(shared)
}

fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], bytes).into_response()
}

/// Players on other pages may take the film, as they ask first.
async fn preflight() -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Range, Cache-Control"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, HEADERS).into_response()
}

/// Where on the page's host the film of this name is.
pub fn film_path(name: &str) -> String {
    format!("/{}", utf8_percent_encode(name, NAME))
}

async fn film(
    method: Method,
    State(shared): State<Shared>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(path): Path<String>,
) -> Response {
    if path != *shared.film {
        let hint = format!("not here; the film is at {}\n", film_path(&shared.film));
        return (StatusCode::NOT_FOUND, hint).into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, "video/x-flv"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ACCEPT_RANGES, "none"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    if method == Method::HEAD {
        return headers.into_response();
    }
    let Some(seat) = shared.connections.seat(&connection) else {
        const HINT: &str = "too many viewers; try again later, or raise --max-viewers\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], HINT)
            .into_response();
    };
    let viewer = shared.hub.join();
    connection.watches(&viewer);
    (headers, film::body(viewer, seat, shared.ticks.clone())).into_response()
}
