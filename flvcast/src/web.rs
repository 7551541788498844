//! The page, the film as HTTP-FLV, and the figures.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{Error, hub::Hub};

/// Figures of one viewer, as the page shows them. Bytes count from the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ViewerFigures {
    /// "viewer 1"
    pub name: String,
    /// Likely members of the group, itself included.
    pub members: u64,
    /// Connected members.
    pub neighbours: usize,
    /// Fragments from the caster.
    pub bytes_from_source: u64,
    /// Fragments from other viewers.
    pub bytes_from_peers: u64,
    /// Fragments passed on to others.
    pub bytes_relayed: u64,
    /// Fragments never received.
    pub lost: u64,
    /// From the caster's publishing to this viewer's playing; nothing if it cannot be known.
    pub delay_ms: Option<u64>,
}

/// All figures.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// The channel's name.
    pub channel: String,
    /// One or, in the demonstration, several.
    pub viewers: Vec<ViewerFigures>,
    /// Fragments that the caster sent, if it runs here.
    pub bytes_cast: Option<u64>,
    /// Bytes of the stream itself, if the caster runs here.
    pub bytes_published: Option<u64>,
    /// Browsers and players on this page's film.
    pub http_viewers: usize,
}

/// Makes the figures when asked.
pub type FigureSource = Arc<dyn Fn() -> Figures + Send + Sync>;

#[derive(Clone)]
struct Shared {
    hub: Hub,
    figures: FigureSource,
    film: String,
}

/// Takes the address, so that a taken one is known at once.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let failed = |error| Error::Http(address, error);
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Serves the film as `/CHANNEL.flv` and the page as `/`, on a thread of its own.
pub fn serve(
    listener: TcpListener,
    channel: &str,
    hub: Hub,
    figures: FigureSource,
) -> Result<(), Error> {
    let shared = Shared { hub, figures, film: format!("{channel}.flv") };
    let router = Router::new()
        .route(
            "/",
            get(|| async {
                asset("text/html; charset=utf-8", include_bytes!("../web/index.html"))
            }),
        )
        .route(
            "/app.js",
            get(|| async { asset("text/javascript", include_bytes!("../web/app.js")) }),
        )
        .route(
            "/style.css",
            get(|| async { asset("text/css", include_bytes!("../web/style.css")) }),
        )
        .route(
            "/mpegts.js",
            get(|| async { asset("text/javascript", include_bytes!("../web/mpegts.js")) }),
        )
        .route(
            "/uPlot.js",
            get(|| async { asset("text/javascript", include_bytes!("../web/uPlot.min.js")) }),
        )
        .route(
            "/uPlot.css",
            get(|| async { asset("text/css", include_bytes!("../web/uPlot.min.css")) }),
        )
        .route(
            "/figures.json",
            get(|State(shared): State<Shared>| async move { Json((shared.figures)()) }),
        )
        .route("/{*film}", get(film))
        .with_state(shared);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router).await
        })
    })?;
    Ok(())
}

fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], bytes).into_response()
}

async fn film(State(shared): State<Shared>, Path(path): Path<String>) -> Response {
    if path != shared.film {
        let hint = format!("not here; the film is at /{}\n", shared.film);
        return (StatusCode::NOT_FOUND, hint).into_response();
    }
    let Some(receiver) = shared.hub.watch() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many viewers\n").into_response();
    };
    let bytes = ReceiverStream::new(receiver).map(Ok::<_, std::convert::Infallible>);
    let headers = [
        (header::CONTENT_TYPE, "video/x-flv"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, Body::from_stream(bytes)).into_response()
}
