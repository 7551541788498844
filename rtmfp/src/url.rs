//! `rtmfp://host[:port][/path][#fingerprint=HEX]`, RFC 7425 §6.1.

use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use thiserror::Error;

use crate::crypto::{Discriminator, PeerId};

/// RFC 7425 §6.1.
pub const DEFAULT_PORT: u16 = 1935;
/// It travels in one datagram.
const MAX_LEN: usize = 1000;

/// Where a server is, and what to ask it for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    host: String,
    port: u16,
    app: String,
    pinned: Option<PeerId>,
}

/// The text is not a server's URL. Blame lies with who typed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "'{0}' is not an RTMFP URL; write rtmfp://HOST, rtmfp://HOST:PORT or rtmfp://HOST:PORT/KEY \
     (1,000 bytes at most), with #fingerprint= and 64 hex digits behind it to accept no other server"
)]
pub struct UrlError(String);

impl ServerUrl {
    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path without its slash: an application's name, or a developer key.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The only server that will do, if the URL says so.
    pub fn pinned(&self) -> Option<PeerId> {
        self.pinned
    }

    /// How the server is asked for: by its fingerprint if that is pinned, else by this URL.
    pub fn discriminator(&self) -> Discriminator {
        match self.pinned {
            Some(fingerprint) => Discriminator::Fingerprint(fingerprint),
            None => Discriminator::AncillaryData(self.text.clone().into_bytes()),
        }
    }

    /// Asks the system's resolver; blocks.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let error = || UrlError(text.to_owned());
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let pinned = match fragment.strip_prefix("fingerprint=") {
            Some(digits) => Some(digits.parse().map_err(|_| error())?),
            None if fragment.is_empty() => None,
            None => return Err(error()),
        };
        // RFC 3986 §3.1: schemes are the same in capitals.
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        if !scheme.eq_ignore_ascii_case("rtmfp") {
            return Err(error());
        }
        let (authority, app) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or_else(error)?;
                (
                    host,
                    after
                        .strip_prefix(':')
                        .or((after.is_empty()).then_some(""))
                        .ok_or_else(error)?,
                )
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let port =
            if port.is_empty() { DEFAULT_PORT } else { port.parse().map_err(|_| error())? };
        if host.is_empty() || port == 0 || text.len() > MAX_LEN {
            return Err(error());
        }
        Ok(Self {
            text: format!("rtmfp://{rest}"),
            host: host.to_owned(),
            port,
            app: app.trim_end_matches('/').to_owned(),
            pinned,
        })
    }
}

/// Without the fingerprint, as servers are told it.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_seen_in_applications_are_read() {
        for (text, host, port, app) in [
            ("rtmfp://p2p.rtmfp.net", "p2p.rtmfp.net", 1935, ""),
            ("rtmfp://p2p.rtmfp.net/", "p2p.rtmfp.net", 1935, ""),
            ("rtmfp://127.0.0.1:1940/key/", "127.0.0.1", 1940, "key"),
            ("rtmfp://[::1]:1940/a/b", "::1", 1940, "a/b"),
            ("rtmfp://[::1]", "::1", 1935, ""),
            ("RTMFP://Host/App", "Host", 1935, "App"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port, url.app()), (host, port, app), "{text}");
        }
        for text in [
            "",
            "rtmp://x",
            "rtmfp://",
            "rtmfp://x:y",
            "rtmfp://x:0",
            "rtmfp://[::1",
            "rtmfp://[::1]x",
            "rtmfp://x#y",
            "rtmfp://x#fingerprint=12",
            &format!("rtmfp://x/{}", "a".repeat(MAX_LEN)),
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_addresses_of_a_name_are_tried() {
        let url: ServerUrl = "rtmfp://localhost:1940/x".parse().unwrap();
        let resolver: Vec<_> = ("localhost", 1940).to_socket_addrs().unwrap().collect();
        assert_eq!(url.resolve().unwrap(), resolver);
    }

    #[test]
    fn a_fingerprint_pins_the_server() {
        let url: ServerUrl =
            format!("rtmfp://x/app#fingerprint={}", "0a".repeat(32)).parse().unwrap();
        assert_eq!((url.app(), url.to_string().as_str()), ("app", "rtmfp://x/app"));
        assert_eq!(url.discriminator(), Discriminator::Fingerprint(PeerId([10; 32])));
        let loose: ServerUrl = "rtmfp://x/app".parse().unwrap();
        assert_eq!(loose.discriminator(), Discriminator::AncillaryData(b"rtmfp://x/app".to_vec()));
    }
}
