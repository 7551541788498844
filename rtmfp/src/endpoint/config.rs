//! What an application may choose about its endpoint.

use std::{sync::Arc, time::Duration};

use crate::{
    crypto::{Credential, KeyLog, Policy},
    session::{CongestionSignals, DEFAULT_DATAGRAM, Liveness, ReceiveLimits, Settings},
};

/// Endpoint settings with their defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Keepalive and death of sessions; 15 s and 20 s.
    pub liveness: Liveness,
    /// Memory that a flow of the far end may take.
    pub limits: ReceiveLimits,
    /// Sessions, opening ones included; hellos beyond that go unanswered. 100,000.
    pub max_sessions: usize,
    /// Report hellos for others as [`crate::Event::Wanted`]. Servers only.
    pub introduces: bool,
    /// HMACs and sequence numbers on packets; [`crate::crypto::Protection::Match`].
    pub protection: ProtectionRules,
    /// What keying messages are signed with, and whose signatures are known.
    pub passwords: Passwords,
    /// Largest datagram of an open session. 1188 bytes pass every path, and Flash is said to
    /// ignore those over 1192; when this is larger, paths are probed (RFC 7016 §3.5.4.3).
    pub max_datagram: usize,
    /// What tells congestion beside loss.
    pub congestion: CongestionSignals,
    /// Where session keys are written down, for decoding captures of one's own.
    pub key_log: Option<Arc<dyn KeyLog>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Adobe's Cirrus commanded 15 s to clients behind NATs.
            liveness: Liveness {
                keepalive: Duration::from_secs(15),
                give_up: Duration::from_secs(20),
            },
            limits: ReceiveLimits::default(),
            max_sessions: 100_000,
            introduces: false,
            protection: ProtectionRules::default(),
            passwords: Passwords::default(),
            max_datagram: DEFAULT_DATAGRAM,
            congestion: CongestionSignals::default(),
            key_log: None,
        }
    }
}

impl Config {
    /// What concerns each session by itself.
    pub(super) fn of_sessions(&self) -> Settings {
        Settings {
            liveness: self.liveness,
            limits: self.limits,
            max_datagram: self.max_datagram,
            congestion: self.congestion,
        }
    }
}

/// Which packet protection is wanted of whom.
#[derive(Debug, Clone, Default)]
pub struct ProtectionRules {
    /// Where no rule applies, and for sessions that we open.
    pub default: Policy,
    /// The first that applies counts.
    pub rules: Vec<ProtectionRule>,
}

/// A policy for some of those who open sessions with us.
#[derive(Debug, Clone)]
pub struct ProtectionRule {
    /// Those who ask at this one of the driver's sockets; at any if absent.
    pub socket: Option<u8>,
    /// Those who ask for a URI whose path begins with this, such as `live`; for anything if
    /// absent.
    pub path: Option<String>,
    /// What is wanted of them.
    pub policy: Policy,
}

impl ProtectionRules {
    /// What is wanted of who asks for `uri` at `socket`.
    pub fn policy(&self, socket: u8, uri: Option<&[u8]>) -> Policy {
        let path = uri.map(path_of);
        let applies = |rule: &&ProtectionRule| {
            rule.socket.is_none_or(|wanted| wanted == socket)
                && rule.path.as_ref().is_none_or(|wanted| {
                    path.is_some_and(|path| is_within(path, wanted.as_bytes()))
                })
        };
        self.rules.iter().find(applies).map_or(self.default, |rule| rule.policy)
    }
}

/// `/app/instance` of `rtmfp://host/app/instance`; librtmfp sends the bare path.
fn path_of(uri: &[u8]) -> &[u8] {
    let after_host = uri.windows(3).position(|three| three == b"://").map(|at| &uri[at + 3..]);
    match after_host {
        Some(rest) => rest.iter().position(|byte| *byte == b'/').map_or(&[][..], |at| &rest[at..]),
        None => uri,
    }
}

/// Whether `path` is `prefix` or below it, however many slashes are between its parts.
fn is_within(path: &[u8], prefix: &[u8]) -> bool {
    let mut parts = parts_of(path);
    parts_of(prefix).all(|part| parts.next() == Some(part))
}

fn parts_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    path[..end].split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

/// Simple passwords on keying messages, RFC 7425 §4.3.5.1.1.
#[derive(Debug, Clone, Default)]
pub struct Passwords {
    /// Signs ours.
    pub ours: Option<Credential>,
    /// Verify those of others. A known name with a wrong password spoils a signature.
    pub known: Vec<Credential>,
    /// Refuse those who prove nothing.
    pub is_required: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Protection;

    #[test]
    fn the_first_rule_that_applies_counts() {
        let rule = |socket, path: Option<&str>, wanted| ProtectionRule {
            socket,
            path: path.map(str::to_owned),
            policy: Policy::both(wanted),
        };
        let rules = ProtectionRules {
            default: Policy::both(Protection::Off),
            rules: vec![
                rule(None, Some("secure"), Protection::Require),
                rule(Some(1), None, Protection::Request),
            ],
        };
        for (socket, uri, wanted) in [
            (0, Some(&b"rtmfp://h:1/secure"[..]), Protection::Require),
            (0, Some(b"rtmfp://h/secure/room"), Protection::Require),
            (0, Some(b"secure"), Protection::Require),
            (0, Some(b"rtmfp://h//secure/"), Protection::Require),
            (0, Some(b"/secure?a#b"), Protection::Require),
            (0, Some(b"rtmfp://secure"), Protection::Off),
            (0, Some(b"rtmfp://h/secured"), Protection::Off),
            (0, None, Protection::Off),
            (1, Some(b"rtmfp://h/other"), Protection::Request),
            (1, None, Protection::Request),
        ] {
            assert_eq!(rules.policy(socket, uri), Policy::both(wanted), "{socket} {uri:?}");
        }
    }
}
