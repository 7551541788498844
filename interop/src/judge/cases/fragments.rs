//! Packets in pieces.

use rtmfp::wire::{
    Mode,
    chunk::{InitiatorHello, PacketFragment, code},
};

use super::cases;
use crate::judge::{CaseResult, Context, Probe, probe::put_raw};

/// Sends the plain packet of an IHello in pieces of 40 bytes, as `order` says; (mode, piece).
fn in_pieces(
    context: &Context,
    is_answered: bool,
    send: impl FnOnce(&mut Probe, &[PacketFragment<'_>]),
) -> CaseResult {
    let mut probe = context.probe()?;
    let (epd, tag) = (probe.epd(), [0x42; 64]);
    let plain = probe.startup_packet(|out| InitiatorHello { epd: &epd, tag: &tag }.put(out));
    let count = plain.len().div_ceil(40);
    let pieces: Vec<PacketFragment<'_>> = plain
        .chunks(40)
        .enumerate()
        .map(|(number, bytes)| PacketFragment {
            has_more: number + 1 < count,
            packet_id: 7,
            number: number as u64,
            bytes,
        })
        .collect();
    send(&mut probe, &pieces);
    if is_answered {
        probe.expect_hello(&tag).map(|_| ())
    } else {
        probe.expect_silence("fragments that must not be joined")
    }
}

cases! {
    "fragments.in-order", "7016 §3.4", "a fragmented IHello is put together", |context| {
        in_pieces(context, true, |probe, pieces| pieces.iter().for_each(|piece| probe.send_startup(|out| piece.put(out))))
    };
    "fragments.reversed", "7016 §3.4", "fragments that arrive in reverse are put together", |context| {
        in_pieces(context, true, |probe, pieces| pieces.iter().rev().for_each(|piece| probe.send_startup(|out| piece.put(out))))
    };
    "fragments.duplicates", "7016 §3.4", "fragments that arrive twice are put together once", |context| {
        in_pieces(context, true, |probe, pieces| pieces.iter().for_each(|piece| {
            probe.send_startup(|out| piece.put(out));
            probe.send_startup(|out| piece.put(out));
        }))
    };
    "fragments.one-packet", "7016 §3.4", "fragments in one packet are put together", |context| {
        in_pieces(context, true, |probe, pieces| probe.send_startup(|out| pieces.iter().for_each(|piece| piece.put(out))))
    };
    "fragments.incomplete", "7016 §3.4", "a packet that lacks a fragment is not processed", |context| {
        in_pieces(context, false, |probe, pieces| pieces[1..].iter().for_each(|piece| probe.send_startup(|out| piece.put(out))))
    };
    "fragments.mixed-modes", "7016 §3.4", "a fragment in a packet of another mode is discarded", |context| {
        in_pieces(context, false, |probe, pieces| {
            for (index, piece) in pieces.iter().enumerate() {
                let mode = if index == 0 { Mode::Startup } else { Mode::Initiator };
                let plain = probe.packet(mode, |out| piece.put(out));
                probe.send_plain(&plain);
            }
        })
    };
    "fragments.empty", "7016 §3.4", "an empty fragment is discarded and the packet completed by the full one", |context| {
        in_pieces(context, true, |probe, pieces| {
            probe.send_startup(|out| put_raw(out, code::FRAGMENT, &[0x80, 7, 0]));
            pieces.iter().for_each(|piece| probe.send_startup(|out| piece.put(out)));
        })
    };
    "fragments.other-sender", "7016 §3.4", "fragments of two senders are not joined", |context| {
        let other = context.probe()?;
        in_pieces(context, false, |probe, pieces| {
            let mut other = other;
            pieces[1..].iter().for_each(|piece| probe.send_startup(|out| piece.put(out)));
            other.send_startup(|out| pieces[0].put(out));
        })
    };
}
