//! Bringing two peers together.

use std::{net::SocketAddr, time::Duration};

use rtmfp::{
    crypto::{Discriminator, PeerId},
    rtmp::{Command, Value},
    wire::{
        Address, Chunk, Origin,
        chunk::{InitiatorHello, code, put_chunk},
    },
};

use super::cases;
use crate::judge::{
    CaseResult, Context, Failure, Probe, Session, check, failed, probe::Redirected,
};

/// A connected peer that has told its addresses, and somebody who looks for it.
struct Meeting {
    peer: Session,
    seeker: Probe,
    tag: [u8; 16],
}

/// What setPeerInfo names.
const LOCAL: &str = "10.11.12.13:1414";

impl Meeting {
    fn new(context: &Context) -> Result<Self, Failure> {
        let mut peer = context.connected()?;
        peer.call(&Command::new("setPeerInfo", 0.0, vec![Value::string(LOCAL)]));
        peer.ping(b"told")?;
        let seeker = context.probe()?;
        let tag = seeker.tag();
        Ok(Self { peer, seeker, tag })
    }

    fn look_for(&mut self, peer: PeerId) {
        let (epd, tag) = (Discriminator::Fingerprint(peer).encode(), self.tag);
        self.seeker.send_startup(|out| InitiatorHello { epd: &epd, tag: &tag }.put(out));
    }

    fn redirect(&mut self) -> Result<Redirected, Failure> {
        self.look_for(self.peer.peer_id);
        self.seeker.expect("a Redirect", |_, chunk| match chunk {
            Chunk::Redirect(redirect) => Some(Redirected {
                tag: redirect.tag.to_vec(),
                addresses: redirect.addresses().collect(),
            }),
            _ => None,
        })
    }

    /// The same, where introducing as such is not in question: nobody must (RFC 7016 §3.5.1.4).
    fn introduced(&mut self) -> Result<Redirected, Failure> {
        self.redirect().map_err(|_| Failure::NotApplicable("the server introduces nobody".into()))
    }

    /// EPD, reply address and tag of the FIHello.
    fn forwarded(&mut self) -> Result<(Vec<u8>, Address, Vec<u8>), Failure> {
        self.introduced()?;
        self.look_for(self.peer.peer_id);
        self.peer.expect("an FIHello", |_, chunk| match chunk {
            Chunk::ForwardedHello(hello) => {
                Some((hello.epd.to_vec(), hello.reply_address, hello.tag.to_vec()))
            }
            _ => None,
        })
    }
}

fn names(redirect: &Redirected, wanted: SocketAddr) -> bool {
    redirect.addresses.iter().any(|address| address.socket == wanted)
}

fn no_redirect(meeting: &mut Meeting, peer: PeerId, after: &str) -> CaseResult {
    meeting.look_for(peer);
    match meeting.seeker.receive(meeting.seeker.silence()) {
        Some(packet) if packet.chunks().any(|chunk| matches!(chunk, Chunk::Redirect(redirect) if redirect.addresses().any(|address| address.is_connectable()))) => {
            Err(failed(format!("no Redirect after {after}"), "a Redirect to an address"))
        }
        _ => Ok(()),
    }
}

cases! {
    custom "introduction.redirect", "7016 §3.5.1.4", "an IHello for a connected peer gets a Redirect with its tag", |context| {
        let mut meeting = Meeting::new(context)?;
        let redirect = meeting.redirect()?;
        check(redirect.tag == meeting.tag, "our tag", redirect.tag)
    };
    "introduction.observed-address", "7016 §3.5.1.6", "the Redirect names the address that the server sees", |context| {
        let mut meeting = Meeting::new(context)?;
        let (redirect, wanted) = (meeting.introduced()?, meeting.peer.probe.address());
        check(names(&redirect, wanted), &wanted.to_string(), redirect.addresses)
    };
    custom "introduction.origin", "7016 §2.1.5", "a Redirect says of its addresses how they were learned, for librtmfp takes those of origin 0 for gone", |context| {
        let addresses = Meeting::new(context)?.introduced()?.addresses;
        check(addresses.iter().all(|address| address.origin != Origin::Unknown), "an origin from 1 to 3", &addresses)
    };
    "introduction.reported-address", "7425 §5.3.3", "the Redirect names the addresses of setPeerInfo", |context| {
        let redirect = Meeting::new(context)?.introduced()?;
        check(names(&redirect, LOCAL.parse().expect("an address")), LOCAL, redirect.addresses)
    };
    "introduction.forward", "7016 §3.5.1.5", "the peer gets an FIHello with the seeker's tag", |context| {
        let mut meeting = Meeting::new(context)?;
        let (_, _, tag) = meeting.forwarded()?;
        check(tag == meeting.tag, "the seeker's tag", tag)
    };
    "introduction.forward-address", "7016 §3.5.1.5", "the FIHello names where the seeker is", |context| {
        let mut meeting = Meeting::new(context)?;
        let (_, address, _) = meeting.forwarded()?;
        let wanted = meeting.seeker.address();
        check(address.socket == wanted, &wanted.to_string(), address)
    };
    "introduction.forward-epd", "7016 §3.5.1.5", "the FIHello carries the EPD", |context| {
        let mut meeting = Meeting::new(context)?;
        let (epd, _, _) = meeting.forwarded()?;
        let wanted = Discriminator::Fingerprint(meeting.peer.peer_id);
        check(Discriminator::decode(&epd) == wanted, "the peer's fingerprint", epd)
    };
    "introduction.repeated", "7016 §3.5.1.6", "a repeated IHello is introduced again", |context| {
        let mut meeting = Meeting::new(context)?;
        meeting.introduced()?;
        meeting.redirect().map(|_| ())
    };
    "introduction.unknown-peer", "7016 §3.5.1.4", "who looks for somebody unknown is not redirected", |context| {
        let mut meeting = Meeting::new(context)?;
        meeting.introduced()?;
        no_redirect(&mut meeting, PeerId([0x55; 32]), "asking for somebody unknown")
    };
    "introduction.gone-peer", "7016 §3.5.1.4", "who looks for a peer that has left is not redirected", |context| {
        let mut meeting = Meeting::new(context)?;
        meeting.introduced()?;
        meeting.peer.send(|out| put_chunk(out, code::SESSION_CLOSE, |_| ()));
        meeting.peer.expect_unacked("a Close Acknowledgement", |_, chunk| matches!(chunk, Chunk::SessionCloseAck).then_some(()))?;
        std::thread::sleep(Duration::from_millis(50));
        let peer = meeting.peer.peer_id;
        no_redirect(&mut meeting, peer, "the peer has left")
    };
}
