//! What nobody should be able to use up.

use rtmfp::{
    crypto::scramble_session_id,
    rtmp::Command,
    wire::chunk::{FragmentControl, InitiatorHello, PacketFragment},
};

use super::cases;
use crate::judge::{
    CaseResult, Context, Handshake,
    data::{Data, options, put_data, put_next_data},
};

/// Sends, with breathing space so that the server's socket loses little, then sees it alive.
fn after_flood(context: &Context, count: usize, mut send: impl FnMut(usize)) -> CaseResult {
    for number in 0..count {
        send(number);
        if number % 64 == 63 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    context.is_alive()
}

cases! {
    "limits.hello-flood", "7016 §3.5.1.1.2", "after seventy thousand hellos the cookie of the first still opens a session: nothing is kept of them", |context| {
        let first = Handshake::new(context)?;
        let mut probe = context.probe()?;
        let epd = probe.epd();
        after_flood(context, 70_000, |number| {
            let tag = (number as u128).to_be_bytes();
            probe.send_startup(|out| InitiatorHello { epd: &epd, tag: &tag }.put(out));
        })?;
        first.open().map(|_| ())
    };
    "limits.huge-tag", "7016 §2.3.2", "a hello that fills a datagram of 65,000 bytes does no harm", |context| {
        let mut probe = context.probe()?;
        let epd = probe.epd();
        for size in [1000, 60_000, 65_400] {
            probe.send_startup(|out| InitiatorHello { epd: &epd, tag: &vec![0x5a; size] }.put(out));
        }
        context.is_alive()
    };
    "limits.huge-tag-in-pieces", "7016 §3.4", "a hello of 65,000 bytes in pieces does no harm", |context| {
        let mut probe = context.probe()?;
        let epd = probe.epd();
        let plain = probe.startup_packet(|out| InitiatorHello { epd: &epd, tag: &vec![0x5a; 65_480 - epd.len()] }.put(out));
        let last = plain.chunks(1100).len() as u64 - 1;
        for (number, bytes) in plain.chunks(1100).enumerate() {
            let number = number as u64;
            probe.send_startup(|out| PacketFragment { has_more: number < last, packet_id: 3, number, bytes }.put(out));
        }
        context.is_alive()
    };
    custom "limits.unacknowledged-answers", "7016 §5", "a client that asks and never takes the answers leaves the server serving", |context| {
        let mut session = context.connected()?;
        let call = Command::new("createStream", 1.0, Vec::new()).encode();
        let list = session.control_options();
        let first = session.next_sequence;
        after_flood(context, 2_000, |number| session.send(|out| {
            let sequence = first + 20 * number as u64;
            let data = Data { sequence, forward_sequence: sequence - 1, options: if number < 8 { &list } else { &[] }, payload: &call, ..Data::default() };
            put_data(out, &data);
            (1..20).for_each(|_| put_next_data(out, FragmentControl::Whole, &call));
        }))
    };
    "limits.cookie-flood", "7016 §3.5.1.1.2", "five thousand IIKeyings with forged cookies leave the server serving", |context| {
        let mut handshake = Handshake::new(context)?;
        let component = handshake.component()?;
        handshake.hello.cookie = vec![0x5a; handshake.hello.cookie.len()];
        let chunk = handshake.keying_chunk(&component.bytes, b"X");
        after_flood(context, 5_000, |_| handshake.send(&chunk))
    };
    custom "limits.fragment-flood", "7016 §3.4", "thousands of packets that are never completed leave the server serving", |context| {
        let mut probe = context.probe()?;
        after_flood(context, 5_000, |number| {
            let piece = PacketFragment { has_more: true, packet_id: number as u64, number: 0, bytes: &[0x5a; 1000] };
            probe.send_startup(|out| piece.put(out));
        })
    };
    custom "limits.noise-flood", "7016 §5", "twenty thousand datagrams of noise leave the server serving", |context| {
        let probe = context.probe()?;
        after_flood(context, 20_000, |number| {
            let mut datagram = [number as u8; 212];
            scramble_session_id(&mut datagram, 0);
            probe.send_datagram(&datagram);
        })
    };
    custom "limits.many-flows", "7016 §3.6.3", "three thousand flows in one session leave the server serving", |context| {
        let mut session = context.session()?;
        let list = session.control_options();
        after_flood(context, 3_000, |number| {
            session.send_data(&Data { flow: 10 + number as u64, options: &list, fragment: FragmentControl::Begin, payload: b"x", ..Data::default() });
        })
    };
    custom "limits.endless-message", "7016 §3.6.3", "a message that never ends leaves the server serving", |context| {
        let mut session = context.session()?;
        let list = session.control_options();
        after_flood(context, 8_000, |number| {
            let fragment = if number == 0 { FragmentControl::Begin } else { FragmentControl::Middle };
            let sequence = number as u64 + 1;
            session.send_data(&Data { sequence, forward_sequence: 0, options: if number < 8 { &list } else { &[] }, fragment, payload: &[0x5a; 1000], ..Data::default() });
        })
    };
    custom "limits.endless-gap", "7016 §3.6.3", "data beyond a gap that is never filled leaves the server serving", |context| {
        let mut session = context.session()?;
        let list = session.control_options();
        session.send_data(&Data { options: &list, fragment: FragmentControl::Begin, payload: b"x", ..Data::default() });
        after_flood(context, 8_000, |number| {
            session.send_data(&Data { sequence: 3 + 2 * number as u64, fragment: FragmentControl::Middle, payload: &[0x5a; 1000], ..Data::default() });
        })
    };
    should "limits.large-metadata", "7016 §2.3.11.1.1", "metadata of a kilobyte does no harm", |context| {
        let mut session = context.session()?;
        session.send_data(&Data { flow: 9, options: &options(&[0x54; 1000], None), payload: b"x", ..Data::default() });
        session.prove()
    };
    custom "limits.many-sessions", "7016 §3.5", "a hundred sessions of one client all work", |context| {
        let mut sessions = Vec::new();
        for _ in 0..100 {
            sessions.push(context.session()?);
        }
        sessions.iter_mut().try_for_each(|session| session.prove())
    };
    custom "limits.abandoned-sessions", "7016 §3.5", "clients that vanish leave the server serving", |context| {
        for _ in 0..50 {
            context.connected()?.vanishes = true;
        }
        context.is_alive()
    };
}
