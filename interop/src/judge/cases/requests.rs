//! Flows that carry a request: how it is put together, and how its answer is sent.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rtmfp::{
    rtmp::{Command, FlowMetadata, Value},
    wire::{
        Chunk, OptionItem,
        chunk::{FragmentControl, code, flow_option, put_ack_ranges, put_chunk},
        put_marker, put_option, put_vlu,
    },
};

use super::cases;
use crate::judge::{
    CaseResult, Context, Failure, Session, check,
    data::{CONTROL, Data, connect_command, options, put_data, put_next_data},
    failed,
    session::fragments,
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

/// What is sent again at all is sent again within this, once round trips are known.
const LONGER_THAN_ERTO: Duration = Duration::from_millis(1500);

/// A connected session in which all is said and acknowledged.
fn quiet(context: &Context) -> Result<Session, Failure> {
    let mut session = context.connected()?;
    let deadline = Instant::now() + session.probe.patience() * 4;
    while let Some(packet) = session.receive(session.probe.silence()) {
        session.acknowledge(&packet);
        if Instant::now() > deadline {
            return Err(failed("an end to what the server says", "more and more of it"));
        }
    }
    Ok(session)
}

/// Three answers or more on one flow, none of them acknowledged: their numbers.
fn unacknowledged_answers(context: &Context) -> Result<(Session, u64, Vec<u64>), Failure> {
    const WANTED: usize = 3;
    let mut session = quiet(context)?;
    let flow = session.last_flow()?;
    for number in 0..WANTED {
        session.call(&Command::new("createStream", 100.0 + number as f64, Vec::new()));
    }
    let mut sent = BTreeSet::new();
    session.expect_unacked("three answers", |packet, _| {
        sent.extend(
            fragments(packet).into_iter().filter(|found| found.0 == flow).map(|found| found.1),
        );
        (sent.len() >= WANTED).then_some(())
    })?;
    Ok((session, flow, sent.into_iter().collect()))
}

/// This fragment is sent again, and no other of its flow.
fn only_this_again(session: &mut Session, flow: u64, missing: u64) -> CaseResult {
    let mut others: Vec<u64> = Vec::new();
    session.expect_within(
        Duration::from_secs(4),
        "what was not acknowledged",
        false,
        |packet, _| {
            let of_flow: Vec<u64> = fragments(packet)
                .into_iter()
                .filter(|found| found.0 == flow)
                .map(|found| found.1)
                .collect();
            others.extend(of_flow.iter().filter(|sequence| **sequence != missing));
            of_flow.contains(&missing).then_some(())
        },
    )?;
    check(others.is_empty(), &format!("fragment {missing} alone"), others)
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
            put_data(out, &Data { options: &list, fragment: FragmentControl::Begin, payload: &thirds[0], ..Data::default() });
            put_next_data(out, FragmentControl::Middle, &thirds[1]);
            put_next_data(out, FragmentControl::End, &thirds[2]);
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
    "requests.acknowledged-is-enough", "7016 §3.6.2.4", "what is acknowledged is not sent again", |context| {
        let mut session = quiet(context)?;
        session.expect_none_within(LONGER_THAN_ERTO, "all was acknowledged", |chunk| matches!(chunk, Chunk::UserData(data) if !data.body.data.is_empty()))
    };
    "requests.bitmap-ack", "7016 §2.3.13", "a bitmap acknowledges what its bits say, and nothing else", |context| {
        let (mut session, flow, sent) = unacknowledged_answers(context)?;
        let missing = sent[0];
        let bits = sent[1..].iter().fold(0u8, |bits, sequence| bits | 1 << (sequence - missing - 1).min(7));
        session.send(|out| put_chunk(out, code::ACK_BITMAP, |out| {
            [flow, 127, missing - 1].iter().for_each(|number| put_vlu(out, *number));
            out.push(bits);
        }));
        only_this_again(&mut session, flow, missing)
    };
    "requests.range-ack", "7016 §2.3.14", "ranges acknowledge what they say, and nothing else", |context| {
        let (mut session, flow, sent) = unacknowledged_answers(context)?;
        let runs = [(sent[1], sent[sent.len() - 1])];
        session.send(|out| put_ack_ranges(out, flow, 127, sent[0] - 1, runs.into_iter(), 100));
        only_this_again(&mut session, flow, sent[0])
    };
    "requests.options-until-acked", "7016 §2.3.11.1.1", "a flow's options come again with what is sent again, until the first acknowledgement", |context| {
        let mut session = context.session()?;
        let url = session.probe.url().to_owned();
        session.call(&connect_command(&url));
        let mut times = 0;
        session.expect_within(Duration::from_secs(6), "options twice", false, |_, chunk| {
            let Chunk::UserData(data) = chunk else { return None };
            if data.sequence != 1 { return None }
            times += 1;
            let has_metadata = data.body.options.is_some_and(|mut list| list.any(|item| matches!(item, OptionItem::Option(flow_option::METADATA, _))));
            match (has_metadata, times) {
                (false, _) => Some(Err(failed("metadata in each of them", format!("none in the {times}.")))),
                (true, 2) => Some(Ok(())),
                _ => None,
            }
        })?
    };
    "requests.window", "7016 §3.6.2.3", "no more is outstanding than the window says, and what began before it was full", |context| {
        const BLOCK: usize = 1024;
        let mut session = quiet(context)?;
        let flow = session.last_flow()?;
        // A window of one block, and answers for four.
        session.shut_window(flow, 1);
        for number in 0..100 {
            session.call(&Command::new("createStream", 100.0 + f64::from(number), Vec::new()));
        }
        let (mut bytes, mut seen, mut largest) = (0, BTreeSet::new(), 0);
        let deadline = Instant::now() + LONGER_THAN_ERTO / 3;
        while let Some(packet) = session.receive(deadline.saturating_duration_since(Instant::now())) {
            let sizes = packet.chunks().filter_map(|chunk| match chunk {
                Chunk::UserData(data) => Some(data.body.data.len()),
                Chunk::NextUserData(body) => Some(body.data.len()),
                _ => None,
            });
            for ((of, sequence, _), size) in fragments(&packet).into_iter().zip(sizes) {
                if of == flow && seen.insert(sequence) {
                    bytes += size;
                    largest = largest.max(size);
                }
            }
        }
        match bytes {
            0 => Err(Failure::NotApplicable("nothing came that could fill a window".into())),
            _ => check(bytes <= BLOCK + largest, &format!("{BLOCK} bytes and the last fragment"), bytes),
        }
    };
    should "requests.buffer-probe", "7016 §3.6.2.9.1", "a closed window is probed within a second or two, and nothing is sent", |context| {
        let mut session = quiet(context)?;
        let flow = session.last_flow()?;
        session.shut_window(flow, 0);
        session.call(&Command::new("createStream", 100.0, Vec::new()));
        session.expect_within(Duration::from_millis(2500), "a Buffer Probe", false, |_, chunk| match chunk {
            Chunk::BufferProbe(probe) if probe.flow == flow => Some(Ok(())),
            Chunk::UserData(data) if data.flow == flow && !data.body.data.is_empty() => Some(Err(failed("nothing into a closed window", "data"))),
            _ => None,
        })?
    };
    "requests.reopened", "7016 §3.6.2.9", "a window that opens again lets through what waited", |context| {
        let mut session = quiet(context)?;
        let flow = session.last_flow()?;
        session.shut_window(flow, 0);
        session.call(&Command::new("createStream", 100.0, Vec::new()));
        session.probe_silently();
        session.shut_window(flow, 64);
        session.expect_command("_result", 100.0).map(|_| ())
    };
    "requests.return-association", "7425 §5.3.2", "the server's control flow answers ours", |context| {
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
    "requests.future-ack", "7016 §3.6.2.4", "an acknowledgement of what was never sent is ignored", |context| {
        let mut session = context.connected()?;
        session.send(|out| (0..8).for_each(|flow| rtmfp::wire::chunk::put_ack_ranges(out, flow, 1, u64::MAX >> 3, [(u64::MAX >> 2, u64::MAX >> 2)].into_iter(), 100)));
        let call = Command::new("noSuchThing", 5.0, vec![Value::Null]);
        session.call(&call);
        session.prove()
    };
}
