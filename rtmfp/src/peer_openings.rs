//! Sessions being opened to peers, on behalf of whoever keeps them.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use crate::{
    Endpoint, OpenError, OpenFailure, SessionId,
    crypto::{Discriminator, PeerId},
};

#[derive(Debug, Clone, Copy)]
struct Attempt {
    session: SessionId,
    /// False if somebody else on this endpoint opens it.
    is_ours: bool,
}

/// Attempts under way, one for each peer, whichever end's succeeds.
#[derive(Debug, Default)]
pub struct PeerOpenings {
    attempts: BTreeMap<PeerId, Attempt>,
}

impl PeerOpenings {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.attempts.len()
    }

    /// Begins to open a session unless that was begun; `candidates` are those of
    /// [`Endpoint::open`]. If somebody else opens one, that is waited for; one that is open is an
    /// error here as there.
    pub fn open(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        peer: PeerId,
        candidates: &[SocketAddr],
    ) -> Result<(), OpenError> {
        if self.attempts.contains_key(&peer) {
            return Ok(());
        }
        let attempt = match endpoint.open(now, Discriminator::Fingerprint(peer), candidates) {
            Ok(session) => Attempt { session, is_ours: true },
            Err(OpenError::Exists(session)) if endpoint.session(session).is_none() => {
                Attempt { session, is_ours: false }
            }
            Err(error) => return Err(error),
        };
        self.attempts.insert(peer, attempt);
        Ok(())
    }

    /// The session is not wanted any more.
    pub fn cancel(&mut self, endpoint: &mut Endpoint, peer: &PeerId) {
        if let Some(attempt) = self.attempts.remove(peer).filter(|attempt| attempt.is_ours) {
            endpoint.cancel_open(attempt.session);
        }
    }

    /// A session with this peer is open, whoever opened it. True if it was waited for.
    pub fn on_opened(&mut self, peer: &PeerId) -> bool {
        self.attempts.remove(peer).is_some()
    }

    /// An attempt failed. The peer, if it was waited for and no other session with it is there or
    /// to come.
    pub fn on_failed(
        &mut self,
        endpoint: &mut Endpoint,
        session: SessionId,
        reason: OpenFailure,
    ) -> Option<PeerId> {
        let (peer, attempt) =
            self.attempts.iter_mut().find(|(_, attempt)| attempt.session == session)?;
        let peer = *peer;
        if let OpenFailure::Superseded(other) = reason
            && endpoint.session(other).is_none()
        {
            *attempt = Attempt { session: other, is_ours: false };
            return None;
        }
        self.attempts.remove(&peer);
        endpoint.session_with(&peer).is_none().then_some(peer)
    }
}
