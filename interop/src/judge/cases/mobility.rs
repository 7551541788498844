//! Clients whose address changes, and those who pretend.

use std::{net::SocketAddr, time::Instant};

use rtmfp::wire::{
    Chunk,
    chunk::{code, put_chunk},
};

use super::cases;
use crate::judge::{CaseResult, Context, Failure, Probe, Session, check, failed};

fn put_ping(out: &mut Vec<u8>, message: &[u8]) {
    put_chunk(out, code::PING, |out| out.extend_from_slice(message));
}

/// Sends a Ping of an open session from another socket.
fn moved(context: &Context) -> Result<(Session, Probe), Failure> {
    let mut session = context.connected()?;
    std::thread::sleep(session.probe.silence());
    let elsewhere = session.probe.elsewhere()?;
    let datagram = session.packet(|out| put_ping(out, b"from elsewhere"));
    elsewhere.send_datagram(&datagram);
    Ok((session, elsewhere))
}

/// The far end's own question at the new address, if it asks one.
fn question(session: &mut Session, elsewhere: Probe) -> Result<(Probe, Vec<u8>), Failure> {
    let home = std::mem::replace(&mut session.probe, elsewhere);
    let asked = session.expect_unacked("a Ping at the new address", |_, chunk| match chunk {
        Chunk::Ping(message) if !message.is_empty() => Some(message.to_vec()),
        _ => None,
    });
    asked
        .map(|message| (home, message))
        .map_err(|_| Failure::NotApplicable("it does not ask there".into()))
}

fn answers_at(session: &mut Session, address: SocketAddr) -> CaseResult {
    session
        .ping_echo(b"where am I?")
        .map(|_| ())
        .map_err(|_| failed(format!("an answer at {address}"), "none"))
}

cases! {
    "mobility.asks", "7016 §3.5.4.2", "a packet from another address makes the receiver ask there", |context| {
        let (mut session, elsewhere) = moved(context)?;
        question(&mut session, elsewhere).map(|_| ())
    };
    "mobility.does-not-jump", "7016 §3.5.4.2", "one packet from another address does not move the session", |context| {
        let (mut session, _elsewhere) = moved(context)?;
        // The reply to the Ping goes home, for that is where the session is.
        session.expect_unacked("the Ping Reply at the old address", |_, chunk| {
            (chunk == Chunk::PingReply(b"from elsewhere")).then_some(())
        })
    };
    "mobility.moves", "7016 §3.5.4.2", "an answer from the new address moves the session there", |context| {
        let (mut session, elsewhere) = moved(context)?;
        let (_home, message) = question(&mut session, elsewhere)?;
        session.send(|out| put_chunk(out, code::PING_REPLY, |out| out.extend_from_slice(&message)));
        let address = session.probe.address();
        answers_at(&mut session, address)
    };
    "mobility.wrong-answer", "7016 §3.5.4.2", "an answer that was not asked for does not move the session", |context| {
        let (mut session, elsewhere) = moved(context)?;
        let (home, mut message) = question(&mut session, elsewhere)?;
        let last = message.len() - 1;
        message[last] ^= 1;
        session.send(|out| put_chunk(out, code::PING_REPLY, |out| out.extend_from_slice(&message)));
        session.probe = home;
        let address = session.probe.address();
        answers_at(&mut session, address)
    };
    "mobility.answer-from-home", "7016 §3.5.4.2", "an answer from another place than was asked does not move the session", |context| {
        let (mut session, elsewhere) = moved(context)?;
        let (home, message) = question(&mut session, elsewhere)?;
        session.probe = home;
        session.send(|out| put_chunk(out, code::PING_REPLY, |out| out.extend_from_slice(&message)));
        let address = session.probe.address();
        answers_at(&mut session, address)
    };
    "mobility.asks-once", "7016 §3.5.4.2", "many packets from another address do not make many questions", |context| {
        let mut session = context.connected()?;
        std::thread::sleep(session.probe.silence());
        let mut elsewhere = session.probe.elsewhere()?;
        for _ in 0..20 {
            let datagram = session.packet(|out| put_chunk(out, code::PADDING_ZERO, |_| ()));
            elsewhere.send_datagram(&datagram);
        }
        let mut questions = 0;
        let deadline = Instant::now() + elsewhere.patience();
        while elsewhere.receive_datagram(elsewhere.silence()).is_some() && Instant::now() < deadline {
            questions += 1;
        }
        check(questions <= 2, "one a second", questions)
    };
}
