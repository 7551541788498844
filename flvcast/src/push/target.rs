//! Where a channel is pushed to: `rtmp://HOST[:PORT]/APP/KEY`, or `rtmps://…`.

use std::{fmt, str::FromStr};

use url::Url;

use crate::source::rtmp::{DEFAULT_PORT, pull};

/// RTMP in TLS has no port of its own.
const TLS_PORT: u16 = 443;

/// A server, and the key that it wants.
#[derive(Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// Encrypted.
    pub is_tls: bool,
    /// A name or an address.
    pub host: String,
    /// TCP.
    pub port: u16,
    /// As `connect` has it, without the key.
    pub url: String,
    /// The application.
    pub app: String,
    /// The key, which nobody else may know.
    pub key: String,
}

impl FromStr for PushTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write rtmp://HOST[:PORT]/APP/KEY, or rtmps://…";
        let url = Url::parse(text).map_err(|_| FORM)?;
        let is_tls = match url.scheme() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(FORM.into()),
        };
        let (connection, app, key) = pull::split(&url).ok_or(FORM)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() || app.is_empty() || key.is_empty() {
            return Err(FORM.into());
        }
        let port = url.port().unwrap_or(if is_tls { TLS_PORT } else { DEFAULT_PORT });
        Ok(Self { is_tls, host, port, url: connection, app, key })
    }
}

/// Without the key.
impl fmt::Display for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.url)
    }
}

impl fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_hides_its_key() {
        let target: PushTarget = "rtmp://[::1]:1936/live/app/SECRET?x=1".parse().unwrap();
        let parts = (target.host.as_str(), target.port, target.app.as_str(), target.key.as_str());
        assert_eq!(parts, ("::1", 1936, "live/app", "SECRET?x=1"));
        assert_eq!(format!("{target} {target:?}").matches("SECRET").count(), 0);
        let target: PushTarget = "rtmps://user:pw@host/app/SECRET".parse().unwrap();
        assert_eq!((target.port, target.to_string().as_str()), (443, "rtmps://host/app/…"));
        for wrong in ["rtmp://host/app", "rtmp:///app/key", "http://host/app/key", "x"] {
            assert!(wrong.parse::<PushTarget>().is_err(), "{wrong}");
        }
    }
}
