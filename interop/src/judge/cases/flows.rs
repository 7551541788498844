//! Flows: acknowledgements, gaps, options, rejection, windows, ends.

use std::time::{Duration, Instant};

use rtmfp::{
    rtmp::FlowMetadata,
    wire::{
        Chunk,
        chunk::{BufferProbe, FragmentControl, code, flow_option},
        put_marker, put_option,
    },
};

use super::cases;
use crate::judge::{
    CaseResult, Context, Failure, Session, check,
    data::{CONTROL, Data, connect_command, options, put_data, put_next_data},
    failed,
    probe::{name_of, put_raw},
};

/// Room for scheduling: at once is within this, beside the round trip.
const AT_ONCE: Duration = Duration::from_millis(120);
const DELAYED_ACK: Duration = Duration::from_millis(200);

/// A piece of a message that never ends, so that nothing answers it but acknowledgements.
fn piece(sequence: u64) -> Data<'static> {
    let fragment = if sequence == 1 { FragmentControl::Begin } else { FragmentControl::Middle };
    Data { sequence, fragment, payload: b"piece", ..Data::default() }
}

/// Sends such pieces with the control flow's options.
fn send_pieces(session: &mut Session, sequences: &[u64]) {
    let options = session.control_options();
    for sequence in sequences {
        session.send_data(&Data { options: &options, ..piece(*sequence) });
    }
}

/// A flow beside the one on which the connection depends.
const BESIDE: u64 = 9;

/// A session in which that flow has begun.
fn beside_control(context: &Context) -> Result<Session, Failure> {
    let mut session = context.session()?;
    let list = session.control_options();
    for flow in [CONTROL, BESIDE] {
        session.send_data(&Data { flow, options: &list, ..piece(1) });
        session.expect_ack("an acknowledgement", flow, |cumulative, _| cumulative == 1)?;
    }
    Ok(session)
}

fn end_of_flow() -> Data<'static> {
    let end = Data { flow: BESIDE, sequence: 2, forward_sequence: 2, ..Data::default() };
    Data { is_abandoned: true, is_final: true, ..end }
}

fn acked_to(session: &mut Session, wanted: u64) -> CaseResult {
    session
        .expect_ack(&format!("an acknowledgement up to {wanted}"), CONTROL, |cumulative, _| {
            cumulative == wanted
        })
        .map(|_| ())
}

/// A flow opened with these options is refused.
fn rejected(context: &Context, options: &[u8]) -> CaseResult {
    let mut session = context.session()?;
    session.send_data(&Data { flow: 9, options, payload: b"x", ..Data::default() });
    session.expect_rejection(9).map(|_| ())
}

/// An illegal fragment, of which a server would have to answer what it says, is not taken for data.
fn ignored(context: &Context, [sequence, offset]: [u8; 2]) -> CaseResult {
    let mut session = context.session()?;
    let options = session.control_options();
    let connect = connect_command(session.probe.url()).encode();
    let head = [0x80, CONTROL as u8, sequence, offset];
    session.send(|out| put_raw(out, code::USER_DATA, &[&head[..], &options, &connect].concat()));
    if session.expect_command_within(session.probe.silence(), "_result", 1.0).is_ok() {
        return Err(failed("no answer to an illegal fragment", "_result"));
    }
    session.ping(b"still there").map(|_| ())
}

cases! {
    "flows.acknowledged", "7016 §3.6.3.4", "a fragment is acknowledged", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1]);
        acked_to(&mut session, 1)
    };
    should "flows.delayed-ack", "7016 §3.6.3.4.4", "a fragment in order is acknowledged within 200 ms", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1, 2]);
        acked_to(&mut session, 2)?;
        let sent = Instant::now();
        send_pieces(&mut session, &[3]);
        acked_to(&mut session, 3)?;
        check(sent.elapsed() <= DELAYED_ACK + AT_ONCE + context.round_trip, "200 ms", sent.elapsed())
    };
    should "flows.first-ack-at-once", "7016 §3.6.3.4.1", "the first fragment of a flow is acknowledged at once", |context| {
        let mut session = context.session()?;
        let sent = Instant::now();
        send_pieces(&mut session, &[1]);
        acked_to(&mut session, 1)?;
        check(sent.elapsed() < AT_ONCE + context.round_trip, "no delay", sent.elapsed())
    };
    should "flows.second-packet-ack", "7016 §3.6.3.4.1", "every second packet is acknowledged at once", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1]);
        acked_to(&mut session, 1)?;
        let sent = Instant::now();
        send_pieces(&mut session, &[2, 3]);
        acked_to(&mut session, 3)?;
        check(sent.elapsed() < AT_ONCE + context.round_trip, "no delay", sent.elapsed())
    };
    should "flows.gap-ack", "7016 §3.6.3.4.1", "a gap is reported at once, with what is beyond it", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1]);
        acked_to(&mut session, 1)?;
        let sent = Instant::now();
        send_pieces(&mut session, &[3]);
        session.expect_ack("an acknowledgement of 1 and 3", CONTROL, |cumulative, ranges| cumulative == 1 && ranges == [(3, 3)])?;
        check(sent.elapsed() < AT_ONCE + context.round_trip, "no delay", sent.elapsed())
    };
    "flows.two-gaps", "7016 §2.3.13", "several runs beyond a gap are all reported", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1, 3, 4, 7]);
        session.expect_ack("1, 3 to 4 and 7", CONTROL, |cumulative, ranges| cumulative == 1 && ranges == [(3, 4), (7, 7)]).map(|_| ())
    };
    "flows.gap-filled", "7016 §3.6.3.4.3", "a filled gap moves the acknowledgement on", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1, 3, 2]);
        acked_to(&mut session, 3)
    };
    should "flows.duplicate-ack", "7016 §3.6.3.4.1", "a duplicate is acknowledged again, at once", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1]);
        acked_to(&mut session, 1)?;
        let sent = Instant::now();
        send_pieces(&mut session, &[1]);
        acked_to(&mut session, 1)?;
        check(sent.elapsed() < AT_ONCE + context.round_trip, "no delay", sent.elapsed())
    };
    "flows.forward", "7016 §3.6.3.2", "a forward sequence number closes the gap before it", |context| {
        let mut session = context.session()?;
        let options = session.control_options();
        session.send_data(&Data { options: &options, ..piece(1) });
        session.send_data(&Data { options: &options, sequence: 5, forward_sequence: 4, payload: b"x", fragment: FragmentControl::Begin, ..Data::default() });
        acked_to(&mut session, 5)
    };
    "flows.abandoned", "7016 §3.6.2.7.1", "an abandoned fragment that forwards to itself is acknowledged", |context| {
        let mut session = context.session()?;
        let options = session.control_options();
        session.send_data(&Data { options: &options, ..piece(1) });
        session.send_data(&Data { options: &options, sequence: 9, forward_sequence: 9, is_abandoned: true, ..Data::default() });
        acked_to(&mut session, 9)
    };
    "flows.window", "7016 §3.6.3.5", "a window of at least one block is advertised", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1]);
        let blocks = session.expect("an acknowledgement", |_, chunk| match chunk {
            Chunk::DataAck(ack) if ack.flow == CONTROL => Some(ack.buffer_blocks),
            _ => None,
        })?;
        check(blocks >= 1, "at least one block of 1024 bytes", blocks)
    };
    "flows.buffer-probe", "7016 §2.3.15", "a Buffer Probe is answered with an acknowledgement", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1]);
        acked_to(&mut session, 1)?;
        session.send(|out| BufferProbe { flow: CONTROL }.put(out));
        acked_to(&mut session, 1)
    };
    "flows.sequence-0", "7016 §2.3.11", "a fragment with sequence number 0 is ignored", |context| ignored(context, [0, 0]);
    "flows.offset-0", "7016 §2.3.11", "an offset of 0 on a fragment that is not abandoned is not taken as data", |context| ignored(context, [1, 0]);
    "flows.offset-beyond", "7016 §2.3.11", "an offset beyond the sequence number is ignored", |context| ignored(context, [1, 5]);
    "flows.no-metadata", "7016 §3.6.3.1", "a flow without metadata is rejected", |context| rejected(context, &[]);
    should "flows.unknown-metadata", "7425 §5.1.1", "a flow with metadata of an unknown signature is rejected", |context| rejected(context, &options(b"what?", None));
    "flows.mandatory-option", "7016 §2.3.11.1", "a flow with an unknown option below 8192 is rejected", |context| {
        let mut list = Vec::new();
        put_option(&mut list, flow_option::METADATA, &FlowMetadata::CONTROL.encode());
        put_option(&mut list, 0x1fff, b"?");
        put_marker(&mut list);
        rejected(context, &list)
    };
    "flows.mandatory-option-later", "7016 §3.6.3.2", "an unknown option below 8192 rejects a flow that is open already", |context| {
        let mut session = beside_control(context)?;
        let mut list = Vec::new();
        put_option(&mut list, 0x1fff, b"?");
        put_marker(&mut list);
        session.send_data(&Data { flow: BESIDE, options: &list, ..piece(2) });
        session.expect_rejection(BESIDE).map(|_| ())
    };
    "flows.mandatory-option-next", "7016 §3.6.3.2", "an unknown option below 8192 rejects a flow in Next User Data as well", |context| {
        let mut session = beside_control(context)?;
        session.send(|out| {
            put_data(out, &Data { flow: BESIDE, ..piece(2) });
            let mut payload = vec![0xb0];
            put_option(&mut payload, 0x1fff, b"?");
            put_marker(&mut payload);
            put_raw(out, code::NEXT_USER_DATA, &payload);
        });
        session.expect_rejection(BESIDE).map(|_| ())
    };
    should "flows.second-packet-of-any", "7016 §3.6.3.4.1", "two packets of two flows are acknowledged at once", |context| {
        let mut session = context.session()?;
        let list = session.control_options();
        for flow in [CONTROL, 9] {
            session.send_data(&Data { flow, options: &list, ..piece(1) });
            session.expect_ack("an acknowledgement", flow, |cumulative, _| cumulative == 1)?;
        }
        let sent = Instant::now();
        for flow in [CONTROL, 9] {
            session.send_data(&Data { flow, options: &list, ..piece(2) });
        }
        session.expect_ack("an acknowledgement of the first", CONTROL, |cumulative, _| cumulative == 2)?;
        check(sent.elapsed() < AT_ONCE + context.round_trip, "no delay", sent.elapsed())
    };
    "flows.bad-association", "7016 §3.6.3.1", "an answer to a flow that nobody sends is rejected", |context| {
        rejected(context, &options(&FlowMetadata { stream_id: 1, network_order: false }.encode(), Some(777)))
    };
    "flows.rejected-is-acked", "7016 §3.6.3.7", "a rejected flow is acknowledged all the same", |context| {
        let mut session = context.session()?;
        session.send_data(&Data { flow: 9, options: &options(b"what?", None), payload: b"x", ..Data::default() });
        session.expect_ack("an acknowledgement", 9, |cumulative, _| cumulative >= 1).map(|_| ())
    };
    "flows.rejection-repeated", "7016 §3.6.3.7", "the exception comes with every acknowledgement of a rejected flow", |context| {
        let mut session = context.session()?;
        let list = options(b"what?", None);
        session.send_data(&Data { flow: 9, options: &list, payload: b"x", ..Data::default() });
        session.expect_rejection(9)?;
        session.send_data(&Data { flow: 9, sequence: 2, forward_sequence: 1, options: &list, payload: b"x", ..Data::default() });
        session.expect_rejection(9).map(|_| ())
    };
    "flows.rejection-first", "7016 §2.3.16", "the exception comes before the acknowledgement in its packet", |context| {
        let mut session = context.session()?;
        session.send_data(&Data { flow: 9, options: &options(b"what?", None), payload: b"x", ..Data::default() });
        let mut is_rejected = false;
        session.expect("an exception, then an acknowledgement", |packet, chunk| match chunk {
            Chunk::FlowException(exception) if exception.flow == 9 => { is_rejected = true; None }
            Chunk::DataAck(ack) if ack.flow == 9 => Some(check(is_rejected, "the exception first", packet.chunks().map(|chunk| name_of(&chunk)).collect::<Vec<_>>())),
            _ => None,
        })?
    };
    should "flows.rejection-code", "7016 §2.3.16", "who rejects a flow by itself gives the code 0", |context| {
        let mut session = context.session()?;
        session.send_data(&Data { flow: 9, payload: b"x", ..Data::default() });
        let code = session.expect_rejection(9)?;
        check(code == 0, "0", code)
    };
    "flows.next-user-data", "7016 §2.3.12", "Next User Data counts on from the fragment before it", |context| {
        let mut session = context.session()?;
        let list = session.control_options();
        session.send(|out| {
            put_data(out, &Data { options: &list, ..piece(1) });
            put_next_data(out, FragmentControl::Middle, b"piece");
            put_next_data(out, FragmentControl::Middle, b"piece");
        });
        acked_to(&mut session, 3)
    };
    "flows.lonely-next-user-data", "7016 §2.3.12", "Next User Data without a fragment before it is ignored", |context| {
        let mut session = context.session()?;
        session.send(|out| put_raw(out, code::NEXT_USER_DATA, b"\x00alone"));
        session.prove()
    };
    "flows.options-repeated", "7016 §3.6.2", "options that come again before the first acknowledgement do no harm", |context| {
        let mut session = context.session()?;
        send_pieces(&mut session, &[1, 2, 3]);
        acked_to(&mut session, 3)
    };
    "flows.long-numbers", "7016 §2.1.2", "flow numbers of many bytes are read", |context| {
        let mut session = context.session()?;
        let (flow, list) = (1 << 40, session.control_options());
        session.send_data(&Data { flow, options: &list, fragment: FragmentControl::Begin, payload: b"x", ..Data::default() });
        session.expect_ack("an acknowledgement of that flow", flow, |cumulative, _| cumulative == 1).map(|_| ())
    };
    "flows.final", "7016 §3.6.3.8", "a finished flow is acknowledged to its end", |context| {
        let mut session = beside_control(context)?;
        session.send_data(&end_of_flow());
        session.expect_ack("an acknowledgement of the end", BESIDE, |cumulative, _| cumulative == 2).map(|_| ())
    };
    "flows.linger", "7016 §3.6.3.8", "a finished flow is still acknowledged when its end comes again", |context| {
        let mut session = beside_control(context)?;
        for _ in 0..2 {
            session.send_data(&end_of_flow());
            session.expect_ack("an acknowledgement of the end", BESIDE, |cumulative, _| cumulative == 2)?;
        }
        Ok(())
    };
    "flows.unknown-flow-ack", "7016 §3.6.2.4", "an acknowledgement of a flow that does not exist is ignored", |context| {
        let mut session = context.session()?;
        session.send(|out| rtmfp::wire::chunk::put_ack_ranges(out, 4242, 1, 99, std::iter::empty(), 100));
        session.prove()
    };
}
