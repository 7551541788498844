//! Opening sessions. RFC 7016 §3.5.1.1.1.

use std::{net::SocketAddr, time::Instant};

use rand::Rng;
use thiserror::Error;

use super::{
    Config, Endpoint,
    opening::{Backoff, Due, Keying, Opening},
    table::Slot,
};
use crate::{
    crypto::{
        self, Certificate, Discriminator, Identity, PeerId, Policy, Signer,
        keying::{InitiatorComponent, KeyingContext},
    },
    event::{Event, OpenFailure, SessionId},
    path::{Ecn, Path},
    session::{Birth, Far, Session},
    wire::{
        Address, Chunk, Chunks, Mode, Origin, PacketHeader, Reader,
        chunk::{
            CookieChange, InitiatorHello, InitiatorKeying, Redirect, ResponderHello,
            ResponderKeying,
        },
    },
};

/// No session is being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// There is a session with that peer, or one is being opened.
    #[error("a session with this peer exists already")]
    Exists(SessionId),
    /// The table is full.
    #[error("too many sessions")]
    TooMany,
    /// Nobody may open a session with themselves.
    #[error("that peer is ourselves")]
    Ourselves,
}

/// What both roles key sessions with.
pub(super) fn keying_context<'a>(
    config: &'a Config,
    identity: &'a Identity,
    policy: Policy,
) -> KeyingContext<'a> {
    KeyingContext { identity, policy, log: config.key_log.as_deref() }
}

impl Endpoint {
    /// Begins to open a session with whoever `wanted` selects, asking at `candidates`; a
    /// candidate may be an introducer. [`Event::SessionOpened`] or [`Event::OpenFailed`] follows.
    pub fn open(
        &mut self,
        now: Instant,
        wanted: Discriminator,
        candidates: &[SocketAddr],
    ) -> Result<SessionId, OpenError> {
        if let Discriminator::Fingerprint(peer) = &wanted {
            self.refuse_double(peer)?;
        }
        if self.table.len() >= self.config.max_sessions {
            return Err(OpenError::TooMany);
        }
        let mut tag = [0; 16];
        self.rng.fill_bytes(&mut tag);
        let opening = Opening::new(now, wanted, tag);
        let id =
            self.table.insert(|_| Slot::Opening(Box::new(opening))).ok_or(OpenError::TooMany)?;
        self.add_candidates(now, id, candidates);
        Ok(id)
    }

    fn refuse_double(&mut self, peer: &PeerId) -> Result<(), OpenError> {
        if *peer == self.peer_id() {
            return Err(OpenError::Ourselves);
        }
        if let Some(id) = self.table.by_peer(peer) {
            return Err(OpenError::Exists(id));
        }
        let wants = |opening: &Opening| opening.wanted == Discriminator::Fingerprint(*peer);
        match self.table.openings().find(|(_, opening)| wants(opening)) {
            Some((id, _)) => Err(OpenError::Exists(id)),
            None => Ok(()),
        }
    }

    /// More addresses to try for a session still looking for its responder.
    pub fn add_candidates(&mut self, now: Instant, id: SessionId, candidates: &[SocketAddr]) {
        if let Some(Slot::Opening(opening)) = self.table.get_mut(id) {
            for remote in candidates {
                opening.add_candidate(now, Address::new(*remote, Origin::Unknown));
            }
        }
        self.send_due(now, id);
        self.table.touch(now, id);
    }

    /// Gives up a session that is not open yet; open ones are not touched.
    pub fn cancel_open(&mut self, id: SessionId) {
        if let Some(Slot::Opening(_)) = self.table.get_mut(id) {
            self.fail_open(id, OpenFailure::Cancelled);
        }
    }

    pub(super) fn fail_open(&mut self, id: SessionId, reason: OpenFailure) {
        self.table.remove(id);
        self.events.push_back(Event::OpenFailed { session: id, reason });
    }

    pub(super) fn handle_opening_timeout(&mut self, now: Instant, id: SessionId) {
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        if opening.is_overdue(now) {
            self.fail_open(id, OpenFailure::TimedOut);
        } else {
            self.send_due(now, id);
        }
    }

    fn send_due(&mut self, now: Instant, id: SessionId) {
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        for due in opening.take_due(now) {
            match due {
                Due::Hello(path) => self.send_hello(now, id, path),
                Due::Keying => self.send_keying(now, id),
            }
        }
    }

    fn send_hello(&mut self, now: Instant, id: SessionId, path: Path) {
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        let (epd, tag) = (opening.wanted.encode(), opening.tag);
        self.send_startup(now, path, 0, |out| InitiatorHello { epd: &epd, tag: &tag }.put(out));
    }

    fn send_keying(&mut self, now: Instant, id: SessionId) {
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        let Some(keying) = opening.keying() else { return };
        let (path, cookie, component) =
            (keying.path, keying.cookie.clone(), keying.component.bytes.clone());
        let certificate = self.identity.certificate().bytes().to_vec();
        let credential = self.config.passwords.ours.clone();
        self.send_startup(now, path, 0, |out| {
            let keying = InitiatorKeying {
                session_id: id.0,
                cookie: &cookie,
                certificate: &certificate,
                component: &component,
                signature: &[],
                signed: &[],
            };
            keying.put_signed(out, |signed| crypto::sign(credential.as_ref(), signed));
        });
    }

    /// "Look for it there": more candidates for the session with this tag.
    pub(super) fn on_redirect(&mut self, now: Instant, from: Path, redirect: &Redirect<'_>) {
        let Some(id) = self.table.by_tag(redirect.tag) else { return };
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        if !opening.is_hello_stage() {
            return;
        }
        if redirect.is_implied() {
            opening.add_candidate(now, Address::new(from.remote, Origin::Observed));
        }
        for address in redirect.addresses() {
            opening.add_candidate(now, address);
        }
        self.send_due(now, id);
        self.table.touch(now, id);
    }

    /// The first acceptable answer to our hello wins.
    pub(super) fn on_responder_hello(
        &mut self,
        now: Instant,
        from: Path,
        hello: &ResponderHello<'_>,
    ) {
        let Some(id) = self.table.by_tag(hello.tag) else { return };
        let Ok(far) = Certificate::decode(hello.certificate) else { return };
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        if !opening.is_hello_stage()
            || !opening.wanted.selects(&far)
            || far == *self.identity.certificate()
        {
            return;
        }
        let peer = far.peer_id();
        let elsewhere = self.table.openings_to(&peer).first().copied();
        if let Some(existing) = self.table.by_peer(&peer).or(elsewhere) {
            self.fail_open(id, OpenFailure::Superseded(existing));
            return;
        }
        let context = keying_context(&self.config, &self.identity, self.config.protection.default);
        let Ok(component) = InitiatorComponent::generate(context, &far, &mut self.rng) else {
            self.stats.keyings_refused += 1;
            return;
        };
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        opening.begin_keying(Keying {
            path: from,
            far,
            cookie: hello.cookie.to_vec(),
            component,
            cookie_changed: false,
            backoff: Backoff::new(now),
            early: Vec::new(),
        });
        self.send_due(now, id);
        self.table.touch(now, id);
    }

    /// A datagram for a session ID of ours that has no keys yet: RIKeying and Cookie Change come
    /// under the default key; the rest waits.
    pub(super) fn handle_while_opening(
        &mut self,
        now: Instant,
        id: SessionId,
        from: Path,
        datagram: &[u8],
    ) {
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        let Some(keying) = opening.keying_mut() else { return };
        let mut copy = datagram.to_vec();
        let Ok(plain) = self.default_keys.open(&mut copy) else {
            keying.keep_early(datagram);
            return;
        };
        let mut reader = Reader::new(plain);
        let is_startup = |header: &PacketHeader| header.flags.mode == Mode::Startup;
        if !PacketHeader::read(&mut reader).is_ok_and(|header| is_startup(&header)) {
            return;
        }
        for chunk in Chunks::new(reader) {
            match chunk {
                Chunk::ResponderKeying(answer) => self.on_responder_keying(now, id, from, &answer),
                Chunk::CookieChange(change) => self.on_cookie_change(now, id, &change),
                _ => {}
            }
        }
    }

    fn on_cookie_change(&mut self, now: Instant, id: SessionId, change: &CookieChange<'_>) {
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        let Some(keying) = opening.keying_mut() else { return };
        if keying.cookie_changed || keying.cookie != change.old_cookie {
            return;
        }
        keying.cookie_changed = true;
        keying.cookie = change.new_cookie.to_vec();
        keying.backoff = Backoff::new(now);
        self.send_due(now, id);
        self.table.touch(now, id);
    }

    fn on_responder_keying(
        &mut self,
        now: Instant,
        id: SessionId,
        from: Path,
        answer: &ResponderKeying<'_>,
    ) {
        let Some(Slot::Opening(opening)) = self.table.get_mut(id) else { return };
        let Some(keying) = opening.keying_mut() else { return };
        let passwords = &self.config.passwords;
        let signed = [answer.signed, &keying.component.bytes].concat();
        let signer = match crypto::verify(&passwords.known, &signed, answer.signature) {
            Some(Signer::Known(credential)) => Some(credential.id.clone()),
            // RFC 7425 §4.3.5: whoever requires none considers any signature valid.
            _ if !passwords.is_required => None,
            _ => {
                self.stats.keyings_refused += 1;
                return;
            }
        };
        let context = keying_context(&self.config, &self.identity, self.config.protection.default);
        let Ok(keys) = keying.component.combine(context, &keying.far, answer.component) else {
            self.stats.keyings_refused += 1;
            return;
        };
        let early = std::mem::take(&mut keying.early);
        let birth = Birth {
            mode: Mode::Initiator,
            path: keying.path,
            far: Far { id: answer.session_id, certificate: keying.far.clone(), signer },
            keys,
            answered: None,
        };
        if let Some(existing) = self.table.by_peer(&birth.far.certificate.peer_id()) {
            self.fail_open(id, OpenFailure::Superseded(existing));
            return;
        }
        self.table.replace(id, Session::new(now, self.epoch, birth, &self.config.of_sessions()));
        self.announce(now, id);
        for mut datagram in early {
            self.handle_datagram(now, from, Ecn::NotCapable, &mut datagram);
        }
    }
}
