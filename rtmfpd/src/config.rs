//! The server's settings: defaults, a TOML file, the command line, each over the one before.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use rtmfp::{
    DEFAULT_PORT, ProtectionRule, ProtectionRules,
    crypto::{Group, Policy, Protection},
};

/// How to run a server. As TOML:
///
/// ```toml
/// listen = ["0.0.0.0:1935", { address = "0.0.0.0:1936", hmac = "require" }]
/// identity = "rtmfpd.id"
/// hmac = "match"              # off, match, request or require
/// sequence-numbers = "match"
/// groups = [2, 5, 14]         # Diffie-Hellman groups for ephemeral keys
/// live-streams = false        # relay what clients publish to those who play it
///
/// [[path]]
/// path = "bank"               # rtmfp://host/bank and below
/// hmac = "require"
/// sequence-numbers = "require"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ServerConfig {
    /// UDP addresses; empty means port 1935 of all interfaces.
    pub listen: Vec<Listener>,
    /// A file that keeps the fingerprint the same; made if it is not there. Without one, each
    /// start has a new fingerprint, which clients do not mind.
    pub identity: Option<PathBuf>,
    /// Make the identity file, if it is not there, with static keys. Then nobody else can have
    /// the fingerprint, and clients may pin it; but librtmfp cannot connect.
    pub static_keys: bool,
    /// A name that clients may ask for instead of a URI.
    pub hostname: Option<String>,
    /// Diffie-Hellman groups of our keys, in the order offered; empty means 2, 5 and 14 as Adobe's
    /// servers, or 2 and 14 if keys are static.
    #[serde(alias = "group")]
    pub groups: Vec<GroupNumber>,
    /// HMACs on packets.
    pub hmac: Option<Want>,
    /// Session sequence numbers on packets.
    pub sequence_numbers: Option<Want>,
    /// Let clients publish live streams to others. Off: the server introduces, and peers carry.
    pub live_streams: bool,
    /// Other policies for some paths.
    pub path: Vec<PathPolicy>,
}

/// An address to listen on, with a policy of its own if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "ListenerForm")]
pub struct Listener {
    /// Port 0 picks a free one.
    pub address: SocketAddr,
    /// In place of the server's.
    pub hmac: Option<Want>,
    /// In place of the server's.
    pub sequence_numbers: Option<Want>,
}

impl From<SocketAddr> for Listener {
    fn from(address: SocketAddr) -> Self {
        Self { address, hmac: None, sequence_numbers: None }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"ADDR:PORT\" or { address = \"ADDR:PORT\", hmac = … }")]
enum ListenerForm {
    Bare(SocketAddr),
    Full(FullListener),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FullListener {
    address: SocketAddr,
    hmac: Option<Want>,
    sequence_numbers: Option<Want>,
}

impl From<ListenerForm> for Listener {
    fn from(form: ListenerForm) -> Self {
        match form {
            ListenerForm::Bare(address) => address.into(),
            ListenerForm::Full(FullListener { address, hmac, sequence_numbers }) => {
                Self { address, hmac, sequence_numbers }
            }
        }
    }
}

/// A policy for a path and what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PathPolicy {
    /// Without the slash before it.
    pub path: String,
    /// In place of the server's.
    pub hmac: Option<Want>,
    /// In place of the server's.
    pub sequence_numbers: Option<Want>,
}

/// A [`Protection`] by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// Never
    Off,
    /// If the client shows that it wants it (reaches every known client)
    Match,
    /// Always asked for (shuts out librtmfp)
    Request,
    /// No session without
    Require,
}

impl From<Want> for Protection {
    fn from(want: Want) -> Self {
        match want {
            Want::Off => Self::Off,
            Want::Match => Self::Match,
            Want::Request => Self::Request,
            Want::Require => Self::Require,
        }
    }
}

/// A group by IANA's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct GroupNumber(pub Group);

impl TryFrom<u64> for GroupNumber {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        Group::from_number(number)
            .map(Self)
            .ok_or_else(|| format!("there is no group {number}; known are 2, 5, 14 and 16"))
    }
}

impl std::str::FromStr for GroupNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<u64>().map_err(|error| error.to_string())?.try_into()
    }
}

/// The configuration file is of no use. Blame lies with who wrote it.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("cannot read {0}: {1}; check the path given to --config")]
    Read(PathBuf, std::io::Error),
    /// It does not say what it should.
    #[error("{0}: {1}")]
    Parse(PathBuf, String),
}

impl ServerConfig {
    /// Reads a TOML file; errors name file, line and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Read(path.into(), error))?;
        toml::from_str(&text).map_err(|error| {
            let number = error.span().map_or(0, |span| text[..span.start].matches('\n').count());
            let line = text.lines().nth(number).unwrap_or_default().trim();
            let what = error.message().replace('\n', ", ");
            let place = format!("line {}, '{line}': {what}", number + 1);
            ConfigError::Parse(path.into(), place)
        })
    }

    /// The addresses to bind, and whether all of them must work.
    pub(super) fn bindings(&self) -> (Vec<SocketAddr>, bool) {
        if !self.listen.is_empty() {
            return (self.listen.iter().map(|listener| listener.address).collect(), true);
        }
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT));
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT));
        (vec![v4, v6], false)
    }

    /// What packets of whom must carry. A path's policy goes before a listener's.
    pub(super) fn protection(&self) -> ProtectionRules {
        let default = policy(Policy::default(), self.hmac, self.sequence_numbers);
        let paths = self.path.iter().map(|path| ProtectionRule {
            socket: None,
            path: Some(path.path.trim_matches('/').to_owned()),
            policy: policy(default, path.hmac, path.sequence_numbers),
        });
        let listeners = self.listen.iter().enumerate().map(|(index, listener)| ProtectionRule {
            socket: u8::try_from(index).ok(),
            path: None,
            policy: policy(default, listener.hmac, listener.sequence_numbers),
        });
        ProtectionRules { default, rules: paths.chain(listeners).collect() }
    }
}

fn policy(over: Policy, hmac: Option<Want>, sequence_numbers: Option<Want>) -> Policy {
    Policy {
        hmac: hmac.map_or(over.hmac, Protection::from),
        sequence_numbers: sequence_numbers.map_or(over.sequence_numbers, Protection::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<ServerConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rtmfpd.toml");
        std::fs::write(&path, text).unwrap();
        ServerConfig::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, line, word) in [
            ("listen = [\"127.0.0.1:1935\"]\nlisten_on = 5\n", "line 2", "listen_on"),
            ("hmac = \"maybe\"\n", "line 1", "maybe"),
            ("\ngroups = [2, 3]\n", "line 2", "known are 2, 5, 14 and 16"),
            ("listen = [5]\n", "line 1", "ADDR:PORT"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(line) && error.contains(word), "{error}");
        }
    }

    #[test]
    fn paths_go_before_listeners_and_listeners_before_the_default() {
        let config = load(
            r#"
            listen = ["127.0.0.1:1", { address = "127.0.0.1:2", hmac = "off" }]
            hmac = "request"
            [[path]]
            path = "/bank/"
            hmac = "require"
            "#,
        )
        .unwrap();
        let rules = config.protection();
        let hmac = |socket, uri: &str| rules.policy(socket, Some(uri.as_bytes())).hmac;
        assert_eq!(hmac(0, "rtmfp://h/x"), Protection::Request);
        assert_eq!(hmac(1, "rtmfp://h/x"), Protection::Off);
        assert_eq!(hmac(1, "rtmfp://h/bank/vault"), Protection::Require);
    }
}
