//! RTMP over flows: connecting, calls, messages that mean nothing.

use bytes::Bytes;
use rtmfp::{
    rtmp::{Command, FlowMetadata, Message, MessageType, Value, amf0},
    wire::Chunk,
};

use super::cases;
use crate::judge::{
    CaseResult, Context, Failure, check,
    data::{CONTROL, Data, connect_command, options},
    failed,
};

/// The server takes a message without harm: a later call is still answered.
fn survives(context: &Context, message: Bytes) -> CaseResult {
    let mut session = context.connected()?;
    session.send_control(&message);
    session.call(&Command::new("createStream", 8.0, Vec::new()));
    session.expect_command("_result", 8.0).map(|_| ())
}

/// The message may end its own connection, but nothing else.
fn spares_others(context: &Context, message: Bytes) -> CaseResult {
    context.connected()?.send_control(&message);
    context.is_alive()
}

fn raw(kind: u8, payload: &[u8]) -> Bytes {
    Message::encode(MessageType(kind), 0, payload)
}

fn code_of(command: &Command) -> String {
    command.status_code().unwrap_or("no code").to_owned()
}

cases! {
    "rtmp.connect", "7425 §5.3.2", "connect is answered with _result and NetConnection.Connect.Success", |context| {
        let answer = context.session()?.connect()?;
        check(code_of(&answer) == "NetConnection.Connect.Success", "NetConnection.Connect.Success", code_of(&answer))
    };
    custom "rtmp.object-encoding", "7425 §5.3.2", "the result names the object encoding that was asked for", |context| {
        let answer = context.session()?.connect()?;
        let encoding = answer.arguments.iter().find_map(|value| value.member("objectEncoding")?.as_number());
        check(encoding == Some(3.0), "objectEncoding 3", encoding)
    };
    custom "rtmp.connect-amf3", "7425 §5.1.2", "connect as message type 17 is understood", |context| {
        let mut session = context.session()?;
        let amf0 = Message::decode(&connect_command(session.probe.url()).encode()).expect("we made it");
        let payload = [&[0][..], &amf0.payload].concat();
        session.send_control(&raw(17, &payload));
        session.expect_command("_result", 1.0).map(|_| ())
    };
    "rtmp.transaction", "7425 §5.3.2", "an answer has the transaction of its call", |context| {
        let mut session = context.connected()?;
        session.call(&Command::new("createStream", 77.0, Vec::new()));
        session.expect_command("_result", 77.0).map(|_| ())
    };
    "rtmp.create-stream", "7425 §5.3.5", "createStream gives a number", |context| {
        let mut session = context.connected()?;
        session.call(&Command::new("createStream", 2.0, Vec::new()));
        let answer = session.expect_command("_result", 2.0)?;
        let number = answer.arguments.first().and_then(Value::as_number);
        check(number.is_some_and(|number| number >= 1.0), "a stream ID from 1", answer.arguments)
    };
    "rtmp.streams-differ", "7425 §5.3.5", "two createStream give two numbers", |context| {
        let mut session = context.connected()?;
        let mut numbers = Vec::new();
        for transaction in [2.0, 3.0] {
            session.call(&Command::new("createStream", transaction, Vec::new()));
            numbers.push(session.expect_command("_result", transaction)?.arguments);
        }
        check(numbers[0] != numbers[1], "different numbers", &numbers)
    };
    "rtmp.peer-info", "7425 §5.3.3", "setPeerInfo is accepted, with addresses or without", |context| {
        let mut session = context.connected()?;
        session.call(&Command::new("setPeerInfo", 0.0, Vec::new()));
        session.call(&Command::new("setPeerInfo", 0.0, vec![Value::string("192.0.2.1:1935"), Value::string("[2001:db8::1]:1935")]));
        session.prove()
    };
    custom "rtmp.odd-peer-info", "7425 §5.3.3", "addresses that make no sense do no harm", |context| {
        let mut session = context.connected()?;
        let odd = ["", "1.2.3.4", "::1", "[::1", "255.255.255.255:0", "a:b", "fe80::1%eth0:1"].map(Value::string);
        session.call(&Command::new("setPeerInfo", 0.0, [odd.to_vec(), vec![Value::Null, Value::Number(7.0)]].concat()));
        session.call(&Command::new("createStream", 8.0, Vec::new()));
        session.expect_command("_result", 8.0).map(|_| ())
    };
    custom "rtmp.unknown-call", "7425 §5.3", "an unknown call is answered, or at least does no harm", |context| {
        let mut session = context.connected()?;
        session.call(&Command::new("noSuchThing", 9.0, Vec::new()));
        session.prove()
    };
    "rtmp.unknown-type", "7425 §5.1.2", "a message of an unknown type is ignored", |context| survives(context, raw(99, b"?"));
    "rtmp.protocol-control", "7425 §5.1.2", "RTMP's own flow control messages, which have no place here, are ignored", |context| {
        [1, 2, 3, 5, 6].into_iter().try_for_each(|kind| survives(context, raw(kind, &[0, 0, 0, 1])))
    };
    "rtmp.empty-message", "7425 §5.1.2", "an empty message is ignored", |context| survives(context, Bytes::new());
    "rtmp.short-message", "7425 §5.1.2", "a message shorter than its header is ignored", |context| survives(context, Bytes::from_static(&[20, 0]));
    "rtmp.empty-command", "7425 §5.1.2", "a command without a name is ignored", |context| survives(context, raw(20, &[]));
    custom "rtmp.garbage-amf", "7425 §5.1.2", "a command of nonsense does the server no harm", |context| spares_others(context, raw(20, &[0x02, 0xff, 0xff, 1, 2, 3]));
    custom "rtmp.nested-amf", "7425 §5.1.2", "a command nested ten thousand deep is survived", |context| {
        let bomb = [0x0a, 0, 0, 0, 1].repeat(10_000);
        let message = raw(20, &[&b"\x02\x00\x01x\x00\0\0\0\0\0\0\0\0"[..], &bomb].concat());
        context.connected()?.send_large(&message);
        context.is_alive()
    };
    custom "rtmp.lying-count", "7425 §5.1.2", "an array that claims four billion elements is survived", |context| {
        spares_others(context, raw(20, b"\x02\x00\x01x\x00\0\0\0\0\0\0\0\0\x0a\xff\xff\xff\xff\x05"))
    };
    "rtmp.user-control", "7425 §5.1", "user control events are taken without harm", |context| {
        survives(context, raw(4, &[0, 3, 0, 0, 0, 0, 0, 0, 3, 0xe8]))
    };
    "rtmp.short-user-control", "7425 §5.1", "a truncated user control event is ignored", |context| survives(context, raw(4, &[0]));
    "rtmp.flow-sync", "7425 §5.2", "a FlowSync for one flow holds nothing back", |context| {
        survives(context, raw(4, &[0, 34, 0, 0, 0, 9, 0, 0, 0, 1]))
    };
    should "rtmp.flow-sync-holds", "7425 §5.2", "a FlowSync for two flows holds one back until the other has said it", |context| {
        let mut session = context.connected()?;
        let sync = raw(4, &[0, 34, 0, 0, 0, 9, 0, 0, 0, 2]);
        session.send_control(&sync);
        session.call(&Command::new("createStream", 40.0, Vec::new()));
        if session.expect_command_within(session.probe.silence() * 2, "_result", 40.0).is_ok() {
            return Err(failed("no answer before the barrier opens", "_result"));
        }
        let list = options(&FlowMetadata::CONTROL.encode(), Some(session.last_flow()?));
        session.send_data(&Data { flow: CONTROL + 7, options: &list, payload: &sync, ..Data::default() });
        session.expect_command("_result", 40.0).map(|_| ())
    };
    "rtmp.large-call", "7425 §5.1.2", "a call that fills a packet is survived", |context| {
        let mut session = context.connected()?;
        let mut payload = Vec::new();
        amf0::encode(&mut payload, &Value::string("noSuchThing"));
        amf0::encode(&mut payload, &Value::Number(0.0));
        amf0::encode(&mut payload, &Value::Null);
        amf0::encode(&mut payload, &Value::string("x".repeat(900)));
        session.send_control(&raw(20, &payload));
        session.prove()
    };
    "rtmp.stream-flow-of-nobody", "7425 §5.3.5", "a flow for a stream that was not created does not end the session", |context| {
        let mut session = context.connected()?;
        let metadata = rtmfp::rtmp::FlowMetadata { stream_id: 2_000_000, network_order: false }.encode();
        session.send_data(&Data { flow: 9, options: &options(&metadata, None), payload: &raw(20, b"\x02\x00\x04play"), ..Data::default() });
        session.call(&Command::new("createStream", 8.0, Vec::new()));
        session.expect_command("_result", 8.0).map(|_| ())
    };
    custom "rtmp.encoder-noise", "7425 §5.3", "releaseStream and FCPublish, which encoders send, do no harm", |context| {
        let mut session = context.connected()?;
        for name in ["releaseStream", "FCPublish"] {
            session.call(&Command::new(name, 0.0, vec![Value::string("live")]));
        }
        session.call(&Command::new("createStream", 8.0, Vec::new()));
        session.expect_command("_result", 8.0).map(|_| ())
    };
    custom "rtmp.calls-before-connect", "7425 §5.3.2", "a call before connect creates nothing", |context| {
        let mut session = context.session()?;
        session.call(&Command::new("createStream", 4.0, Vec::new()));
        match session.expect_command("_result", 4.0) {
            Err(Failure::Failed { .. }) => Ok(()),
            Err(other) => Err(other),
            Ok(answer) => Err(failed("no _result", format!("{answer:?}"))),
        }
    };
    "rtmp.set-keepalive", "7425 §5.3.4", "if SetKeepalive is sent, it has two periods", |context| {
        let mut session = context.connected()?;
        session.call(&Command::new("setPeerInfo", 0.0, Vec::new()));
        let event = session.expect("SetKeepalive", |_, chunk| {
            let Chunk::UserData(data) = chunk else { return None };
            let payload = data.body.data.strip_prefix(&[4])?.get(4..)?;
            payload.starts_with(&[0, 41]).then_some(payload.len())
        });
        match event {
            Ok(length) => check(length == 10, "10 bytes", length),
            Err(_) => Err(Failure::NotApplicable("the server sends none".into())),
        }
    };
}
