//! Answering those who open sessions with us; nothing is kept of them until a valid IIKeying.
//! RFC 7016 §3.5.1.1.2 to §3.5.1.5.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    Endpoint, Path,
    cookie::Verdict,
    fragments::{Outcome, Sender},
    initiator::keying_context,
    opening::Opening,
    table::Slot,
};
use crate::{
    crypto::{self, Certificate, Discriminator, Identity, Policy, Signer, keying, sha256},
    event::{CloseReason, Event, ForwardRequest, OpenFailure, SessionId},
    session::{Answered, Birth, Far, Session},
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

/// Certificates and key components longer than any that make sense, which four static keys do.
const MAX_CREDENTIALS: usize = 4096;
/// Cookies tell their age in seconds.
const COOKIE_RESOLUTION: Duration = Duration::from_secs(1);

impl Endpoint {
    /// A datagram of the startup pseudo-session. At most one hello and one keying of it are
    /// answered.
    pub(super) fn handle_startup(&mut self, now: Instant, from: Path, datagram: &mut [u8]) {
        // The default keys are cheap to copy next to a decryption, and the borrow ends here.
        let mut keys = self.default_keys.clone();
        let Ok(plain) = keys.open(datagram) else {
            self.stats.dropped_unverified += 1;
            return;
        };
        if let Some(whole) = self.take_startup_packet(now, from, plain) {
            // Pieces of pieces are not looked for.
            self.take_startup_packet(now, from, &whole);
        }
    }

    /// Acts on the chunks of a plain packet. Hands out the packet that its pieces completed.
    fn take_startup_packet(&mut self, now: Instant, from: Path, plain: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader::new(plain);
        match PacketHeader::read(&mut reader) {
            Ok(header) if header.flags.mode == Mode::Startup => {}
            _ => {
                self.stats.dropped_malformed += 1;
                return None;
            }
        }
        let (mut has_answered, mut has_keyed, mut whole) = (false, false, None);
        for chunk in Chunks::new(reader) {
            match chunk {
                Chunk::InitiatorHello(hello) if !has_answered => {
                    has_answered = true;
                    self.on_initiator_hello(now, from, &hello);
                }
                Chunk::InitiatorKeying(keying) if !has_keyed => {
                    has_keyed = true;
                    self.on_initiator_keying(now, from, &keying);
                }
                Chunk::ResponderHello(hello) => self.on_responder_hello(now, from, &hello),
                Chunk::Redirect(redirect) => self.on_redirect(now, from, &redirect),
                Chunk::Fragment(piece) => {
                    let sender = Sender::Address(from.remote);
                    match self.fragments.take(now, sender, Mode::Startup, &piece) {
                        Outcome::Complete(packet) => whole = Some(packet),
                        Outcome::Dropped => self.stats.dropped_fragments += 1,
                        Outcome::Waits => {}
                    }
                }
                _ => {}
            }
        }
        whole
    }

    fn on_initiator_hello(&mut self, now: Instant, from: Path, hello: &InitiatorHello<'_>) {
        let wanted = Discriminator::decode(hello.epd);
        if !self.answers.spend(now, from.remote.ip()) {
            self.stats.refused_busy += 1;
        } else if wanted.selects(self.identity.certificate()) {
            let policy = self.config.protection.policy(from.socket, wanted.uri());
            self.send_hello_answer(now, from, hello.tag, policy);
        } else if let Discriminator::Fingerprint(peer) = wanted
            && self.config.introduces
        {
            let tag = Bytes::copy_from_slice(hello.tag);
            self.events.push_back(Event::Wanted { from, peer, tag });
        }
    }

    pub(super) fn send_hello_answer(&mut self, now: Instant, to: Path, tag: &[u8], policy: Policy) {
        if self.table.len() >= self.config.max_sessions {
            return;
        }
        self.stats.hellos_answered += 1;
        let cookie = self.cookies.issue(now, to.remote, policy);
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
        // RFC 7016 §3.3: nobody receives on session ID 0.
        let is_sane = keying.session_id != 0
            && keying.certificate.len() <= MAX_CREDENTIALS
            && keying.component.len() <= MAX_CREDENTIALS;
        if !is_sane {
            self.stats.keyings_refused += 1;
            return;
        }
        let (asked_by, policy) = match self.cookies.check(now, from.remote, keying.cookie) {
            Verdict::Valid { issued_by, policy } => (issued_by, policy),
            Verdict::WrongAddress { .. } if !self.answers.spend(now, from.remote.ip()) => {
                self.stats.refused_busy += 1;
                return;
            }
            Verdict::WrongAddress { policy } => {
                let new_cookie = self.cookies.issue(now, from.remote, policy);
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
        if self.answers_again(now, from, &far, keying) || !self.may_replace(from, &far, asked_by) {
            return;
        }
        if let Some(session) = self.accept(now, from, far, keying, policy)
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

    /// A repeated IIKeying gets the same answer again, whatever became of the first.
    fn answers_again(
        &mut self,
        now: Instant,
        from: Path,
        far: &Certificate,
        keying: &InitiatorKeying<'_>,
    ) -> bool {
        let Some(id) = self.table.by_address(&from.remote) else { return false };
        let Some(Slot::Session(session)) = self.table.get_mut(id) else { return false };
        let Some(answered) = &session.answered else { return false };
        let is_same = session.far.id == keying.session_id
            && session.far.certificate == *far
            && answered.component == sha256(&[keying.component]);
        if is_same {
            let reply = answered.reply.clone();
            self.send_startup(now, from, keying.session_id, |out| out.extend_from_slice(&reply));
        }
        is_same
    }

    /// Whether a new session may take the place of one at its address, or with its peer. The far
    /// end's half of a glare that is over may arrive late; it must not replace the session that
    /// came of it. What it began before this session, it has given up since.
    fn may_replace(&mut self, from: Path, far: &Certificate, asked_by: Instant) -> bool {
        let here = self.table.by_address(&from.remote);
        let rivals = [here, self.table.by_peer(&far.peer_id())];
        rivals.into_iter().flatten().all(|id| match self.table.get_mut(id) {
            Some(Slot::Session(session)) => {
                let is_later = asked_by > session.born + COOKIE_RESOLUTION;
                // At its own address only the same certificate overrides a session.
                is_later && (Some(id) != here || session.far.certificate == *far)
            }
            _ => true,
        })
    }

    /// RFC 7425 §4.3.7: a session with the same certificate at the same address is stale. One at
    /// another address stays until this one has proved that it holds the certificate's keys, for
    /// anybody can copy a certificate.
    fn end_stale(&mut self, from: Path) {
        if let Some(id) = self.table.by_address(&from.remote) {
            self.end_session(id, Some(CloseReason::Replaced));
        }
    }

    fn accept(
        &mut self,
        now: Instant,
        from: Path,
        far: Certificate,
        chunk: &InitiatorKeying<'_>,
        policy: Policy,
    ) -> Option<SessionId> {
        if self.table.len() >= self.config.max_sessions {
            return None;
        }
        if !self.keyings.spend(now, from.remote.ip()) {
            self.stats.refused_busy += 1;
            return None;
        }
        let Some(signer) = self.signer_of(chunk) else {
            self.stats.keyings_refused += 1;
            return None;
        };
        let context = keying_context(&self.config, &self.identity, policy);
        let answer = keying::respond(context, &far, chunk.component, &mut self.rng);
        let Ok((component, keys)) = answer else {
            self.stats.keyings_refused += 1;
            return None;
        };
        let credential = self.config.passwords.ours.clone();
        let sign =
            |signed: &[u8]| crypto::sign(credential.as_ref(), &[signed, chunk.component].concat());
        self.end_stale(from);
        let mut reply = Vec::new();
        let inserted = self.table.insert(|id| {
            let answer = ResponderKeying {
                session_id: id.0,
                component: &component,
                signature: &[],
                signed: &[],
            };
            answer.put_signed(&mut reply, sign);
            let answered =
                Answered { component: sha256(&[chunk.component]), reply: reply.as_slice().into() };
            let birth = Birth {
                mode: Mode::Responder,
                path: from,
                far: Far { id: chunk.session_id, certificate: far, signer },
                keys,
                answered: Some(answered),
            };
            Slot::Session(Box::new(Session::new(
                now,
                self.epoch,
                birth,
                &self.config.of_sessions(),
            )))
        });
        let id = inserted?;
        self.send_startup(now, from, chunk.session_id, |out| out.extend_from_slice(&reply));
        self.table.touch(now, id);
        Some(id)
    }

    /// Who signed an IIKeying, if anybody. None if it must be refused for its signature.
    fn signer_of(&self, chunk: &InitiatorKeying<'_>) -> Option<Option<Vec<u8>>> {
        let passwords = &self.config.passwords;
        match crypto::verify(&passwords.known, chunk.signed, chunk.signature) {
            Some(Signer::Known(credential)) => Some(Some(credential.id.clone())),
            // RFC 7425 §4.3.5: whoever requires none considers any signature valid.
            _ => (!passwords.is_required).then_some(None),
        }
    }
}
