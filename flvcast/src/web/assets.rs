//! Pages, scripts and styles, which are part of the program.

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

/// The page of a channel.
pub const CHANNEL: &[u8] = include_bytes!("../../web/channel.html");
/// The page that lists all channels.
pub const INDEX: &[u8] = include_bytes!("../../web/index.html");
const CONSOLE: &[u8] = include_bytes!("../../web/console.html");

const SCRIPT: &str = "text/javascript";
const STYLE: &str = "text/css";
const PAGE: &str = "text/html; charset=utf-8";

/// Where it is, what it is, and what is in it.
type Asset = (&'static str, &'static str, &'static [u8]);

const ICON: Asset = ("/icon.svg", "image/svg+xml", include_bytes!("../../web/icon.svg"));
const COMMON: [Asset; 5] = [
    ICON,
    ("/style.css", STYLE, include_bytes!("../../web/style.css")),
    ("/mpegts.js", SCRIPT, include_bytes!("../../web/mpegts.js")),
    ("/uPlot.js", SCRIPT, include_bytes!("../../web/uPlot.min.js")),
    ("/uPlot.css", STYLE, include_bytes!("../../web/uPlot.min.css")),
];
const OF_VIEWERS: [Asset; 6] = [
    ("/saved.js", SCRIPT, include_bytes!("../../web/saved.js")),
    ("/channel.js", SCRIPT, include_bytes!("../../web/channel.js")),
    ("/controls.js", SCRIPT, include_bytes!("../../web/controls.js")),
    ("/index.js", SCRIPT, include_bytes!("../../web/index.js")),
    ("/player.js", SCRIPT, include_bytes!("../../web/player.js")),
    ("/charts.js", SCRIPT, include_bytes!("../../web/charts.js")),
];
const OF_CONSOLE: [Asset; 6] = [
    ("/", PAGE, CONSOLE),
    ("/console.css", STYLE, include_bytes!("../../web/console.css")),
    ("/console.js", SCRIPT, include_bytes!("../../web/console.js")),
    ("/console-charts.js", SCRIPT, include_bytes!("../../web/console-charts.js")),
    ("/console-swarm.js", SCRIPT, include_bytes!("../../web/console-swarm.js")),
    ("/api.js", SCRIPT, include_bytes!("../../web/api.js")),
];

/// What follows the name of a channel in its other addresses.
const FORMS: [&str; 3] = [".flv", ".m3u8", ".json"];

/// Whether a channel of this name would hide behind something else.
pub fn is_reserved(name: &str) -> bool {
    let others = ["/channels.json", "/figures.json", "/favicon.ico", "/.", "/.."];
    let assets = COMMON.iter().chain(&OF_VIEWERS).map(|asset| asset.0);
    let is_of_a_channel = FORMS.iter().any(|form| name.ends_with(form));
    let is_taken = |path: &str| {
        let path = &path[1..];
        path == name || FORMS.iter().any(|form| path.strip_suffix(form) == Some(name))
    };
    is_of_a_channel || assets.chain(others).any(is_taken)
}

/// A page.
pub fn page(bytes: &'static [u8]) -> Response {
    asset(PAGE, bytes)
}

/// All that pages of viewers need.
pub fn viewer_assets<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    routes(router, &OF_VIEWERS)
}

/// The console's page and all that it needs.
pub fn console_assets<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    routes(router, &OF_CONSOLE)
}

fn routes<S: Clone + Send + Sync + 'static>(mut router: Router<S>, more: &[Asset]) -> Router<S> {
    for (path, kind, bytes) in COMMON.iter().chain(more).copied() {
        router = router.route(path, get(move || async move { asset(kind, bytes) }));
    }
    router.route("/favicon.ico", get(|| async { asset(ICON.1, ICON.2) }))
}

fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], bytes).into_response()
}
