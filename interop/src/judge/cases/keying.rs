//! Key agreement: what is accepted, what is refused, and what both ends make of it.

use rtmfp::{
    crypto::{Group, Identity, KeyPair, Keys, Policy, Protection, Unprotected},
    wire::{Mode, put_option, put_vlu},
};

use super::cases;
use crate::judge::{
    CaseResult, Context, Failure, Handshake, check, failed,
    probe::{hex, name_of},
};

/// An ephemeral peer that will key in any group.
fn ephemeral() -> Identity {
    let groups = Group::STRONGEST_FIRST.to_vec();
    Identity::new(
        None,
        false,
        Keys::Ephemeral { groups, randomness: rand::random::<[u8; 32]>().to_vec() },
    )
}

/// An ephemeral component with any bytes as public key.
fn component_with(group: u64, key: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    put_vlu(&mut value, group);
    value.extend_from_slice(key);
    let mut component = Vec::new();
    put_option(&mut component, 0x0d, &value);
    put_option(&mut component, 0x1a, &[2, 10]);
    put_option(&mut component, 0x1e, &[2]);
    component
}

fn refused_component(context: &Context, component: &[u8], what: &str) -> CaseResult {
    let handshake = Handshake::with_identity(context, ephemeral())?;
    let chunk = handshake.keying_chunk(component, b"X");
    handshake.expect_refusal(&chunk, what)
}

fn needs_group_2(handshake: &Handshake) -> CaseResult {
    match handshake.hello.decoded_certificate()?.supports(Group::Modp1024) {
        true => Ok(()),
        false => Err(Failure::NotApplicable("the server does not know group 2".into())),
    }
}

/// A public key of group 2 that must not be used, as an ephemeral and as a static one.
fn refused_key(context: &Context, key: &[u8], what: &str) -> CaseResult {
    let ephemeral = Handshake::with_identity(context, ephemeral())?;
    needs_group_2(&ephemeral)?;
    let chunk = ephemeral.keying_chunk(&component_with(2, key), b"X");
    ephemeral.expect_refusal(&chunk, &format!("{what} in the component"))?;
    let mut certificate = Vec::new();
    put_option(&mut certificate, 0x1d, &[&[2][..], key].concat());
    refused_certificate(context, &certificate, &format!("{what} in the certificate"))
}

fn refused_certificate(context: &Context, certificate: &[u8], what: &str) -> CaseResult {
    let handshake = Handshake::new(context)?;
    let component = handshake.component()?;
    let mut chunk = Vec::new();
    rtmfp::wire::chunk::InitiatorKeying {
        session_id: handshake.near_id,
        cookie: &handshake.hello.cookie,
        certificate,
        component: &component.bytes,
        signature: b"X",
        signed: &[],
    }
    .put(&mut chunk);
    handshake.expect_refusal(&chunk, what)
}

/// A number near group 2's prime.
fn near_prime(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut prime = Group::Modp1024.prime();
    change(&mut prime);
    prime
}

/// Opens in one group and proves it with a Ping: a static key of that group leaves no choice.
fn in_group(context: &Context, group: Group) -> CaseResult {
    let pair = KeyPair::generate(group, &mut rand::rng());
    let identity = Identity::new(None, false, Keys::Static(vec![pair]));
    let handshake = Handshake::with_identity(context, identity)?;
    if !handshake.hello.decoded_certificate()?.supports(group) {
        let why = format!("the server does not offer group {}", group.number());
        return Err(Failure::NotApplicable(why));
    }
    handshake.open()?.prove()
}

/// Opens with a policy; the session's protection must be what both said, and work.
fn protected(
    context: &Context,
    policy: Policy,
) -> Result<rtmfp::crypto::PacketProtection, Failure> {
    let mut handshake = Handshake::new(context)?;
    handshake.policy = policy;
    let component = handshake.component()?;
    let chunk = handshake.keying_chunk(&component.bytes, b"X");
    handshake.send(&chunk);
    let lacks_one = [policy.hmac, policy.sequence_numbers].contains(&Protection::Off);
    let (far_id, answer, _) = handshake.answer().map_err(|failure| match failure {
        // It may require what we do not offer.
        Failure::Failed { got, .. } if got == "nothing" && lacks_one => {
            Failure::NotApplicable("the server wants another protection".into())
        }
        other => other,
    })?;
    let unprotected = Unprotected.to_string();
    let mut session =
        handshake.into_session(&component, far_id, &answer).map_err(|failure| match failure {
            Failure::Failed { got, .. } if got == unprotected => Failure::NotApplicable(got),
            other => other,
        })?;
    session.prove()?;
    Ok(session.protection)
}

fn only(hmac: Protection, sequence_numbers: Protection) -> Policy {
    Policy { hmac, sequence_numbers }
}

cases! {
    "keying.opens", "7016 §3.5.1.1.2", "an IIKeying with a good cookie is answered with an RIKeying", |context| context.session().map(|_| ());
    "keying.mode-3", "7016 §2.3.8", "the RIKeying's packet is in startup mode", |context| {
        let (_, _, _, packet) = Handshake::new(context)?.key()?;
        let mode = packet.header().map(|header| header.flags.mode);
        check(mode == Some(Mode::Startup), "mode 3", mode)
    };
    "keying.session-id", "7016 §2.3.8", "the responder's session ID is not 0", |context| {
        let session = context.session()?;
        check(session.far_id != 0, "a session ID other than 0", session.far_id)
    };
    "keying.unique-session-ids", "7016 §3.5", "two sessions have different session IDs", |context| {
        let (first, second) = (context.session()?, context.session()?);
        check(first.far_id != second.far_id, "different session IDs", first.far_id)
    };
    "keying.repeated", "7016 §3.5.1.1.2", "a repeated IIKeying gets the same RIKeying", |context| {
        let mut handshake = Handshake::new(context)?;
        let component = handshake.component()?;
        let chunk = handshake.keying_chunk(&component.bytes, b"X");
        handshake.send(&chunk);
        let (first_id, first, _) = handshake.answer()?;
        handshake.send(&chunk);
        let (second_id, second, _) = handshake.answer()?;
        check((first_id, &first) == (second_id, &second), &format!("session {first_id:x} and the same component"), format!("session {second_id:x}, {}", hex(&second)))
    };
    "keying.works-after-repeat", "7016 §3.5.1.1.2", "the session works after a repeated IIKeying", |context| {
        let mut handshake = Handshake::new(context)?;
        let component = handshake.component()?;
        let chunk = handshake.keying_chunk(&component.bytes, b"X");
        handshake.send(&chunk);
        let (far_id, answer, _) = handshake.answer()?;
        handshake.send(&chunk);
        handshake.into_session(&component, far_id, &answer)?.prove()
    };
    "keying.static-initiator", "7425 §4.6.1", "an initiator with a static key, as Flash Player is one, keys a session", |context| context.session()?.prove();
    "keying.ephemeral-initiator", "7425 §4.6.1", "an initiator with an ephemeral key keys a session", |context| {
        Handshake::with_identity(context, ephemeral())?.open()?.prove()
    };
    "keying.group-2", "7425 §4.2", "sessions can be keyed in group 2, if it is offered", |context| in_group(context, Group::Modp1024);
    "keying.group-5", "7425 §4.2", "sessions can be keyed in group 5, if it is offered", |context| in_group(context, Group::Modp1536);
    "keying.group-14", "7425 §4.2", "sessions can be keyed in group 14, if it is offered", |context| in_group(context, Group::Modp2048);
    "keying.group-16", "7425 §4.2", "sessions can be keyed in group 16, if it is offered", |context| in_group(context, Group::Modp4096);
    "keying.must-offer-group-2", "7425 §4.2", "group 2, which all must support, is offered", |context| {
        let certificate = context.probe()?.hello()?.decoded_certificate()?;
        check(certificate.supports(Group::Modp1024), "group 2 in the certificate", hex(certificate.bytes()))
    };
    "keying.unknown-group", "7425 §4.6.1", "a key in a group that nobody knows is refused", |context| refused_component(context, &component_with(99, &[0xa5; 128]), "group 99");
    "keying.no-key", "7425 §4.6.1", "a component without a key is refused", |context| refused_component(context, &[3, 0x1a, 2, 10, 2, 0x1e, 2], "no key");
    "keying.empty-component", "7425 §4.5", "an empty component is refused", |context| refused_component(context, &[], "an empty component");
    "keying.truncated-component", "7425 §4.5", "a component that overruns is refused", |context| refused_component(context, &[0x81, 2, 0x0d, 2, 1, 2, 3], "a truncated option");
    "keying.key-0", "7425 §4.6.2", "the public key 0 is refused", |context| refused_key(context, &[0; 128], "the key 0");
    "keying.key-1", "7425 §4.6.2", "the public key 1 is refused", |context| refused_key(context, &[1], "the key 1");
    "keying.key-small", "7425 §4.6.2", "a public key below 2^24 is refused", |context| refused_key(context, &[0xff, 0xa5, 0x5a], "a key of 24 bits");
    "keying.key-few-ones", "7425 §4.6.2", "a public key with few one bits is refused", |context| {
        let mut key = [0; 128];
        key[5] = 0x80;
        refused_key(context, &key, "a power of two")
    };
    "keying.key-above-prime", "7425 §4.6.2", "a public key above the prime is refused", |context| {
        refused_key(context, &near_prime(|bytes| bytes[119] += 1), "a key above the prime")
    };
    "keying.key-minus-1", "7425 §4.6.2", "the public key p - 1, of order 2, is refused", |context| {
        refused_key(context, &near_prime(|bytes| bytes[127] -= 1), "the key p - 1")
    };
    "keying.key-near-prime", "7425 §4.6.2", "a public key above p - 2^24 is refused", |context| {
        refused_key(context, &near_prime(|bytes| bytes[126] ^= 0x5a), "a key within 2^24 of the prime")
    };
    "keying.key-few-zeros", "7425 §4.6.2", "a public key with few zero bits is refused", |context| {
        refused_key(context, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a key of ones")
    };
    "keying.key-in-range", "7425 §4.6.2", "a public key that passes all checks is accepted", |context| {
        let handshake = Handshake::with_identity(context, ephemeral())?;
        needs_group_2(&handshake)?;
        let mut handshake = handshake;
        let chunk = handshake.keying_chunk(&component_with(2, &[0x5a; 128]), b"X");
        handshake.send(&chunk);
        handshake.answer().map(|_| ())
    };
    "keying.key-too-long", "7425 §4.6.2", "a public key longer than the prime is refused", |context| refused_key(context, &[0xa5; 200], "a key of 200 bytes");
    "keying.garbage-certificate", "7425 §4.3", "an initiator's certificate that does not parse is refused", |context| refused_certificate(context, &[0xff, 0x7f, 0x1d, 2], "a broken certificate");
    "keying.empty-certificate", "7425 §4.3.3", "a certificate with neither static keys nor groups is refused", |context| refused_certificate(context, &[], "an empty certificate");
    "keying.two-kinds-of-keys", "7425 §4.3.3", "a certificate with static keys and ephemeral groups is refused", |context| {
        let mut certificate = Identity::peer(&mut rand::rng()).certificate().bytes().to_vec();
        put_option(&mut certificate, 0x15, &[2]);
        refused_certificate(context, &certificate, "both kinds of keys")
    };
    "keying.signature-x", "7425 §4.3.5", "the signature X is taken as none", |context| Handshake::new(context)?.open_signed(b"X").map(|_| ());
    "keying.signature-empty", "7425 §4.3.5", "an empty signature is taken as none", |context| Handshake::new(context)?.open_signed(b"").map(|_| ());
    "keying.signature-malformed", "7425 §4.3.5", "a malformed signature is taken as none", |context| Handshake::new(context)?.open_signed(&[0x99, 1, 2]).map(|_| ());
    "keying.signature-unknown-password", "7425 §4.3.5.1.1", "a password of an unknown name is ignored", |context| {
        let mut signature = Vec::new();
        put_option(&mut signature, 0x1d, &[&[7; 32][..], b"nobody knows me"].concat());
        Handshake::new(context)?.open_signed(&signature).map(|_| ())
    };
    "keying.unknown-component-option", "7425 §4.5", "an unknown option in the component is ignored", |context| {
        let mut handshake = Handshake::new(context)?;
        let mut component = handshake.component()?;
        put_option(&mut component.bytes, 0x99, b"?");
        let chunk = handshake.keying_chunk(&component.bytes, b"X");
        handshake.send(&chunk);
        let (far_id, answer, _) = handshake.answer()?;
        handshake.into_session(&component, far_id, &answer)?.prove()
    };
    "keying.no-protection", "7425 §4.6.4", "who offers neither HMAC nor numbers gets neither, or no session", |context| {
        let protection = protected(context, Policy::both(Protection::Off))?;
        check(protection == Default::default(), "checksums only", protection)
    };
    "keying.hmac", "7425 §4.5.2.4", "an HMAC that both ends want is used and verified", |context| {
        let protection = protected(context, only(Protection::Require, Protection::Off))?;
        check(protection.receive_hmac.is_some() && protection.send_hmac.is_some(), "HMACs both ways", protection)
    };
    "keying.sequence-numbers", "7425 §4.5.2.5", "session sequence numbers that both ends want are used", |context| {
        let protection = protected(context, only(Protection::Off, Protection::Require))?;
        check(protection.receive_sequence && protection.send_sequence, "numbers both ways", protection)
    };
    "keying.both-protections", "7425 §4.5", "HMAC and sequence numbers work together", |context| {
        let protection = protected(context, Policy::both(Protection::Require))?;
        check(protection.is_authentic(), "both", protection)
    };
    "keying.on-request", "7425 §4.5.2.4", "what is offered on request is used if, and only if, it is requested", |context| {
        protected(context, Policy::both(Protection::Match)).map(|_| ())
    };
    "keying.hmac-length", "7425 §4.5.2.4", "an HMAC of 3 bytes is not accepted as one", |context| {
        let handshake = Handshake::new(context)?;
        let component = handshake.component()?;
        let without = component.bytes.len().saturating_sub(7);
        let mut bytes = component.bytes[..without].to_vec();
        put_option(&mut bytes, 0x1a, &[4, 3]);
        put_option(&mut bytes, 0x1e, &[0]);
        let chunk = handshake.keying_chunk(&bytes, b"X");
        handshake.expect_refusal(&chunk, "an HMAC of 3 bytes")
    };
    "keying.hmac-too-long", "7425 §4.5.2.4", "an HMAC of 33 bytes is not accepted as one", |context| {
        let handshake = Handshake::new(context)?;
        let component = handshake.component()?;
        let without = component.bytes.len().saturating_sub(7);
        let mut bytes = component.bytes[..without].to_vec();
        put_option(&mut bytes, 0x1a, &[4, 33]);
        put_option(&mut bytes, 0x1e, &[0]);
        let chunk = handshake.keying_chunk(&bytes, b"X");
        handshake.expect_refusal(&chunk, "an HMAC of 33 bytes")
    };
    custom "keying.session-0", "7016 §3.3", "an initiator that would receive on session ID 0 is refused", |context| {
        let mut handshake = Handshake::new(context)?;
        let component = handshake.component()?;
        let near_id = std::mem::replace(&mut handshake.near_id, 0);
        let chunk = handshake.keying_chunk(&component.bytes, b"X");
        handshake.near_id = near_id;
        handshake.send(&chunk);
        handshake.probe.expect_silence("an IIKeying for session ID 0")?;
        handshake.open().map(|_| ())
    };
    "keying.overrides", "7016 §3.5.1.1.2", "the same client at the same address may open its session anew, and the old one is over", |context| {
        let identity = || { use rand::SeedableRng; Identity::peer(&mut rand::rngs::StdRng::seed_from_u64(77)) };
        let mut old = Handshake::with_identity(context, identity())?.open()?;
        old.ping(b"old")?;
        // Cookies may count in seconds: this one must be later than the session.
        std::thread::sleep(std::time::Duration::from_millis(2100));
        let mut new = Handshake::at(old.probe.again()?, identity())?.open()?;
        new.prove()?;
        old.vanishes = true;
        old.expect_gone("its owner has opened another session")
    };
    "keying.does-not-override", "7016 §3.5.1.1.2", "another certificate does not replace a session at its address", |context| {
        let mut session = context.session()?;
        session.ping(b"there")?;
        std::thread::sleep(std::time::Duration::from_millis(2100));
        let mut intruder = Handshake::at(session.probe.again()?, Identity::peer(&mut rand::rng()))?;
        let component = intruder.component()?;
        let chunk = intruder.keying_chunk(&component.bytes, b"X");
        intruder.send(&chunk);
        match intruder.answer() {
            Ok(_) => Err(failed("no RIKeying to who is somebody else", "RIKeying")),
            Err(_) => session.ping(b"still there").map(|_| ()),
        }
    };
    custom "keying.one-a-packet", "7016 §5", "many IIKeyings in one packet do not make many answers", |context| {
        let mut handshake = Handshake::with_identity(context, ephemeral())?;
        let chunks: Vec<u8> = (0..4).map(|_| handshake.component().map(|component| handshake.keying_chunk(&component.bytes, b"X"))).collect::<Result<Vec<_>, _>>()?.concat();
        handshake.send(&chunks);
        let mut answers = 0;
        let deadline = std::time::Instant::now() + 4 * handshake.probe.silence();
        while let Some(packet) = handshake.probe.receive(deadline.saturating_duration_since(std::time::Instant::now())) {
            answers += packet.chunks().filter(|chunk| matches!(chunk, rtmfp::wire::Chunk::ResponderKeying(_))).count();
        }
        check((1..=2).contains(&answers), "one answer", answers)
    };
    "keying.rikeying-unasked", "7016 §3.5.1.1.1", "an RIKeying that nobody asked for is ignored", |context| {
        let mut probe = context.probe()?;
        probe.send_startup(|out| rtmfp::wire::chunk::ResponderKeying { session_id: 7, component: &[1, 2, 3], signature: b"X", signed: &[] }.put(out));
        match probe.receive(probe.silence()) {
            None => Ok(()),
            Some(packet) => Err(failed("silence", packet.chunks().map(|chunk| name_of(&chunk)).collect::<Vec<_>>().join(", "))),
        }
    };
}
