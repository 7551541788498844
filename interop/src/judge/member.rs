//! The judge as a group's server and as one of its members: the program under test meets it there.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use netgroup::{
    GroupSpec,
    wire::{Join, MediaControl, Report, control, signature},
};
use rtmfp::{
    crypto::{Discriminator, Identity, PeerId},
    wire::{Address, Chunk, OptionItem, Options, Origin, Reader, chunk::Redirect},
};

use super::{
    Arrival, Context, Failure, Probe, Session,
    data::{Data, options},
    failed,
    inbox::Received,
    probe::Packet,
};

/// Client to server: "I join this group."
const JOIN_GROUP: u8 = 0x01;
const GROUP_ID: u64 = 0x15;
const GROUPSPEC: u64 = 0x10;
/// Server to client: "this is a member."
const MEMBER: u8 = 0x0b;
/// Our flow to the client that answers its group channel.
const SERVER_CHANNEL: u64 = 5;
/// Our flows to the neighbour.
const CONTROL: u64 = 2;
const MEDIA_CONTROL: u64 = 3;
const MEDIA: u64 = 4;

/// A client that wants to be in a group, seen from its server.
#[derive(Debug)]
pub struct Joining {
    /// With the client.
    pub session: Session,
    /// The group that it named.
    pub group: Vec<u8>,
    flow: u64,
}

impl Joining {
    /// Lets a client connect and waits for it to name its group.
    pub fn await_join(context: &Context) -> Result<Self, Failure> {
        let mut session = context.arrival()?.open()?;
        session.accept()?;
        let named = session.expect_message("a join on a GC flow", |message| {
            (message.metadata == signature::SERVER_CHANNEL
                && message.bytes.first() == Some(&JOIN_GROUP))
            .then(|| (message.flow, message.bytes.clone()))
        })?;
        let group = match Options::read(&mut Reader::new(&named.1[1..])) {
            Ok(OptionItem::Option(GROUP_ID, id)) => id.to_vec(),
            Ok(OptionItem::Option(GROUPSPEC, text)) => rtmfp::crypto::sha256(&[text]).to_vec(),
            _ => return Err(failed("a group ID or a groupspec", format!("{:02x?}", named.1))),
        };
        Ok(Self { session, group, flow: named.0 })
    }

    /// Tells the client of a member.
    pub fn tell(&mut self, member: PeerId) {
        let message = [&[MEMBER][..], &member.0].concat();
        self.session.send_data(&Data {
            flow: SERVER_CHANNEL,
            options: &options(signature::SERVER_CHANNEL, Some(self.flow)),
            payload: &message,
            ..Data::default()
        });
    }

    /// Waits for the client to look for the member, and says where it is; then for it there.
    pub fn introduce(&mut self, identity: Identity) -> Result<Arrival, Failure> {
        let wanted = Discriminator::Fingerprint(identity.peer_id()).encode();
        let mut elsewhere = self.session.probe.elsewhere()?;
        let address = Address::new(elsewhere.address(), Origin::Observed);
        self.session
            .probe
            .expect("an IHello for the member", |_, chunk| match chunk {
                Chunk::InitiatorHello(hello) if hello.epd == wanted => Some(hello.tag.to_vec()),
                _ => None,
            })
            .map(|tag| {
                self.session.probe.send_startup(|out| Redirect::put(out, &tag, &[address]));
            })?;
        let wait = elsewhere.patience() * 2;
        let first = hello_at(&mut elsewhere, wait)
            .ok_or_else(|| failed("an IHello at the member's address", "nothing"))?;
        Ok(Arrival::at(elsewhere, first, identity, None))
    }
}

/// The first hello that comes to a probe.
fn hello_at(probe: &mut Probe, wait: Duration) -> Option<Packet> {
    let deadline = Instant::now() + wait;
    loop {
        let packet = probe.receive(deadline.saturating_duration_since(Instant::now()))?;
        if packet.chunks().any(|chunk| matches!(chunk, Chunk::InitiatorHello(_))) {
            return Some(packet);
        }
    }
}

/// The program under test as our neighbour in the group.
#[derive(Debug)]
pub struct Neighbour {
    /// With the program under test.
    pub session: Session,
    spec: GroupSpec,
    sent: BTreeMap<u64, u64>,
    /// Its flow about the stream.
    media_control: Option<u64>,
    /// Kept open while the case runs.
    server_session: Session,
}

impl Neighbour {
    /// A client that was told of us has opened a session with us; nobody joined yet.
    pub fn meet(context: &Context) -> Result<Self, Failure> {
        let spec = context.group()?.clone();
        let mut joining = Joining::await_join(context)?;
        let identity = Identity::peer(&mut rand::rng());
        joining.tell(identity.peer_id());
        let session = joining.introduce(identity)?.open()?;
        let sent = BTreeMap::new();
        Ok(Self { session, spec, sent, media_control: None, server_session: joining.session })
    }

    /// The member's session with its server, which is us as well.
    pub fn server(&mut self) -> &mut Session {
        &mut self.server_session
    }

    /// The next message for which `wanted` holds, of any flow.
    pub fn expect<T>(
        &mut self,
        what: &str,
        wanted: impl FnMut(&Received) -> Option<T>,
    ) -> Result<T, Failure> {
        self.session.expect_message(what, wanted)
    }

    /// Waits for its join.
    pub fn expect_join(&mut self) -> Result<Join, Failure> {
        self.expect("a join on the group's control flow", |message| {
            (message.metadata == signature::CONTROL).then(|| Join::decode(&message.bytes))?
        })
    }

    /// Waits for a report.
    pub fn expect_report(&mut self) -> Result<Report, Failure> {
        self.expect("a report", |message| {
            (message.metadata == signature::CONTROL).then(|| Report::decode(&message.bytes))?
        })
    }

    /// Waits for a message of a media control flow.
    pub fn expect_media_control<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(MediaControl) -> Option<T>,
    ) -> Result<T, Failure> {
        let (flow, found) = self.expect(what, |message| {
            let is_control = message.metadata == signature::MEDIA_CONTROL;
            let control = is_control.then(|| MediaControl::decode(&message.bytes))??;
            Some((message.flow, wanted(control)?))
        })?;
        self.media_control = Some(flow);
        Ok(found)
    }

    /// What the neighbour would have to be sent to believe that we are a member.
    pub fn join(&self) -> Join {
        let proof = self.spec.proof(&self.session.nonces.1);
        Join { group: self.spec.group_id(), proof, to: self.session.far.peer_id() }
    }

    /// True if this join proves to us that the neighbour is a member.
    pub fn is_proof(&self, join: &Join) -> bool {
        let proof = self.spec.proof(&self.session.nonces.0);
        *join == Join { group: self.spec.group_id(), proof, to: self.session.peer_id }
    }

    /// Sends a message on our control flow.
    pub fn say(&mut self, message: &[u8]) {
        self.send(CONTROL, signature::CONTROL, message);
    }

    /// Sends a message on our media control flow.
    pub fn say_of_stream(&mut self, message: &MediaControl) {
        self.send(MEDIA_CONTROL, signature::MEDIA_CONTROL, &message.encode());
    }

    /// Sends the next fragment on our media flow, which answers the neighbour's media control.
    pub fn send_fragment(&mut self, fragment: &[u8]) {
        self.send(MEDIA, signature::MEDIA, fragment);
    }

    /// Sends the next message on a flow of ours.
    fn send(&mut self, flow: u64, metadata: &[u8], message: &[u8]) {
        let sequence = self.sent.entry(flow).or_default();
        *sequence += 1;
        let association = self.media_control.filter(|_| flow == MEDIA);
        let (options, sequence) = (options(metadata, association), *sequence);
        self.session.send_data(&Data {
            flow,
            sequence,
            forward_sequence: sequence - 1,
            options: &options,
            payload: message,
            ..Data::default()
        });
    }

    /// Joins, and reports as librtmfp does; the neighbour must report as well.
    pub fn become_neighbours(mut self) -> Result<Self, Failure> {
        self.expect_join()?;
        let join = self.join().encode();
        for message in [&join[..], &[control::HELLO], &[control::READY_EXACT]] {
            self.say(message);
        }
        self.say(&Report::default().encode());
        self.expect_report()?;
        Ok(self)
    }
}
