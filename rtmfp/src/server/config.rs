//! The server's settings: defaults, a TOML file, the command line, each over the one before.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use crate::url::DEFAULT_PORT;

/// How to run a server. As TOML: `listen = ["0.0.0.0:1935"]`, `identity = "rtmfpd.id"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// UDP addresses; empty means port 1935 of all interfaces.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// A file that keeps the fingerprint the same; made if it is not there. Without one, each
    /// start has a new fingerprint, which clients do not mind.
    #[serde(default)]
    pub identity: Option<PathBuf>,
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
            return (self.listen.clone(), true);
        }
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT));
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT));
        (vec![v4, v6], false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_file_line_and_key() {
        let dir = std::env::temp_dir().join(format!("rtmfpd-config-{}", std::process::id()));
        std::fs::write(&dir, "listen = [\"127.0.0.1:1935\"]\nlisten_on = 5\n").unwrap();
        let error = ServerConfig::load(&dir).unwrap_err().to_string();
        std::fs::remove_file(&dir).unwrap();
        assert!(error.contains("line 2") && error.contains("listen_on"), "{error}");
    }
}
