//! A session being opened with a server.

use std::time::Instant;

use rand::RngExt;
use rtmfp::{
    crypto::{
        Identity, Policy,
        keying::{InitiatorComponent, KeyingContext},
    },
    wire::{Chunk, Mode, chunk::InitiatorKeying},
};

use super::{
    CaseResult, Context, Failure, Probe, Session, failed,
    probe::{Hello, Packet},
    session::Ends,
};

/// A session being opened; a case changes what it wants to be wrong.
#[derive(Debug)]
pub struct Handshake {
    /// The socket.
    pub probe: Probe,
    /// Who we are.
    pub identity: Identity,
    /// What we want of packets.
    pub policy: Policy,
    /// The responder's hello.
    pub hello: Hello,
    /// The session ID to receive on.
    pub near_id: u32,
}

impl Handshake {
    /// Says hello, as a peer in Flash Player's shape.
    pub fn new(context: &Context) -> Result<Self, Failure> {
        Self::with_identity(context, Identity::peer(&mut rand::rng()))
    }

    /// Says hello as somebody.
    pub fn with_identity(context: &Context, identity: Identity) -> Result<Self, Failure> {
        Self::at(context.probe()?, identity)
    }

    /// Says hello as somebody, from some socket.
    pub fn at(mut probe: Probe, identity: Identity) -> Result<Self, Failure> {
        let hello = probe.hello()?;
        let near_id = rand::rng().random_range(1..u32::MAX);
        Ok(Self { probe, identity, policy: Policy::default(), hello, near_id })
    }

    /// The component that we would send.
    pub fn component(&self) -> Result<InitiatorComponent, Failure> {
        let far = self.hello.decoded_certificate()?;
        InitiatorComponent::generate(self.context(), &far, &mut rand::rng())
            .map_err(|error| Failure::NotApplicable(error.to_string()))
    }

    fn context(&self) -> KeyingContext<'_> {
        KeyingContext { identity: &self.identity, policy: self.policy, log: None }
    }

    /// The IIKeying chunk for a component.
    pub fn keying_chunk(&self, component: &[u8], signature: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let certificate = self.identity.certificate().bytes();
        InitiatorKeying {
            session_id: self.near_id,
            cookie: &self.hello.cookie,
            certificate,
            component,
            signature,
            signed: &[],
        }
        .put(&mut out);
        out
    }

    /// Sends the chunk in a startup packet.
    pub fn send(&mut self, chunk: &[u8]) {
        self.probe.send_startup(|out| out.extend_from_slice(chunk));
    }

    /// Waits for the RIKeying: the responder's session ID, its component, and the packet.
    pub fn answer(&mut self) -> Result<(u32, Vec<u8>, Packet), Failure> {
        let near_id = self.near_id;
        self.probe.expect("an RIKeying on our session ID", |packet, chunk| match chunk {
            Chunk::ResponderKeying(answer) if packet.session_id == near_id => {
                Some((answer.session_id, answer.component.to_vec(), packet.clone()))
            }
            _ => None,
        })
    }

    /// Goes through with it.
    pub fn open(self) -> Result<Session, Failure> {
        self.open_signed(b"X")
    }

    /// Goes through with it under some signature.
    pub fn open_signed(mut self, signature: &[u8]) -> Result<Session, Failure> {
        let component = self.component()?;
        let chunk = self.keying_chunk(&component.bytes, signature);
        // Datagrams get lost, and servers may be busy: initiators repeat themselves.
        const TRIES: usize = 3;
        let mut answered = Err(failed("an RIKeying on our session ID", "nothing"));
        for _ in 0..TRIES {
            self.send(&chunk);
            answered = self.answer();
            if answered.is_ok() {
                break;
            }
        }
        let (far_id, answer, _) = answered?;
        self.into_session(&component, far_id, &answer)
    }

    /// The session that an answer makes.
    pub fn into_session(
        self,
        component: &InitiatorComponent,
        far_id: u32,
        answer: &[u8],
    ) -> Result<Session, Failure> {
        let far = self.hello.decoded_certificate()?;
        let keys = component
            .combine(self.context(), &far, answer)
            .map_err(|error| failed("a component that makes keys", error.to_string()))?;
        let peer_id = self.identity.peer_id();
        let ends = Ends { peer_id, far, near_id: self.near_id, far_id, mode: Mode::Initiator };
        Ok(Session::new(ends, keys, self.probe, None))
    }

    /// Sends an IIKeying with a component of our own, once: the component and the answer.
    pub fn key(&mut self) -> Result<(InitiatorComponent, u32, Vec<u8>, Packet), Failure> {
        let component = self.component()?;
        let chunk = self.keying_chunk(&component.bytes, b"X");
        self.send(&chunk);
        let (far_id, answer, packet) = self.answer()?;
        Ok((component, far_id, answer, packet))
    }

    /// Passes if an IIKeying with these parts opens nothing, though a good one then does.
    pub fn expect_refusal(mut self, chunk: &[u8], what: &str) -> CaseResult {
        self.send(chunk);
        let near_id = self.near_id;
        let deadline = Instant::now() + self.probe.silence();
        while let Some(packet) =
            self.probe.receive(deadline.saturating_duration_since(Instant::now()))
        {
            if packet.session_id == near_id
                && packet.chunks().any(|chunk| matches!(chunk, Chunk::ResponderKeying(_)))
            {
                return Err(failed(format!("no RIKeying after {what}"), "RIKeying"));
            }
        }
        self.key().map(|_| ()).map_err(|failure| match failure {
            Failure::Failed { got, .. } => {
                failed(format!("an RIKeying to a good IIKeying that follows {what}"), got)
            }
            other => other,
        })
    }
}
