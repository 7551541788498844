//! `rtmp://…`: a stream pulled from an RTMP server.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use rtmfp::rtmp::tcp::{ClientEvent, ClientSession};
use url::Url;

use super::{DEFAULT_PORT, is_patience, to_tag};
use crate::{
    crew::Readable,
    source::{Cancel, Opened, Piece, Shown, Source, SourceError, bytes::STEADY},
};

const CONNECT: Duration = Duration::from_secs(10);
/// Answers that a server does not take.
const MAX_UNSENT: usize = 1 << 20;
/// It is looked at this often, whatever happens.
const LOOK: Duration = Duration::from_millis(500);
/// A server of which nothing comes for so long is asked again: it may have forgotten us.
const SILENCE: Duration = Duration::from_secs(30);

/// A connection that plays.
struct Pull {
    name: String,
    /// What nobody else may know.
    query: String,
    stream: TcpStream,
    session: ClientSession,
    /// What the server did not take yet.
    unsent: Vec<u8>,
    heard: Instant,
    has_ended: bool,
}

/// Connects, and asks for the stream.
pub fn open(url: &Url, cancel: &Cancel) -> Result<Opened, SourceError> {
    let Some((connection, app, name)) = split(url) else {
        return Err(SourceError::Final(format!(
            "{} names no stream; write rtmp://HOST/APP/STREAM",
            Shown(url)
        )));
    };
    let failed = |error: &dyn std::fmt::Display| {
        SourceError::Passing(format!("cannot connect to {connection}: {error}"))
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port().unwrap_or(DEFAULT_PORT);
    let addresses = (host, port).to_socket_addrs().map_err(|error| failed(&error))?;
    let stream = connect(addresses).map_err(|error| failed(&error))?;
    let closing = stream.try_clone().map_err(|error| failed(&error))?;
    cancel.on_set(move || drop(closing.shutdown(Shutdown::Both)));
    let session = ClientSession::play(&connection, &app, &name, rand::random());
    let pull = Pull {
        name: Shown(url).to_string(),
        query: url.query().unwrap_or_default().to_owned(),
        stream,
        session,
        unsent: Vec::new(),
        heard: Instant::now(),
        has_ended: false,
    };
    Ok(Opened::new(pull, STEADY))
}

fn connect(addresses: impl Iterator<Item = std::net::SocketAddr>) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The connection's URL, the application and the stream: what follows the last slash.
pub fn split(url: &Url) -> Option<(String, String, String)> {
    let (app, name) = url.path().trim_matches('/').rsplit_once('/')?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let connection = format!("{}://{}{port}/{app}", url.scheme(), url.host_str()?);
    Some((connection, app.to_owned(), format!("{name}{query}")))
}

impl Pull {
    fn failed(&self, error: &dyn std::fmt::Display) -> SourceError {
        SourceError::Passing(format!("{}: {error}", self.name))
    }

    fn take(&mut self, event: ClientEvent) -> Result<Option<Piece>, SourceError> {
        Ok(match event {
            ClientEvent::Started => Some(Piece::Notice(format!(
                "connected to {}; waiting for what it gives",
                self.name
            ))),
            ClientEvent::Message(message) => {
                let tag = to_tag(message);
                // A word of the server to Flash's scripts, not of the stream.
                let tag =
                    tag.filter(|tag| !tag.payload.starts_with(b"\x02\x00\x11|RtmpSampleAccess"));
                self.has_ended &= tag.is_none();
                tag.map(Piece::Tag)
            }
            ClientEvent::Ended if !std::mem::replace(&mut self.has_ended, true) => {
                Some(Piece::Restart)
            }
            ClientEvent::Ended => None,
            ClientEvent::Refused(why) => {
                // It may repeat the stream's name, with its token.
                let why = match self.query.as_str() {
                    "" => why,
                    query => why.replace(query, "…"),
                };
                return Err(self.failed(&format_args!("the server refuses: {why}")));
            }
        })
    }
}

impl Pull {
    /// Sends what the server takes.
    fn send(&mut self) -> std::io::Result<()> {
        if let Some(bytes) = self.session.poll_transmit() {
            self.unsent.extend_from_slice(&bytes);
        }
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if is_patience(&error) && self.unsent.len() <= MAX_UNSENT => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Source for Pull {
    fn blocks(&self) -> bool {
        false
    }

    fn next(&mut self) -> Result<Piece, SourceError> {
        while let Some(event) = self.session.poll_event() {
            if let Some(piece) = self.take(event)? {
                return Ok(piece);
            }
        }
        self.send().map_err(|error| self.failed(&error))?;
        let mut chunk = [0; 1 << 16];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(self.failed(&"the server has closed the connection; does it know the application and the stream?")),
            Ok(count) => {
                self.heard = Instant::now();
                let taken = self.session.handle_bytes(&chunk[..count]);
                taken.map_err(|error| self.failed(&error))?;
            }
            Err(error) if is_patience(&error) => {
                if self.heard.elapsed() > SILENCE {
                    return Err(self.failed(&"nothing comes"));
                }
                return Ok(Piece::Read(Readable::of(&self.stream), LOOK));
            }
            Err(error) => return Err(self.failed(&error)),
        }
        Ok(Piece::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_what_follows_the_last_slash() {
        let split = |text: &str| super::split(&Url::parse(text).unwrap());
        let expected = ("rtmp://h:1940/a/b".into(), "a/b".into(), "s?token=x".into());
        assert_eq!(split("rtmp://h:1940/a/b/s?token=x"), Some(expected));
        assert_eq!(split("rtmp://h/app"), None);
    }
}
