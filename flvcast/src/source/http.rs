//! HTTP, as all sources that need it speak it.

mod icy;
mod socket;

use std::{
    io::{self, Read},
    time::Duration,
};

use ureq::{
    Agent, BodyReader,
    http::Response,
    unversioned::{
        resolver::DefaultResolver,
        transport::{ConnectProxyConnector, Connector, RustlsConnector},
    },
};
use url::Url;

use super::{Shown, SourceError};
use icy::IcyConnector;
pub use socket::Lines;
use socket::SocketConnector;

/// For name, connection and head; a body may take as long as it lasts.
const CONNECT: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(15);
/// A body of which nothing comes for so long is dead.
pub const SILENCE: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: u32 = 8;

/// A client as all HTTP sources use it.
pub fn agent() -> Agent {
    agent_with(Lines::default())
}

/// The same; its connections can be waited for elsewhere.
pub fn agent_with(lines: Lines) -> Agent {
    let config = Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(HEAD))
        .timeout_per_read(Some(SILENCE))
        .max_redirects(MAX_REDIRECTS)
        .http_status_as_error(false)
        .user_agent(concat!("flvcast/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(SocketConnector(lines))
            .chain(RustlsConnector::default())
            .chain(IcyConnector);
    Agent::with_parts(config, connector, DefaultResolver::default())
}

/// What a server answered.
pub struct Answer {
    /// Where it came from, after redirects.
    pub url: Url,
    /// Said by the server.
    pub length: Option<u64>,
    /// Only the part that was asked for.
    pub is_part: bool,
    /// The rest.
    pub body: BodyReader<'static>,
}

/// Asks for a URL, or for a part of it. With `limit`, all of it must be there by then.
pub fn get(
    agent: &Agent,
    url: &Url,
    part: Option<(u64, u64)>,
    limit: Option<Duration>,
) -> Result<Answer, SourceError> {
    let call = || {
        let mut request = agent.get(url.as_str()).config().timeout_global(limit).build();
        if let Some((from, length)) = part {
            request = request.header(
                "Range",
                format!("bytes={from}-{}", from.saturating_add(length.max(1) - 1)),
            );
        }
        request.call()
    };
    // The server may have closed a connection that was kept for the next request.
    let response = match call() {
        Err(ureq::Error::Io(error)) if was_closed(&error) => call(),
        other => other,
    };
    let response = response.map_err(|error| passing(url, &error))?;
    check_status(url, &response)?;
    let location = ureq::ResponseExt::get_uri(&response).to_string();
    let length = response.headers().get("content-length");
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let is_part = response.status().as_u16() == 206;
    let url = Url::parse(&location).unwrap_or_else(|_| url.clone());
    Ok(Answer { url, length, is_part, body: response.into_body().into_reader() })
}

fn was_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

/// An error that may be over soon.
pub fn passing(url: &Url, error: &dyn std::fmt::Display) -> SourceError {
    SourceError::Passing(format!("cannot get {}: {error}", Shown(url)))
}

fn check_status<B>(url: &Url, response: &Response<B>) -> Result<(), SourceError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let text = format!("{}: the server answers {status}", Shown(url));
    // Busy, not there yet, or broken for now.
    let may_change = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    Err(if may_change {
        SourceError::Passing(text)
    } else {
        SourceError::Final(format!("{text}; check the URL"))
    })
}

/// All of a body that is no larger than it may be.
pub fn read_all(body: impl Read, mut head: Vec<u8>, limit: usize) -> io::Result<Vec<u8>> {
    let room = limit.saturating_sub(head.len()) as u64 + 1;
    body.take(room).read_to_end(&mut head)?;
    if head.len() > limit {
        return Err(io::Error::other(format!("it is larger than {} MB", limit >> 20)));
    }
    Ok(head)
}
