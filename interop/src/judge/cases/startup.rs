//! Hellos: who is answered, and what is passed over.

use std::time::Instant;

use rtmfp::{
    crypto::{Discriminator, PeerId, scramble_session_id},
    wire::{
        Chunk, Mode, OptionItem, Options,
        chunk::{InitiatorHello, code},
        put_option,
    },
};

use super::cases;
use crate::judge::{
    CaseResult, Context, Probe, check, failed,
    probe::{hello_payload, hex, put_raw},
};

/// Sends one plain packet; an RHello with our tag must come, or none.
fn hello_in(
    context: &Context,
    is_answered: bool,
    after: &str,
    make: impl FnOnce(&mut Probe, &[u8], &[u8]) -> Vec<u8>,
) -> CaseResult {
    let mut probe = context.probe()?;
    let (epd, tag) = (probe.epd(), probe.tag());
    let plain = make(&mut probe, &epd, &tag);
    probe.send_plain(&plain);
    if is_answered { probe.expect_hello(&tag).map(|_| ()) } else { probe.expect_silence(after) }
}

fn tag_of(context: &Context, length: usize) -> CaseResult {
    let mut probe = context.probe()?;
    let (epd, tag) = (probe.epd(), vec![0x5a; length]);
    probe.send_startup(|out| InitiatorHello { epd: &epd, tag: &tag }.put(out));
    probe.expect_hello(&tag).map(|_| ())
}

fn unanswered_epd(context: &Context, epd: &[u8], what: &str) -> CaseResult {
    let mut probe = context.probe()?;
    let tag = probe.tag();
    probe.send_startup(|out| InitiatorHello { epd, tag: &tag }.put(out));
    match probe.receive(probe.silence()) {
        Some(packet) if packet.chunks().any(|chunk| matches!(chunk, Chunk::ResponderHello(_))) => {
            Err(failed(format!("no RHello to {what}"), "RHello"))
        }
        _ => Ok(()),
    }
}

fn hello_chunk(epd: &[u8], tag: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    InitiatorHello { epd, tag }.put(&mut out);
    out
}

/// Flags, then chunks, without any timestamp.
fn with_flags(flags: u8, rest: &[u8]) -> Vec<u8> {
    [&[flags][..], rest].concat()
}

/// Datagrams for session 0, where they are long enough to name one.
fn datagrams_are_ignored(
    context: &Context,
    datagrams: impl Iterator<Item = Vec<u8>>,
) -> CaseResult {
    const NAMES_A_SESSION: usize = 12;
    let mut probe = context.probe()?;
    for mut datagram in datagrams {
        if datagram.len() >= NAMES_A_SESSION {
            scramble_session_id(&mut datagram, 0);
        }
        probe.send_datagram(&datagram);
    }
    probe.expect_silence("datagrams that are no packets")?;
    probe.hello().map(|_| ())
}

cases! {
    "startup.ihello", "7016 §3.5.1.1.2", "an IHello that selects the server is answered with an RHello", |context| {
        context.probe()?.hello().map(|_| ())
    };
    "startup.tag-1", "7016 §2.3.4", "a tag of 1 byte is echoed", |context| tag_of(context, 1);
    "startup.tag-16", "7016 §2.3.4", "a tag of 16 bytes is echoed", |context| tag_of(context, 16);
    "startup.tag-127", "7016 §2.3.4", "a tag of 127 bytes is echoed", |context| tag_of(context, 127);
    "startup.tag-200", "7016 §2.3.4", "a tag of 200 bytes, with a length of two bytes, is echoed", |context| tag_of(context, 200);
    "startup.session-0", "7016 §3.5.1", "the RHello is sent to session 0", |context| {
        let hello = context.probe()?.hello()?;
        check(hello.packet.session_id == 0, "session ID 0", hello.packet.session_id)
    };
    "startup.mode-3", "7016 §2.2.4", "the RHello's packet is in startup mode", |context| {
        let hello = context.probe()?.hello()?;
        let mode = hello.packet.header().map(|header| header.flags.mode);
        check(mode == Some(Mode::Startup), "mode 3", mode)
    };
    "startup.cookie-not-empty", "7016 §3.5.1.1.2", "the RHello has a cookie", |context| {
        let hello = context.probe()?.hello()?;
        check(!hello.cookie.is_empty(), "a cookie", hello.cookie.len())
    };
    "startup.certificate", "7425 §4.3", "the RHello's certificate is well-formed", |context| {
        context.probe()?.hello()?.decoded_certificate().map(|_| ())
    };
    "startup.certificate-accepts", "7425 §4.3.3.2", "a server found by URI accepts ancillary data", |context| {
        let certificate = context.probe()?.hello()?.decoded_certificate()?;
        check(certificate.accepts_ancillary_data(), "the option Accepts Ancillary Data", hex(certificate.bytes()))
    };
    "startup.certificate-has-no-foreign-keys", "7425 §4.3.3", "ephemeral groups and static keys are not in one certificate", |context| {
        let hello = context.probe()?.hello()?;
        let has = |kind| Options::new(&hello.certificate).any(|item| matches!(item, OptionItem::Option(found, _) if found == kind));
        check(has(0x15) != has(0x1d), "either option 0x15 or option 0x1d", hex(&hello.certificate))
    };
    should "startup.same-certificate", "7016 §3.5.1.1.2", "two hellos meet the same certificate", |context| {
        let (first, second) = (context.probe()?.hello()?, context.probe()?.hello()?);
        check(first.certificate == second.certificate, &hex(&first.certificate), hex(&second.certificate))
    };
    "startup.repeated", "7016 §3.5.1.1.1", "a repeated IHello is answered again", |context| {
        let mut probe = context.probe()?;
        let (epd, tag) = (probe.epd(), probe.tag());
        for _ in 0..2 {
            probe.send_startup(|out| InitiatorHello { epd: &epd, tag: &tag }.put(out));
            probe.expect_hello(&tag)?;
        }
        Ok(())
    };
    "startup.no-timestamp", "7016 §2.2.4", "a packet without a timestamp is read", |context| {
        hello_in(context, true, "", |_, epd, tag| with_flags(0x03, &hello_chunk(epd, tag)))
    };
    "startup.both-timestamps", "7016 §2.2.4", "a packet with timestamp and echo is read", |context| {
        hello_in(context, true, "", |_, epd, tag| with_flags(0x0f, &[&[0, 1, 0, 2][..], &hello_chunk(epd, tag)].concat()))
    };
    "startup.reserved-flags", "7016 §2.2.4", "reserved bits of the flags are ignored", |context| {
        hello_in(context, true, "", |_, epd, tag| with_flags(0x33, &hello_chunk(epd, tag)))
    };
    "startup.unknown-chunk", "7016 §2.3", "an unknown chunk before the IHello is ignored", |context| {
        hello_in(context, true, "", |probe, epd, tag| probe.startup_packet(|out| {
            put_raw(out, 0x66, b"what is this?");
            out.extend(hello_chunk(epd, tag));
        }))
    };
    "startup.padding-chunks", "7016 §2.3", "padding chunks of both types before the IHello are ignored", |context| {
        hello_in(context, true, "", |probe, epd, tag| probe.startup_packet(|out| {
            put_raw(out, code::PADDING_ZERO, &[0; 20]);
            put_raw(out, code::PADDING_ONES, &[0xff; 5]);
            out.extend(hello_chunk(epd, tag));
        }))
    };
    "startup.malformed-chunk-first", "7016 §2.3", "a chunk that does not parse does not hide the next", |context| {
        hello_in(context, true, "", |probe, epd, tag| probe.startup_packet(|out| {
            put_raw(out, code::REDIRECT, &[0xff]);
            out.extend(hello_chunk(epd, tag));
        }))
    };
    "startup.long-vlu", "7016 §2.1.2", "a length that is not in its shortest form is read", |context| {
        hello_in(context, true, "", |probe, epd, tag| probe.startup_packet(|out| {
            let mut payload = vec![0x80, 0x80, epd.len() as u8];
            payload.extend_from_slice(epd);
            payload.extend_from_slice(tag);
            put_raw(out, code::INITIATOR_HELLO, &payload);
        }))
    };
    "startup.mode-1", "7016 §2.3.2", "an IHello in mode 1 is ignored", |context| {
        hello_in(context, false, "an IHello in mode 1", |probe, epd, tag| probe.packet(Mode::Initiator, |out| out.extend(hello_chunk(epd, tag))))
    };
    "startup.mode-2", "7016 §2.3.2", "an IHello in mode 2 is ignored", |context| {
        hello_in(context, false, "an IHello in mode 2", |probe, epd, tag| probe.packet(Mode::Responder, |out| out.extend(hello_chunk(epd, tag))))
    };
    "startup.mode-0", "7016 §2.2.4", "a packet in the forbidden mode 0 is dropped", |context| {
        hello_in(context, false, "a packet in mode 0", |_, epd, tag| with_flags(0x00, &hello_chunk(epd, tag)))
    };
    "startup.wrong-session", "7016 §2.3.2", "an IHello for a session ID other than 0 is ignored", |context| {
        let mut probe = context.probe()?;
        let (epd, tag) = (probe.epd(), probe.tag());
        let plain = probe.startup_packet(|out| out.extend(hello_chunk(&epd, &tag)));
        let datagram = probe.seal(0x1234_5678, &plain);
        probe.send_datagram(&datagram);
        probe.expect_silence("an IHello for session 0x12345678")
    };
    "startup.bad-checksum", "7425 §4.7.3.1", "a packet with a wrong checksum is dropped", |context| {
        let mut probe = context.probe()?;
        let (epd, tag) = (probe.epd(), probe.tag());
        let plain = probe.startup_packet(|out| out.extend(hello_chunk(&epd, &tag)));
        let mut datagram = probe.seal(0, &plain);
        let last = datagram.len() - 1;
        datagram[last] ^= 1;
        probe.send_datagram(&datagram);
        probe.expect_silence("a damaged packet")
    };
    "startup.short-datagrams", "7016 §2.2.2", "datagrams of 0 to 30 bytes are dropped", |context| {
        datagrams_are_ignored(context, (0..30).map(|length| vec![0xa5; length]))
    };
    "startup.odd-lengths", "7425 §4.7", "datagrams that are no whole cipher blocks are dropped", |context| {
        datagrams_are_ignored(context, (1..16).map(|extra| vec![0x33; 4 + 160 + extra]))
    };
    "startup.noise", "7016 §2.2.2", "datagrams of random bytes are dropped", |context| {
        let noise = |_| { use rand::RngExt; (0..200).map(|_| rand::rng().random()).collect() };
        datagrams_are_ignored(context, (0..50).map(noise))
    };
    "startup.unknown-fingerprint", "7425 §4.4.3", "an EPD with another's fingerprint gets no RHello", |context| {
        unanswered_epd(context, &Discriminator::Fingerprint(PeerId([0x77; 32])).encode(), "another's fingerprint")
    };
    "startup.fingerprint-decides", "7425 §4.4.3", "another's fingerprint beside our URI gets no RHello", |context| {
        let mut epd = context.probe()?.epd();
        epd.extend(Discriminator::Fingerprint(PeerId([0x77; 32])).encode());
        unanswered_epd(context, &epd, "another's fingerprint beside a URI")
    };
    "startup.own-fingerprint", "7425 §4.4.3", "an EPD with the server's own fingerprint is answered by it", |context| {
        let mut probe = context.probe()?;
        let certificate = probe.hello()?.decoded_certificate()?;
        let epd = Discriminator::Fingerprint(certificate.peer_id()).encode();
        let hello = probe.hello_for(&epd)?;
        check(hello.certificate == certificate.bytes(), "the same certificate", hex(&hello.certificate))
    };
    "startup.empty-epd", "7425 §4.4.3", "an empty EPD selects nobody", |context| unanswered_epd(context, &[], "an empty EPD");
    "startup.unknown-hostname", "7425 §4.4.2.1", "an EPD with a hostname that is not the server's gets no RHello", |context| {
        let mut epd = context.probe()?.epd();
        put_option(&mut epd, 0x00, b"no such host.invalid");
        unanswered_epd(context, &epd, "a foreign hostname")
    };
    "startup.unknown-epd-option", "7425 §4.4.2", "an unknown option in the EPD is ignored", |context| {
        let mut probe = context.probe()?;
        let mut epd = Vec::new();
        put_option(&mut epd, 0x33, b"?");
        epd.extend(probe.epd());
        probe.hello_for(&epd).map(|_| ())
    };
    "startup.epd-overrun", "7016 §2.3.2", "an EPD longer than its chunk is ignored", |context| {
        hello_in(context, false, "an EPD that overruns", |probe, _, tag| probe.startup_packet(|out| {
            let mut payload = hello_payload(&[], tag);
            payload[0] = 0x7f;
            put_raw(out, code::INITIATOR_HELLO, &payload);
        }))
    };
    "startup.rhello-unasked", "7016 §3.5.1.1.1", "an RHello that nobody asked for is ignored", |context| {
        hello_in(context, false, "an unasked RHello", |probe, _, tag| probe.startup_packet(|out| {
            rtmfp::wire::chunk::ResponderHello { tag, cookie: &[7; 64], certificate: &[2, 0x15, 2] }.put(out);
        }))
    };
    "startup.redirect-unasked", "7016 §3.5.1.1.1", "a Redirect that nobody asked for is ignored", |context| {
        hello_in(context, false, "an unasked Redirect", |probe, _, tag| probe.startup_packet(|out| {
            rtmfp::wire::chunk::Redirect::put(out, tag, &[]);
        }))
    };
    "startup.fihello-without-session", "7016 §2.3.3", "an FIHello outside a session is ignored", |context| {
        hello_in(context, false, "an FIHello for session 0", |probe, epd, tag| {
            let address = rtmfp::wire::Address::new(probe.address(), rtmfp::wire::Origin::Observed);
            probe.startup_packet(|out| rtmfp::wire::chunk::ForwardedHello { epd, reply_address: address, tag }.put(out))
        })
    };
    custom "startup.amplification", "7016 §5", "one packet with ten IHellos does not get ten answers", |context| {
        let mut probe = context.probe()?;
        let epd = probe.epd();
        let plain = probe.startup_packet(|out| (0..10).for_each(|count| out.extend(hello_chunk(&epd, &[count; 16]))));
        probe.send_plain(&plain);
        let mut answers = 0;
        let deadline = Instant::now() + probe.patience();
        while let Some(packet) = probe.receive(probe.silence()).filter(|_| Instant::now() < deadline) {
            answers += packet.chunks().filter(|chunk| matches!(chunk, Chunk::ResponderHello(_))).count();
        }
        match answers {
            0 => Err(failed("an answer to one of them", "nothing")),
            1..=3 => Ok(()),
            many => Err(failed("an answer to one of them", format!("{many} RHellos"))),
        }
    };
}
