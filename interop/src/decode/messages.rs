//! Messages as objects: RTMP, joining at the server, groups.

use bytes::Bytes;
use netgroup::wire::{
    Fragment, Join, MediaControl, Report, ServerJoin, ServerMember, control, signature,
};
use rtmfp::{
    crypto::PeerId,
    rtmp::{Command, FlowMetadata, Message, MessageType, UserControl, Value, Vector, amf0},
};
use serde_json::{Value as Json, json};

use super::chunks::{address, hex, metadata};

/// A message of a flow with this metadata.
pub(super) fn describe(of: &[u8], flow: u64, message: &Bytes) -> Json {
    let mut described = match of {
        signature::SERVER_CHANNEL => server_channel(message),
        signature::CONTROL => group_control(message),
        signature::MEDIA_CONTROL => media_control(message),
        signature::MEDIA => fragment(message),
        _ => match FlowMetadata::decode(of) {
            Ok(rtmp) => rtmp_message(rtmp, message),
            Err(_) => json!({"type": "message", "of": metadata(of), "payload": hex(message)}),
        },
    };
    if let Json::Object(members) = &mut described {
        members.insert("flow".into(), flow.into());
        members.insert("length".into(), message.len().into());
    }
    described
}

fn rtmp_message(flow: FlowMetadata, data: &Bytes) -> Json {
    let Ok(message) = Message::decode(data) else {
        return json!({"type": "rtmp", "malformed": hex(data)});
    };
    let stream = flow.stream_id;
    match message.kind {
        MessageType::COMMAND_AMF0 | MessageType::COMMAND_AMF3 => match Command::decode(&message) {
            Ok(command) => json!({
                "type": "command", "stream": stream, "name": command.name,
                "transaction": command.transaction, "object": value(&command.object),
                "arguments": command.arguments.iter().map(value).collect::<Vec<_>>(),
            }),
            Err(_) => json!({"type": "command", "stream": stream, "malformed": hex(data)}),
        },
        MessageType::USER_CONTROL => json!({
            "type": "user-control", "stream": stream,
            "event": UserControl::decode(&message.payload).map(|event| format!("{event:?}")).ok(),
        }),
        MessageType::DATA_AMF0 => script_data(stream, message.timestamp, &message.payload),
        // A format byte comes first.
        MessageType::DATA_AMF3 => {
            script_data(stream, message.timestamp, message.payload.get(1..).unwrap_or_default())
        }
        kind => json!({
            "type": media_name(kind.0), "stream": stream, "timestamp": message.timestamp,
            "head": hex(&message.payload[..message.payload.len().min(8)]),
        }),
    }
}

fn script_data(stream: u64, timestamp: u32, values: &[u8]) -> Json {
    let values: Vec<Json> = amf0::decode_all(values).iter().map(value).collect();
    json!({"type": "data", "stream": stream, "timestamp": timestamp, "values": values})
}

fn media_name(kind: u8) -> String {
    match kind {
        8 => "audio".into(),
        9 => "video".into(),
        other => format!("rtmp-{other}"),
    }
}

fn value(of: &Value) -> Json {
    let members = |members: &[(String, Value)]| -> Json {
        members.iter().map(|(name, of)| (name.clone(), value(of))).collect()
    };
    match of {
        Value::Undefined | Value::Null => Json::Null,
        Value::Boolean(on) => json!(on),
        Value::Number(number) | Value::Date(number) => json!(number),
        Value::String(text) | Value::Xml(text) => json!(text),
        Value::Object(named) | Value::EcmaArray(named) => members(named),
        Value::TypedObject(class, named) => json!({"class": class, "members": members(named)}),
        Value::StrictArray(values) | Value::Vector(Vector::Values(values)) => {
            values.iter().map(value).collect()
        }
        Value::Vector(Vector::Int(numbers)) => json!(numbers),
        Value::Vector(Vector::Uint(numbers)) => json!(numbers),
        Value::Vector(Vector::Double(numbers)) => json!(numbers),
        Value::ByteArray(bytes) => json!(hex(bytes)),
        Value::Dictionary(pairs) => {
            pairs.iter().map(|(key, of)| json!([value(key), value(of)])).collect()
        }
    }
}

fn server_channel(message: &[u8]) -> Json {
    if let Some(ServerJoin(group)) = ServerJoin::decode(message) {
        return json!({"type": "server-join", "group": hex(&group)});
    }
    match ServerMember::decode(message) {
        Some(ServerMember(peer)) => json!({"type": "member", "peer": peer.to_string()}),
        None => json!({"type": "server-channel", "payload": hex(message)}),
    }
}

fn group_control(message: &[u8]) -> Json {
    match message.first().copied() {
        Some(control::JOIN) => match Join::decode(message) {
            Some(join) => json!({
                "type": "join", "group": hex(&join.group), "proof": hex(&join.proof), "to": join.to.to_string(),
            }),
            None => json!({"type": "join", "malformed": hex(message)}),
        },
        Some(control::REPORT) => match Report::decode(message) {
            Some(report) => json!({
                "type": "report",
                "observed": report.observed.as_ref().map(address),
                "own": report.own.iter().map(address).collect::<Vec<_>>(),
                "members": report.members.iter().map(|member| json!({
                    "peer": short(&member.peer), "age": member.age,
                    "addresses": member.addresses.iter().map(address).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            }),
            None => json!({"type": "report", "malformed": hex(message)}),
        },
        Some(control::HELLO) => json!({"type": "hello"}),
        Some(control::ASK_DISCONNECT) => json!({"type": "ask-disconnect"}),
        Some(control::READY_EXACT) => json!({"type": "ready-exact"}),
        Some(control::READY_NEAREST) => json!({"type": "ready-nearest"}),
        _ => json!({"type": "group-control", "payload": hex(message)}),
    }
}

fn short(peer: &PeerId) -> String {
    hex(&peer.0[..4])
}

fn media_control(message: &[u8]) -> Json {
    match MediaControl::decode(message) {
        Some(MediaControl::Announce(stream)) => json!({
            "type": "announce", "name": stream.name, "key": hex(&stream.key.0),
            "window-ms": stream.parameters.window.as_millis() as u64,
            "update-ms": stream.parameters.update_period.as_millis() as u64,
            "fetch-ms": stream.parameters.fetch_period.as_millis() as u64,
        }),
        Some(MediaControl::End(id)) => json!({"type": "end", "fragment": id}),
        Some(MediaControl::Availability(map)) => json!({"type": "availability", "last": map.last}),
        Some(MediaControl::PushMask(mask)) => {
            json!({"type": "push-mask", "mask": format!("{mask:08b}")})
        }
        Some(MediaControl::Pull(id)) => json!({"type": "pull", "fragment": id}),
        None => json!({"type": "media-control", "payload": hex(message)}),
    }
}

fn fragment(message: &Bytes) -> Json {
    match Fragment::decode(message) {
        Some(fragment) => json!({
            "type": "fragment", "id": fragment.id, "more": fragment.has_more,
            "kind": fragment.start.map(|start| media_name(start.kind)),
            "timestamp": fragment.start.map(|start| start.timestamp),
        }),
        None => json!({"type": "fragment", "malformed": hex(message)}),
    }
}
