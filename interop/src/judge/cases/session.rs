//! Packets of an open session: pings, timestamps, modes, damage, replay.

use std::time::Duration;

use rtmfp::{
    crypto::OpenError,
    wire::{
        Chunk, Mode, PacketHeader,
        chunk::{code, put_chunk},
    },
};

use super::cases;
use crate::judge::{CaseResult, Context, Failure, Session, check, failed, probe::put_raw};

/// How long a timestamp lies before it is echoed.
const HELD: Duration = Duration::from_millis(400);
/// In a packet's flags.
const WITH_TIMESTAMP: u8 = 0x08;

fn put_ping(out: &mut Vec<u8>, message: &[u8]) {
    put_chunk(out, code::PING, |out| out.extend_from_slice(message));
}

fn is_reply(chunk: Chunk<'_>) -> bool {
    matches!(chunk, Chunk::PingReply(_))
}

/// A Ping in a packet with any header bytes; no reply may come.
fn unanswered(context: &Context, mode: impl FnOnce(&Session) -> u8, after: &str) -> CaseResult {
    let mut session = context.session()?;
    let mut plain = vec![WITH_TIMESTAMP | mode(&session), 0, 1];
    put_ping(&mut plain, b"?");
    let datagram = session.seal(&plain);
    session.probe.send_datagram(&datagram);
    session.expect_no(after, is_reply)?;
    session.ping(b"still there").map(|_| ())
}

/// A Ping behind other bytes in its packet is answered.
fn answered_behind(context: &Context, before: impl FnOnce(&mut Vec<u8>)) -> CaseResult {
    let mut session = context.session()?;
    session.send(|out| {
        before(out);
        put_ping(out, b"behind");
    });
    session.expect("a Ping Reply", |_, chunk| is_reply(chunk).then_some(()))
}

/// The echo of our timestamp, `held` after we sent it, is to be on by the time it was held.
fn echo(session: &mut Session) -> Result<(u16, u16), Failure> {
    // Later than anything that was echoed before, for nothing need be echoed twice.
    std::thread::sleep(Duration::from_millis(20));
    let sent = session.probe.timestamp();
    let packet = session.ping(b"echo")?;
    let header = packet.header();
    match header.and_then(|header| header.timestamp_echo) {
        Some(echo) => Ok((sent, echo)),
        None => Err(failed("a timestamp echo", format!("{header:?}"))),
    }
}

cases! {
    "session.ping", "7016 §3.5.4.1", "a Ping is answered with its message", |context| context.session()?.ping_echo(b"are you there?").map(|_| ());
    "session.empty-ping", "7016 §2.3.9", "an empty Ping is answered", |context| context.session()?.ping_echo(b"").map(|_| ());
    "session.large-ping", "7016 §2.3.9", "a Ping of 1000 bytes is answered whole", |context| context.session()?.ping_echo(&[0x5a; 1000]).map(|_| ());
    "session.two-pings", "7016 §2.3.9", "two Pings in one packet are both answered", |context| {
        let mut session = context.session()?;
        session.send(|out| { put_ping(out, b"one"); put_ping(out, b"two"); });
        let mut seen = [false; 2];
        session.expect("two Ping Replies", |_, chunk| {
            seen[0] |= chunk == Chunk::PingReply(b"one");
            seen[1] |= chunk == Chunk::PingReply(b"two");
            (seen == [true; 2]).then_some(())
        })
    };
    "session.mode", "7016 §2.2.4", "the initiator sends in mode 1, the responder in mode 2", |context| {
        let mut session = context.session()?;
        let mode = session.ping(b"mode")?.header().map(|header| header.flags.mode);
        check(mode == Some(session.far_mode()), &format!("{:?}", session.far_mode()), mode)
    };
    should "session.reflected", "7016 §2.2.4", "a packet in the receiver's own mode is ignored", |context| unanswered(context, |session| session.far_mode() as u8, "a Ping in its own mode");
    "session.startup-mode", "7016 §2.3", "a session chunk in startup mode is ignored", |context| unanswered(context, |_| Mode::Startup as u8, "a Ping in mode 3");
    "session.mode-0", "7016 §2.2.4", "a packet in the forbidden mode 0 is dropped", |context| unanswered(context, |_| 0, "a Ping in mode 0");
    "session.no-timestamp", "7016 §2.2.4", "a session packet without a timestamp is read", |context| {
        let mut session = context.session()?;
        let mut plain = vec![session.mode as u8];
        put_ping(&mut plain, b"bare");
        let datagram = session.seal(&plain);
        session.probe.send_datagram(&datagram);
        session.expect("a Ping Reply", |_, chunk| is_reply(chunk).then_some(()))
    };
    should "session.timestamp", "7016 §3.5.2.2", "timestamps are sent", |context| {
        let packet = context.session()?.ping(b"time")?;
        let header = packet.header();
        check(header.is_some_and(|header: PacketHeader| header.timestamp.is_some()), "a timestamp", header)
    };
    "session.timestamp-echo", "7016 §3.5.2.2", "our timestamp is echoed", |context| {
        let (sent, echo) = echo(&mut context.session()?)?;
        check(echo.wrapping_sub(sent) < 50, &format!("{sent} or a little more"), echo)
    };
    "session.echo-advances", "7016 §3.5.2.2", "an echo counts the time for which the timestamp was held", |context| {
        let mut session = context.session()?;
        session.ping(b"first")?;
        // A clock of our own, and nothing to answer for a while.
        let stamp = session.probe.timestamp().wrapping_sub(1000);
        let mut plain = vec![WITH_TIMESTAMP | session.mode as u8];
        plain.extend_from_slice(&stamp.to_be_bytes());
        put_chunk(&mut plain, code::PADDING_ZERO, |_| ());
        let datagram = session.seal(&plain);
        session.probe.send_datagram(&datagram);
        let sent = std::time::Instant::now();
        while session.receive(HELD.saturating_sub(sent.elapsed())).is_some() {}
        let mut plain = vec![session.mode as u8];
        put_ping(&mut plain, b"without a timestamp");
        let datagram = session.seal(&plain);
        session.probe.send_datagram(&datagram);
        let echo = session.expect("an echo with a Ping Reply", |packet, chunk| is_reply(chunk).then(|| packet.header()?.timestamp_echo)?)?;
        let expected = (sent.elapsed().as_millis() / 4) as i64;
        let got = i64::from(echo.wrapping_sub(stamp));
        check((got - expected).abs() <= 15, &format!("{stamp} and about {expected} ticks"), format!("{echo}, which is {got}"))
    };
    should "session.clock", "7016 §2.2.4", "timestamps advance at 250 a second", |context| {
        let mut session = context.session()?;
        session.ping(b"first")?;
        let first = session.last_timestamp;
        std::thread::sleep(HELD);
        session.ping(b"second")?;
        let (Some((first, began)), Some((second, ended))) = (first, session.last_timestamp) else {
            return Err(failed("timestamps", "none"));
        };
        let expected = (ended - began).as_millis() as i64 / 4;
        let got = i64::from(second.wrapping_sub(first));
        check((got - expected).abs() <= 25, &format!("about {expected} ticks"), got)
    };
    "session.unknown-chunk", "7016 §2.3", "an unknown chunk is ignored", |context| answered_behind(context, |out| put_raw(out, 0x66, b"?"));
    "session.malformed-chunk", "7016 §2.3", "a chunk that does not parse does not hide the next", |context| answered_behind(context, |out| put_raw(out, code::USER_DATA, &[0x80]));
    "session.padding-chunk", "7016 §2.3", "padding chunks are ignored", |context| answered_behind(context, |out| put_raw(out, code::PADDING_ZERO, &[0; 300]));
    "session.truncated-chunk", "7016 §2.3", "a chunk that overruns its packet is dropped and those before it count", |context| {
        let mut session = context.session()?;
        session.send(|out| {
            put_ping(out, b"before");
            out.extend_from_slice(&[code::PING, 0x7f, 0xff, 1, 2, 3]);
        });
        session.expect("a Ping Reply", |_, chunk| (chunk == Chunk::PingReply(b"before")).then_some(()))
    };
    "session.startup-chunk", "7016 §2.3", "an IHello inside a session is ignored", |context| {
        let mut session = context.session()?;
        let epd = session.probe.epd();
        session.send(|out| rtmfp::wire::chunk::InitiatorHello { epd: &epd, tag: b"inside" }.put(out));
        match session.probe.receive(session.probe.silence()) {
            None => session.ping(b"still there").map(|_| ()),
            Some(_) => Err(failed("silence", "a startup packet")),
        }
    };
    "session.unknown-session", "7016 §3.3", "a packet for a session that does not exist is dropped", |context| {
        let mut session = context.session()?;
        let far_id = std::mem::replace(&mut session.far_id, 0x7777_7777);
        session.expect_gone("a packet for another session")?;
        session.far_id = far_id;
        session.ping(b"still there").map(|_| ())
    };
    "session.damaged", "7425 §4.7.3", "a damaged packet is dropped", |context| {
        let mut session = context.session()?;
        // In its last byte, which is the HMAC's if there is one, and in the middle.
        for from_end in [1, 20] {
            let mut datagram = session.packet(|out| put_ping(out, &[0x5a; 40]));
            let at = datagram.len() - from_end;
            datagram[at] ^= 1;
            session.probe.send_datagram(&datagram);
            session.expect_no("a damaged Ping", is_reply)?;
        }
        session.ping(b"still there").map(|_| ())
    };
    "session.other-keys", "7425 §4.7.3", "a packet under another session's keys is dropped", |context| {
        let (mut one, mut two) = (context.session()?, context.session()?);
        if one.mode == Mode::Responder {
            return Err(Failure::NotApplicable("two clients have nothing in common".into()));
        }
        std::mem::swap(&mut one.far_id, &mut two.far_id);
        let gone = one.expect_gone("a packet under foreign keys");
        std::mem::swap(&mut one.far_id, &mut two.far_id);
        gone?;
        one.ping(b"still there")?;
        two.ping(b"still there").map(|_| ())
    };
    "session.replayed", "7425 §4.7.3.3", "a packet that is sent twice counts once, where numbers are in use", |context| {
        let mut session = context.session()?;
        if !session.protection.send_sequence {
            return Err(Failure::NotApplicable("no session sequence numbers".into()));
        }
        let datagram = session.packet(|out| put_ping(out, b"once"));
        session.probe.send_datagram(&datagram);
        session.expect("a Ping Reply", |_, chunk| is_reply(chunk).then_some(()))?;
        session.probe.send_datagram(&datagram);
        session.expect_no("a replayed packet", is_reply)?;
        session.ping(b"still there").map(|_| ())
    };
    "session.reordered", "7425 §4.7.3.3", "numbered packets may overtake each other by 32", |context| {
        let mut session = context.session()?;
        if !session.protection.send_sequence {
            return Err(Failure::NotApplicable("no session sequence numbers".into()));
        }
        let first = session.packet(|out| put_ping(out, b"late"));
        (0..30).for_each(|_| session.send(|out| put_raw(out, code::PADDING_ZERO, &[])));
        session.probe.send_datagram(&first);
        session.expect("a Ping Reply to the late packet", |_, chunk| (chunk == Chunk::PingReply(b"late")).then_some(()))
    };
    "session.numbers-its-packets", "7425 §4.7.3.3", "no number is sent twice", |context| {
        let mut session = context.session()?;
        if !session.protection.receive_sequence {
            return Err(Failure::NotApplicable("no session sequence numbers".into()));
        }
        let mut keys = session.keys.clone();
        for _ in 0..20 {
            session.send(|out| put_ping(out, b"count"));
            let (_, mut datagram) = session.probe.receive_datagram(session.probe.patience()).ok_or_else(|| failed("a packet", "nothing"))?;
            if keys.open(&mut datagram) == Err(OpenError::Replayed) {
                return Err(failed("a new number", "one that was there before"));
            }
        }
        Ok(())
    };
}
