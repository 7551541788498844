//! Answering those who open sessions with us; nothing is kept of them until a valid IIKeying.
//! RFC 7016 §3.5.1.1.2 to §3.5.1.5.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    Endpoint, Path, cookie::Verdict, initiator::NO_SIGNATURE, opening::Opening, table::Slot,
};
use crate::{
    crypto::{Certificate, Discriminator, Identity, keying},
    event::{CloseReason, Event, ForwardRequest, OpenFailure, SessionId},
    session::{Answered, Birth, Session},
    wire::{
        Address, Chunk, Chunks, Mode, PacketHeader, Reader,
        chunk::{
            CookieChange, InitiatorHello, InitiatorKeying, Redirect, ResponderHello,
            ResponderKeying,
        },
    },
};

/// What an IIKeying means to a session that we are opening to the same endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glare {
    None,
    WePrevail,
    /// Theirs takes the place of this one.
    TheyPrevail(SessionId),
}

/// A hello passed on to us: if we are wanted, remember whom to answer.
pub(super) fn answer_forwarded(
    identity: &Identity,
    socket: u8,
    request: &ForwardRequest<'_>,
    answers: &mut Vec<(Path, Vec<u8>)>,
) {
    let is_wanted = Discriminator::decode(request.epd).selects(identity.certificate());
    // One packet of an introducer must not make us send many.
    if is_wanted && request.reply_address.is_connectable() && answers.is_empty() {
        let path = Path { socket, remote: request.reply_address.socket };
        answers.push((path, request.tag.to_vec()));
    }
}

/// Cookies tell their age in seconds.
const COOKIE_RESOLUTION: Duration = Duration::from_secs(1);

impl Endpoint {
    /// A datagram of the startup pseudo-session. At most one hello of it is answered.
    pub(super) fn handle_startup(&mut self, now: Instant, from: Path, datagram: &mut [u8]) {
        // The default keys are cheap to copy next to a decryption, and the borrow ends here.
        let keys = self.default_keys.clone();
        let Ok(plain) = keys.open(datagram) else {
            self.stats.dropped_unverified += 1;
            return;
        };
        let mut reader = Reader::new(plain);
        match PacketHeader::read(&mut reader) {
            Ok(header) if header.flags.mode == Mode::Startup => {}
            _ => {
                self.stats.dropped_malformed += 1;
                return;
            }
        }
        let mut has_answered = false;
        for chunk in Chunks::new(reader) {
            match chunk {
                Chunk::InitiatorHello(hello) if !has_answered => {
                    has_answered = true;
                    self.on_initiator_hello(now, from, &hello);
                }
                Chunk::InitiatorKeying(keying) => self.on_initiator_keying(now, from, &keying),
                Chunk::ResponderHello(hello) => self.on_responder_hello(now, from, &hello),
                Chunk::Redirect(redirect) => self.on_redirect(now, from, &redirect),
                _ => {}
            }
        }
    }

    fn on_initiator_hello(&mut self, now: Instant, from: Path, hello: &InitiatorHello<'_>) {
        let wanted = Discriminator::decode(hello.epd);
        if wanted.selects(self.identity.certificate()) {
            self.send_hello_answer(now, from, hello.tag);
        } else if let Discriminator::Fingerprint(peer) = wanted
            && self.config.introduces
        {
            let tag = Bytes::copy_from_slice(hello.tag);
            self.events.push_back(Event::Wanted { from, peer, tag });
        }
    }

    pub(super) fn send_hello_answer(&mut self, now: Instant, to: Path, tag: &[u8]) {
        if self.table.len() >= self.config.max_sessions {
            return;
        }
        self.stats.hellos_answered += 1;
        let cookie = self.cookies.issue(now, to.remote);
        let certificate = self.identity.certificate().bytes().to_vec();
        self.send_startup(now, to, 0, |out| {
            ResponderHello { tag, cookie: &cookie, certificate: &certificate }.put(out);
        });
    }

    /// Answers a hello for somebody else with where to find them.
    pub fn redirect(&mut self, now: Instant, to: Path, tag: &[u8], addresses: &[Address]) {
        self.send_startup(now, to, 0, |out| Redirect::put(out, tag, addresses));
    }

    fn on_initiator_keying(&mut self, now: Instant, from: Path, keying: &InitiatorKeying<'_>) {
        let asked_by = match self.cookies.check(now, from.remote, keying.cookie) {
            Verdict::Valid { issued_by } => issued_by,
            Verdict::WrongAddress => {
                let new_cookie = self.cookies.issue(now, from.remote);
                self.send_startup(now, from, keying.session_id, |out| {
                    CookieChange { old_cookie: keying.cookie, new_cookie: &new_cookie }.put(out);
                });
                return;
            }
            Verdict::Refused => {
                self.stats.cookies_refused += 1;
                return;
            }
        };
        let Ok(far) = Certificate::decode(keying.certificate) else {
            self.stats.keyings_refused += 1;
            return;
        };
        let glare = self.glare_with(from, &far);
        if far == *self.identity.certificate() || glare == Glare::WePrevail {
            return;
        }
        if self.make_way(now, from, &far, keying, asked_by)
            && let Some(session) = self.accept(now, from, far, keying)
            && let Glare::TheyPrevail(rival) = glare
        {
            self.fail_open(rival, OpenFailure::Superseded(session));
        }
    }

    /// Glare, RFC 7016 §3.5.1.3 with the order of RFC 7425 §4.3.6.
    fn glare_with(&mut self, from: Path, far: &Certificate) -> Glare {
        let is_rival = |opening: &Opening| match opening.keying() {
            Some(keying) => keying.path.remote == from.remote || keying.far == *far,
            None => opening.has_candidate(&from.remote) && opening.wanted.selects(far),
        };
        let rival = self.table.openings().find(|(_, opening)| is_rival(opening));
        let Some((id, opening)) = rival else { return Glare::None };
        if self.identity.certificate().bytes() <= far.bytes() {
            return Glare::WePrevail;
        }
        // A rival that has not found its responder yet goes on, and is superseded when it does.
        let is_same = opening.keying().is_some_and(|keying| keying.far == *far);
        if is_same { Glare::TheyPrevail(id) } else { Glare::None }
    }

    /// What an IIKeying means to the session already open at its address, if there is one. True
    /// when a new session is to be made.
    fn make_way(
        &mut self,
        now: Instant,
        from: Path,
        far: &Certificate,
        keying: &InitiatorKeying<'_>,
        asked_by: Instant,
    ) -> bool {
        let at_address = self.table.by_address(&from.remote);
        let Some(id) = at_address.or(self.table.by_peer(&far.peer_id())) else { return true };
        let Some(Slot::Session(session)) = self.table.get_mut(id) else { return true };
        if let Some(answered) = &session.answered
            && session.far_id == keying.session_id
            && session.far == *far
            && *answered.component == *keying.component
        {
            let reply = answered.reply.clone();
            self.send_startup(now, from, keying.session_id, |out| out.extend_from_slice(&reply));
            return false;
        }
        // The far end's half of a glare that is over may arrive late; it must not replace the
        // session that came of it. What it began before this session, it has given up since.
        if session.far != *far || asked_by <= session.born + COOKIE_RESOLUTION {
            return false;
        }
        self.end_session(id, Some(CloseReason::Replaced));
        true
    }

    fn accept(
        &mut self,
        now: Instant,
        from: Path,
        far: Certificate,
        chunk: &InitiatorKeying<'_>,
    ) -> Option<SessionId> {
        if self.table.len() >= self.config.max_sessions {
            return None;
        }
        let answer = keying::respond(&self.identity, &far, chunk.component, &mut self.rng);
        let Ok((component, keys)) = answer else {
            self.stats.keyings_refused += 1;
            return None;
        };
        let peer = far.peer_id();
        let mut reply = Vec::new();
        let inserted = self.table.insert(|id| {
            reply = encode_reply(id, &component);
            let answered =
                Answered { component: chunk.component.into(), reply: reply.as_slice().into() };
            let birth = Birth {
                far_id: chunk.session_id,
                mode: Mode::Responder,
                path: from,
                far,
                keys,
                answered: Some(answered),
            };
            Slot::Session(Box::new(Session::new(now, self.epoch, birth, &self.config)))
        });
        let id = inserted?;
        self.send_startup(now, from, chunk.session_id, |out| out.extend_from_slice(&reply));
        self.announce(now, id, peer, true);
        Some(id)
    }
}

fn encode_reply(id: SessionId, component: &[u8]) -> Vec<u8> {
    let mut reply = Vec::new();
    ResponderKeying { session_id: id.0, component, signature: NO_SIGNATURE }.put(&mut reply);
    reply
}
