//! What clients say before a session is open, and how they connect.

use std::time::{Duration, Instant};

use rtmfp::{
    crypto::{Certificate, Discriminator, Group, Identity, Keys, PeerId, Policy, Protection},
    rtmp::{FlowMetadata, Value},
    wire::{
        Address, Chunk, Mode, Origin,
        chunk::{CookieChange, ForwardedHello, Redirect},
    },
};

use super::cases;
use crate::judge::{
    Arrival, CaseResult, Context, Failure, Handshake, Probe, Session, check, failed,
    probe::{hex, put_raw},
    reception::Keying,
};

/// RFC 7016 leaves the pace of retransmissions to the initiator; nobody should wait longer.
const LATEST_REPEAT: Duration = Duration::from_secs(10);

/// A client that has sent its IIKeying.
fn keyed(context: &Context) -> Result<(Arrival, Keying), Failure> {
    let mut arrival = context.arrival()?;
    arrival.hello();
    let keying = arrival.keying()?;
    Ok((arrival, keying))
}

/// The client comes back with any cookie of this size.
fn cookie_of(context: &Context, size: usize) -> CaseResult {
    let mut arrival = context.arrival()?;
    arrival.cookie = vec![0xc0; size];
    arrival.hello();
    arrival.keying().map(|_| ())
}

/// The client's hello comes again within ten seconds: how long that took.
fn repeated_hello(arrival: &mut Arrival) -> Result<Duration, Failure> {
    let tag = arrival.tag.clone();
    while arrival.packet.at.elapsed() < LATEST_REPEAT {
        let again = arrival.probe.expect("the same IHello again", |packet, chunk| match chunk {
            Chunk::InitiatorHello(hello) if hello.tag == tag => Some(packet.at),
            _ => None,
        });
        if let Ok(at) = again {
            return Ok(at - arrival.packet.at);
        }
    }
    Err(failed("the same IHello again within 10 s", "nothing"))
}

/// A hello with this certificate is not followed up.
fn not_selected(context: &Context, certificate: &[u8], what: &str) -> CaseResult {
    let mut arrival = context.arrival()?;
    let tag = arrival.tag.clone();
    arrival.send_hello(&tag, certificate);
    arrival.expect_no_keying(what)?;
    // It waits for a better answer, and takes it.
    arrival.open()?.met().map(|_| ())
}

/// Opens with a server of one group only.
fn in_group(context: &Context, group: Group) -> CaseResult {
    let mut arrival = context.arrival()?;
    let keys = Keys::Ephemeral { groups: vec![group], randomness: vec![7; 32] };
    arrival.identity = Identity::new(None, true, keys);
    arrival.hello();
    let keying = arrival.keying().map_err(|failure| match group {
        // RFC 7425 §4.2: everybody has this one.
        Group::Modp1024 => failure,
        _ => Failure::NotApplicable(format!("the client does not key in group {}", group.number())),
    })?;
    arrival.answer(&keying)?.met()?.prove()
}

/// Opens with a policy; if the client agrees, the session works.
fn protected(
    context: &Context,
    policy: Policy,
) -> Result<rtmfp::crypto::PacketProtection, Failure> {
    let mut arrival = context.arrival()?;
    arrival.policy = policy;
    arrival.hello();
    let keying = arrival.keying()?;
    let mut session = arrival.answer(&keying).map_err(|failure| match failure {
        Failure::Failed { got, .. } => Failure::NotApplicable(got),
        other => other,
    })?;
    // One that will not be unprotected says nothing.
    session =
        session.met().map_err(|_| Failure::NotApplicable("the client does not open".into()))?;
    session.prove()?;
    Ok(session.protection)
}

/// Tells the client that its server is elsewhere: whether it asks there, for the same server under
/// the same tag.
fn is_redirected(context: &Context, mangle: impl FnOnce(&mut Vec<u8>)) -> Result<bool, Failure> {
    let mut arrival = context.arrival()?;
    let mut elsewhere = arrival.probe.elsewhere()?;
    let to = Address::new(elsewhere.address(), Origin::Observed);
    let mut tag = arrival.tag.clone();
    mangle(&mut tag);
    arrival.probe.send_startup(|out| Redirect::put(out, &tag, &[to]));
    let asked = elsewhere.expect("an IHello", |_, chunk| match chunk {
        Chunk::InitiatorHello(hello) => Some((hello.epd.to_vec(), hello.tag.to_vec())),
        _ => None,
    });
    let Ok((epd, tag)) = asked else { return Ok(false) };
    check(epd == arrival.epd, "the same discriminator", hex(&epd))?;
    check(tag == arrival.tag, "the same tag", hex(&tag))?;
    Ok(true)
}

cases! {
    "client.hello", "7016 §3.5.1.1.1", "a client says hello to session 0, in startup mode", |context| {
        let arrival = context.arrival()?;
        let mode = arrival.packet.header().map(|header| header.flags.mode);
        check(arrival.packet.session_id == 0 && mode == Some(Mode::Startup), "session 0, mode 3", (arrival.packet.session_id, mode))
    };
    "client.discriminator", "7425 §4.4.2", "the endpoint discriminator asks for a URI, a host name or a fingerprint", |context| {
        let wanted = Discriminator::decode(&context.arrival()?.epd);
        check(wanted != Discriminator::Other, "something that a server can be", wanted)
    };
    should "client.tag", "7016 §3.5.1.1.1", "the tag is long enough not to be guessed", |context| {
        let tag = context.arrival()?.tag;
        check(tag.len() >= 8, "8 bytes or more", hex(&tag))
    };
    "client.tags-differ", "7016 §3.5.1.1.1", "two clients use two tags", |context| {
        let (one, other) = (context.arrival()?.tag, context.arrival()?.tag);
        check(one != other, "two tags", hex(&one))
    };
    should "client.repeats-hello", "7016 §3.5.1.1.1", "a hello that is not answered is sent again, not at once", |context| {
        let took = repeated_hello(&mut context.arrival()?)?;
        check(took >= Duration::from_millis(500), "half a second or more", took)
    };
    should "client.backs-off", "7016 §3.5.1.1.1", "hellos that nobody answers do not become a flood", |context| {
        let mut arrival = context.arrival()?;
        let deadline = Instant::now() + Duration::from_secs(4);
        let mut hellos = 1;
        while arrival.probe.receive(deadline.saturating_duration_since(Instant::now())).is_some() {
            hellos += 1;
        }
        check(hellos <= 8, "8 in 4 s at most", hellos)
    };
    "client.foreign-tag", "7016 §3.5.1.1.1", "an RHello with another tag is ignored", |context| {
        let mut arrival = context.arrival()?;
        let certificate = arrival.identity.certificate().bytes().to_vec();
        arrival.send_hello(b"somebody else's.", &certificate);
        arrival.expect_no_keying("an RHello with another tag")?;
        arrival.open()?.met().map(|_| ())
    };
    "client.certificate-garbage", "7425 §4.3", "an RHello whose certificate does not parse is ignored", |context| not_selected(context, &[0xff, 0x7f, 0x1d, 2], "a broken certificate");
    "client.certificate-empty", "7425 §4.3.3", "an RHello whose certificate has no keys is ignored", |context| not_selected(context, &[], "an empty certificate");
    "client.certificate-not-wanted", "7425 §4.4.3", "a certificate that the discriminator does not select is ignored", |context| {
        let peer = Identity::peer(&mut rand::rng());
        not_selected(context, peer.certificate().bytes(), "a peer's certificate")
    };
    "client.cookie", "7016 §3.5.1.1.1", "the cookie comes back in an IIKeying", |context| cookie_of(context, 64);
    "client.cookie-small", "7016 §2.3.4", "a cookie of one byte comes back", |context| cookie_of(context, 1);
    "client.cookie-large", "7016 §2.3.4", "a cookie of 255 bytes comes back", |context| cookie_of(context, 255);
    "client.keying-packet", "7016 §2.3.7", "the IIKeying goes to session 0, in startup mode", |context| {
        let (_, keying) = keyed(context)?;
        let mode = keying.packet.header().map(|header| header.flags.mode);
        check(keying.packet.session_id == 0 && mode == Some(Mode::Startup), "session 0, mode 3", (keying.packet.session_id, mode))
    };
    "client.session-id", "7016 §2.3.7", "the client's session ID is not 0", |context| {
        let (_, keying) = keyed(context)?;
        check(keying.session_id != 0, "a session ID other than 0", keying.session_id)
    };
    "client.certificate", "7425 §4.3", "the client's certificate is well-formed", |context| keyed(context)?.1.decoded_certificate().map(|_| ());
    "client.fingerprints-differ", "7425 §5.3", "two clients have two fingerprints", |context| {
        let id = |keying: &Keying| Certificate::decode(&keying.certificate).map(|it| it.peer_id()).ok();
        let (one, other) = (id(&keyed(context)?.1), id(&keyed(context)?.1));
        check(one != other, "two fingerprints", one)
    };
    "client.repeats-keying", "7016 §3.5.1.1.1", "an IIKeying that is not answered is sent again, byte for byte", |context| {
        let (mut arrival, first) = keyed(context)?;
        while first.packet.at.elapsed() < LATEST_REPEAT {
            if let Ok(again) = arrival.keying() {
                return check((again.session_id, &again.component) == (first.session_id, &first.component), "the same session ID and component", hex(&again.component));
            }
        }
        Err(failed("the same IIKeying again within 10 s", "nothing"))
    };
    "client.cookie-change", "7016 §3.5.1.2", "a Cookie Change makes the client repeat its IIKeying with the new cookie", |context| {
        let (mut arrival, keying) = keyed(context)?;
        let (old, new) = (arrival.cookie.clone(), vec![0x4e; 64]);
        let plain = arrival.probe.startup_packet(|out| CookieChange { old_cookie: &old, new_cookie: &new }.put(out));
        let datagram = arrival.probe.seal(keying.session_id, &plain);
        arrival.probe.send_datagram(&datagram);
        arrival.cookie = new;
        let again = arrival.keying()?;
        check(again.component == keying.component, "the same component", hex(&again.component))
    };
    "client.cookie-change-unasked", "7016 §3.5.1.2", "a Cookie Change for another cookie is ignored", |context| {
        let (mut arrival, keying) = keyed(context)?;
        let new = vec![0x4e; 64];
        let plain = arrival.probe.startup_packet(|out| CookieChange { old_cookie: &[0x11; 64], new_cookie: &new }.put(out));
        let datagram = arrival.probe.seal(keying.session_id, &plain);
        arrival.probe.send_datagram(&datagram);
        arrival.cookie = new;
        match arrival.keying() {
            Ok(_) => Err(failed("no IIKeying with that cookie", "IIKeying")),
            Err(_) => Ok(()),
        }
    };
    "client.component-garbage", "7425 §4.6", "an RIKeying that makes no keys opens no session", |context| {
        let (mut arrival, keying) = keyed(context)?;
        arrival.send_keying(keying.session_id, 7, &[0x81, 2, 0x0d, 2, 1, 2, 3]);
        let deadline = Instant::now() + arrival.probe.silence();
        while let Some((_, datagram)) = arrival.probe.receive_datagram(deadline.saturating_duration_since(Instant::now())) {
            check(rtmfp::crypto::session_id_of(&datagram) != Some(7), "nothing on the session", "a packet on it")?;
        }
        Ok(())
    };
    "client.keying-repeated", "7016 §3.5.1.1.2", "an RIKeying that comes twice does no harm", |context| {
        let (arrival, keying) = keyed(context)?;
        let mut session = arrival.answer(&keying)?.met()?;
        let plain = session.probe.startup_packet(|out| rtmfp::wire::chunk::ResponderKeying { session_id: session.near_id, component: &[1, 2, 3], signature: b"X", signed: &[] }.put(out));
        let datagram = session.probe.seal(session.far_id, &plain);
        session.probe.send_datagram(&datagram);
        session.prove()
    };
    "client.opens", "7016 §3.5.1.1.1", "a session opens, and the client speaks first", |context| context.session().map(|_| ());
    "client.group-2", "7425 §4.2", "a session can be keyed in group 2", |context| in_group(context, Group::Modp1024);
    "client.group-5", "7425 §4.2", "a session can be keyed in group 5, if the client knows it", |context| in_group(context, Group::Modp1536);
    "client.group-14", "7425 §4.2", "a session can be keyed in group 14, if the client knows it", |context| in_group(context, Group::Modp2048);
    "client.group-16", "7425 §4.2", "a session can be keyed in group 16, if the client knows it", |context| in_group(context, Group::Modp4096);
    "client.no-protection", "7425 §4.6.4", "who is offered neither HMAC nor numbers uses neither, or does not open", |context| {
        let protection = protected(context, Policy::both(Protection::Off))?;
        check(protection == Default::default(), "checksums only", protection)
    };
    "client.protection", "7425 §4.5", "HMAC and sequence numbers that both ends want are used", |context| {
        let protection = protected(context, Policy::both(Protection::Require))?;
        check(protection.is_authentic(), "both", protection)
    };
    "client.redirect", "7016 §3.5.1.4", "a Redirect sends the client elsewhere with the same tag", |context| {
        check(is_redirected(context, |_| ())?, "an IHello at the other address", "nothing")
    };
    "client.redirect-foreign-tag", "7016 §3.5.1.4", "a Redirect with another tag is ignored", |context| {
        check(!is_redirected(context, |tag| tag.iter_mut().take(1).for_each(|byte| *byte ^= 1))?, "no IHello at the other address", "IHello")
    };
    "client.unknown-startup-chunk", "7016 §2.3", "an unknown chunk before the RHello is ignored", |context| {
        let mut arrival = context.arrival()?;
        arrival.probe.send_startup(|out| put_raw(out, 0x66, b"?"));
        arrival.open()?.met().map(|_| ())
    };
    "client.flow-metadata", "7425 §5.1.1", "connect travels on a flow with the metadata of stream 0", |context| {
        let (_, metadata) = context.arrival()?.open()?.expect_connect()?;
        let read = FlowMetadata::decode(&metadata);
        check(read.is_ok_and(|read| read.stream_id == 0), "TC with stream 0", metadata)
    };
    "client.connect", "7425 §5.3.2", "connect is call 1 and says which application it wants at which URL", |context| {
        let (command, _) = context.arrival()?.open()?.expect_connect()?;
        check(command.transaction == 1.0, "transaction 1", command.transaction)?;
        let text = |name| command.object.member(name).and_then(Value::as_str).map(str::to_owned);
        check(text("app").is_some() && text("tcUrl").is_some(), "app and tcUrl", command.object)
    };
    "client.connected", "7425 §5.3.2", "an accepted client keeps its session", |context| context.connected()?.prove();
    "client.unknown-command", "7425 §5.3", "a call that a client does not know does no harm", |context| {
        let mut session = context.connected()?;
        session.call(&rtmfp::rtmp::Command::new("noSuchThing", 0.0, Vec::new()));
        session.prove()
    };
    custom "client.peer-info-refused", "7425 §5.3.3", "an _error to setPeerInfo, which asked for no answer, does no harm", |context| {
        let mut session = context.connected()?;
        session.call(&rtmfp::rtmp::Command::new("_error", 0.0, Vec::new()));
        session.prove()
    };
    "client.set-keepalive", "7425 §5.3.4", "SetKeepalive is taken", |context| {
        let mut session = context.connected()?;
        session.send_control(&rtmfp::rtmp::UserControl::SetKeepalive { server: 20_000, peer: 20_000 }.encode());
        session.prove()
    };
    should "client.forwarded-hello", "7016 §3.5.1.1.2", "an FIHello for the client is answered where it says", |context| {
        let (mut session, mut seeker) = looked_for(context)?;
        let wanted = Discriminator::Fingerprint(session.far.peer_id()).encode();
        let tag = seeker.tag();
        forward(&mut session, &wanted, seeker.address(), &tag);
        let hello = seeker.expect_hello(&tag)?;
        check(hello.certificate == session.far.bytes(), "the client's certificate", hex(&hello.certificate))
    };
    "client.forwarded-hello-foreign", "7016 §3.5.1.1.2", "an FIHello for somebody else is not answered", |context| {
        let (mut session, mut seeker) = looked_for(context)?;
        let tag = seeker.tag();
        forward(&mut session, &Discriminator::Fingerprint(PeerId([0x55; 32])).encode(), seeker.address(), &tag);
        seeker.expect_silence("an FIHello for somebody else")?;
        session.prove()
    };
    should "client.responds", "7016 §3.5.1.1.2", "a client that was introduced keys a session with who asks", |context| {
        let (mut session, seeker) = looked_for(context)?;
        let wanted = Discriminator::Fingerprint(session.far.peer_id()).encode();
        forward(&mut session, &wanted, seeker.address(), &seeker.tag());
        let mut probe = seeker;
        probe.turn_to(session.probe.target());
        let hello = probe.hello_for(&wanted)?;
        let near_id = 77;
        let handshake = Handshake { probe, identity: Identity::peer(&mut rand::rng()), policy: Policy::default(), hello, near_id };
        handshake.open()?.ping(b"peer?").map(|_| ())
    };
}

/// A connected client, and somebody who looks for it.
fn looked_for(context: &Context) -> Result<(Session, Probe), Failure> {
    let session = context.connected()?;
    let seeker = session.probe.elsewhere()?;
    Ok((session, seeker))
}

/// Tells the client that somebody asks for `epd` at `address`.
fn forward(session: &mut Session, epd: &[u8], address: std::net::SocketAddr, tag: &[u8]) {
    let reply_address = Address::new(address, Origin::Observed);
    session.send(|out| ForwardedHello { epd, reply_address, tag }.put(out));
}
