//! Flows that carry a request: how it is put together, and how its answer is sent.

use std::time::{Duration, Instant};

use rtmfp::{
    rtmp::{Command, FlowMetadata, Value},
    wire::{
        Chunk,
        chunk::{FragmentControl, code, flow_option, put_chunk, put_next_user_data_header},
        put_marker, put_option, put_vlu,
    },
};

use super::cases;
use crate::judge::{
    CaseResult, Context, Failure, Session, check, failed,
    session::{CONTROL, Data, connect_command, options},
};

/// The connect message, cut in three.
fn thirds(context: &Context) -> Result<(Session, Vec<Vec<u8>>), Failure> {
    let session = context.session()?;
    let message = connect_command(session.probe.url()).encode();
    let third = message.len().div_ceil(3);
    Ok((session, message.chunks(third).map(<[u8]>::to_vec).collect()))
}

const THIRDS: [FragmentControl; 3] =
    [FragmentControl::Begin, FragmentControl::Middle, FragmentControl::End];

/// Sends thirds of the connect message by their index; it must be accepted.
fn connects_with(context: &Context, order: &[usize]) -> CaseResult {
    let (mut session, thirds) = thirds(context)?;
    let options = session.control_options();
    for index in order {
        let data = Data {
            sequence: *index as u64 + 1,
            options: &options,
            fragment: THIRDS[*index],
            payload: &thirds[*index],
            ..Data::default()
        };
        session.send_data(&data);
    }
    session.expect_command("_result", 1.0).map(|_| ())
}

/// The server's first fragments after a connect that we do not acknowledge.
fn unacknowledged(context: &Context) -> Result<(Session, Vec<Instant>), Failure> {
    let mut session = context.session()?;
    let url = session.probe.url().to_owned();
    session.call(&connect_command(&url));
    let mut times = Vec::new();
    let mut first = None;
    let _ = session.expect_within(
        Duration::from_secs(6),
        "the same fragment again",
        false,
        |packet, chunk| {
            let Chunk::UserData(data) = chunk else { return None };
            let key = (data.flow, data.sequence);
            if *first.get_or_insert(key) == key {
                times.push(packet.at);
            }
            (times.len() >= 2).then_some(())
        },
    );
    Ok((session, times))
}

cases! {
    "requests.ignorable-option", "7016 §2.3.11.1", "an unknown option from 8192 on is ignored", |context| {
        let mut session = context.session()?;
        let mut list = Vec::new();
        put_option(&mut list, flow_option::METADATA, &FlowMetadata::CONTROL.encode());
        put_option(&mut list, 0x2000, b"?");
        put_marker(&mut list);
        let message = connect_command(session.probe.url()).encode();
        session.send_data(&Data { options: &list, payload: &message, ..Data::default() });
        session.expect_command("_result", 1.0).map(|_| ())
    };
    "requests.rejection-spares-the-session", "7016 §3.6.3.7", "a rejected flow does not end the session", |context| {
        let mut session = context.session()?;
        session.send_data(&Data { flow: 9, options: &options(b"what?", None), payload: b"x", ..Data::default() });
        session.connect().map(|_| ())
    };
    "requests.fragments", "7016 §3.6.3.3", "a message in three fragments is put together", |context| connects_with(context, &[0, 1, 2]);
    "requests.fragments-reordered", "7016 §3.6.3.3", "fragments that arrive out of order are put in order", |context| connects_with(context, &[2, 0, 1]);
    "requests.fragments-duplicated", "7016 §3.6.3.3", "fragments that arrive twice count once", |context| connects_with(context, &[0, 0, 1, 1, 2, 2]);
    "requests.next-user-data", "7016 §2.3.12", "Next User Data continues the fragment before it", |context| {
        let (mut session, thirds) = thirds(context)?;
        let list = session.control_options();
        session.send(|out| {
            Session::put_data(out, &Data { options: &list, fragment: FragmentControl::Begin, payload: &thirds[0], ..Data::default() });
            for (fragment, payload) in [(FragmentControl::Middle, &thirds[1]), (FragmentControl::End, &thirds[2])] {
                let start = out.len();
                put_next_user_data_header(out, fragment, false, false);
                out.extend_from_slice(payload);
                let length = (out.len() - start - 3) as u16;
                out[start + 1..start + 3].copy_from_slice(&length.to_be_bytes());
            }
        });
        session.expect_command("_result", 1.0).map(|_| ())
    };
    "requests.retransmission", "7016 §3.6.2.6", "what is not acknowledged is sent again", |context| {
        let (_, times) = unacknowledged(context)?;
        check(times.len() >= 2, "the fragment again", format!("{} times in 6 s", times.len()))
    };
    "requests.no-hasty-retransmission", "7016 §3.5.2.2", "nothing is sent again before 250 ms", |context| {
        let (_, times) = unacknowledged(context)?;
        match &times[..] {
            [first, second, ..] => check(*second - *first >= Duration::from_millis(240), "250 ms or more", *second - *first),
            _ => Err(failed("the fragment again", "once only")),
        }
    };
    "requests.acknowledged-is-enough", "7016 §3.6.2.5", "what is acknowledged is not sent again", |context| {
        let mut session = context.connected()?;
        while let Some(packet) = session.receive(session.probe.silence()) {
            session.acknowledge(&packet);
        }
        session.expect_no("all was acknowledged", |chunk| matches!(chunk, Chunk::UserData(data) if !data.body.data.is_empty()))
    };
    "requests.bitmap-ack", "7016 §2.3.13", "an acknowledgement as a bitmap is understood", |context| {
        let mut session = context.session()?;
        let url = session.probe.url().to_owned();
        session.call(&connect_command(&url));
        let (flow, sequence) = session.expect_unacked("data", |_, chunk| match chunk {
            Chunk::UserData(data) => Some((data.flow, data.sequence)),
            _ => None,
        })?;
        // All of the first packets, by the bitmap's cumulative field.
        for _ in 0..3 {
            session.send(|out| put_chunk(out, code::ACK_BITMAP, |out| [flow, 127, sequence + 7].iter().for_each(|number| put_vlu(out, *number))));
        }
        session.ping(b"drain")?;
        session.expect_no("an acknowledgement as a bitmap", |chunk| matches!(chunk, Chunk::UserData(data) if data.flow == flow && data.sequence <= sequence))
    };
    "requests.return-association", "7425 §5.3.1", "the server's control flow answers ours", |context| {
        let mut session = context.session()?;
        let url = session.probe.url().to_owned();
        session.call(&connect_command(&url));
        let association = session.expect("a flow that answers", |_, chunk| {
            let Chunk::UserData(data) = chunk else { return None };
            let value = data.body.options?.find(flow_option::RETURN_ASSOCIATION)?;
            rtmfp::wire::Reader::new(value).vlu().ok()
        })?;
        check(association == CONTROL, "an association with flow 2", association)
    };
    "requests.metadata", "7425 §5.1.1", "the server's control flow has the metadata of one", |context| {
        let mut session = context.session()?;
        let url = session.probe.url().to_owned();
        session.call(&connect_command(&url));
        let metadata = session.expect("metadata", |_, chunk| {
            let Chunk::UserData(data) = chunk else { return None };
            data.body.options?.find(flow_option::METADATA).map(<[u8]>::to_vec)
        })?;
        let read = FlowMetadata::decode(&metadata);
        check(read.is_ok_and(|read| read.stream_id == 0), "TC with stream 0", metadata)
    };
    "requests.exception-heard", "7016 §3.6.2.10", "a flow that we reject is closed by its sender", |context| {
        let mut session = context.session()?;
        let url = session.probe.url().to_owned();
        session.call(&connect_command(&url));
        let (flow, sequence) = session.expect_unacked("data", |_, chunk| match chunk {
            Chunk::UserData(data) => Some((data.flow, data.sequence)),
            _ => None,
        })?;
        session.send(|out| {
            rtmfp::wire::chunk::FlowException { flow, code: 0 }.put(out);
            rtmfp::wire::chunk::put_ack_ranges(out, flow, 127, sequence, std::iter::empty(), 100);
        });

        session.expect("the flow's end, or the session's", |_, chunk| match chunk {
            Chunk::UserData(data) if data.flow == flow && data.body.is_final => Some(()),
            Chunk::SessionClose | Chunk::SessionCloseAck => Some(()),
            _ => None,
        })
    };
    "requests.future-ack", "7016 §3.6.2.5", "an acknowledgement of what was never sent is ignored", |context| {
        let mut session = context.connected()?;
        session.send(|out| (0..8).for_each(|flow| rtmfp::wire::chunk::put_ack_ranges(out, flow, 1, u64::MAX >> 3, [(u64::MAX >> 2, u64::MAX >> 2)].into_iter(), 100)));
        let call = Command::new("noSuchThing", 5.0, vec![Value::Null]);
        session.call(&call);
        session.prove()
    };
}
