//! Chunks as objects.

use rtmfp::{
    crypto::{Certificate, Discriminator, Group},
    wire::{
        Address, Chunk, OptionItem, Options,
        chunk::{DataAck, FragmentControl, NextUserData, UserData, flow_option},
    },
};
use serde_json::{Map, Value as Json, json};

/// At most this much of any byte string is shown.
const SHOWN: usize = 64;

/// One chunk.
pub(super) fn describe(chunk: &Chunk<'_>) -> Json {
    match chunk {
        Chunk::InitiatorHello(hello) => {
            json!({"type": "IHello", "epd": epd(hello.epd), "tag": hex(hello.tag)})
        }
        Chunk::ForwardedHello(hello) => json!({
            "type": "FIHello", "epd": epd(hello.epd), "reply-to": address(&hello.reply_address),
            "tag": hex(hello.tag),
        }),
        Chunk::ResponderHello(hello) => json!({
            "type": "RHello", "tag": hex(hello.tag), "cookie": hex(hello.cookie),
            "certificate": certificate(hello.certificate),
        }),
        Chunk::Redirect(redirect) => json!({
            "type": "Redirect", "tag": hex(redirect.tag),
            "addresses": redirect.addresses().map(|found| address(&found)).collect::<Vec<_>>(),
        }),
        Chunk::CookieChange(change) => json!({
            "type": "CookieChange", "old": hex(change.old_cookie), "new": hex(change.new_cookie),
        }),
        Chunk::InitiatorKeying(keying) => json!({
            "type": "IIKeying", "session": format!("{:08x}", keying.session_id),
            "cookie": hex(keying.cookie), "certificate": certificate(keying.certificate),
            "component": component(keying.component), "signature": hex(keying.signature),
        }),
        Chunk::ResponderKeying(keying) => json!({
            "type": "RIKeying", "session": format!("{:08x}", keying.session_id),
            "component": component(keying.component), "signature": hex(keying.signature),
        }),
        Chunk::Ping(message) => json!({"type": "Ping", "message": hex(message)}),
        Chunk::PingReply(message) => json!({"type": "PingReply", "message": hex(message)}),
        Chunk::UserData(data) => user_data(data),
        Chunk::NextUserData(body) => Json::Object(body_members("NextUserData", body)),
        Chunk::DataAck(ack) => data_ack(ack),
        Chunk::BufferProbe(probe) => json!({"type": "BufferProbe", "flow": probe.flow}),
        Chunk::FlowException(exception) => {
            json!({"type": "FlowException", "flow": exception.flow, "code": exception.code})
        }
        Chunk::SessionClose => json!({"type": "Close"}),
        Chunk::SessionCloseAck => json!({"type": "CloseAck"}),
        Chunk::Fragment(piece) => json!({
            "type": "Fragment", "packet": piece.packet_id, "number": piece.number,
            "more": piece.has_more, "bytes": piece.bytes.len(),
        }),
        Chunk::EcnReport(report) => json!({"type": "EcnReport", "count": report.count}),
        Chunk::Other(code, payload) => {
            json!({"type": format!("0x{code:02x}"), "bytes": payload.len(), "payload": hex(payload)})
        }
    }
}

/// Lower-case hex, cut short with an ellipsis.
pub(super) fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let mut text: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > SHOWN {
        text += &format!("…({})", bytes.len());
    }
    text
}

pub(super) fn address(address: &Address) -> String {
    format!("{}({})", address.socket, format!("{:?}", address.origin).to_lowercase())
}

fn epd(bytes: &[u8]) -> Json {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match Discriminator::decode(bytes) {
        Discriminator::Fingerprint(id) => json!({"fingerprint": id.to_string()}),
        Discriminator::AncillaryData(uri) => json!({"uri": text(&uri)}),
        Discriminator::Hostname { name, ancillary_data } => {
            json!({"hostname": text(&name), "uri": ancillary_data.map(|uri| text(&uri))})
        }
        Discriminator::Other => json!({"unknown": hex(bytes)}),
    }
}

fn certificate(bytes: &[u8]) -> Json {
    let Ok(read) = Certificate::decode(bytes) else { return json!({"malformed": hex(bytes)}) };
    let groups: Vec<u64> = Group::STRONGEST_FIRST
        .into_iter()
        .filter(|group| read.supports(*group))
        .map(Group::number)
        .collect();
    json!({
        "fingerprint": read.peer_id().to_string(),
        "keys": if read.is_static() { "static" } else { "ephemeral" },
        "groups": groups,
        "accepts-ancillary-data": read.accepts_ancillary_data(),
        "hostname": read.hostname().map(|name| String::from_utf8_lossy(name).into_owned()),
    })
}

/// The options of a key component by their names.
fn component(bytes: &[u8]) -> Json {
    let mut members = Map::new();
    for item in Options::new(bytes) {
        let OptionItem::Option(kind, value) = item else { continue };
        let name = match kind {
            0x0d => "ephemeral-key",
            0x0e => "randomness",
            0x1a => "hmac",
            0x1d => "group",
            0x1e => "sequence-numbers",
            _ => {
                members.insert(format!("0x{kind:02x}"), hex(value).into());
                continue;
            }
        };
        members.insert(name.into(), hex(value).into());
    }
    Json::Object(members)
}

fn user_data(data: &UserData<'_>) -> Json {
    let mut members = body_members("UserData", &data.body);
    members.insert("flow".into(), data.flow.into());
    members.insert("sequence".into(), data.sequence.into());
    members.insert("forward".into(), data.forward_sequence.into());
    for item in data.body.options.into_iter().flatten() {
        let OptionItem::Option(kind, value) = item else { continue };
        match kind {
            flow_option::METADATA => {
                members.insert("metadata".into(), metadata(value).into());
            }
            flow_option::RETURN_ASSOCIATION => {
                let flow = rtmfp::wire::Reader::new(value).vlu().ok();
                members.insert("answers".into(), flow.into());
            }
            other => {
                members.insert(format!("option-0x{other:02x}"), hex(value).into());
            }
        }
    }
    Json::Object(members)
}

/// The letters of a signature as text, the rest in hex.
pub(super) fn metadata(bytes: &[u8]) -> String {
    let letters = bytes.iter().take(2).take_while(|byte| byte.is_ascii_graphic()).count();
    let (text, rest) = bytes.split_at(letters);
    let mut out = String::from_utf8_lossy(text).into_owned();
    if !rest.is_empty() {
        out += ":";
        out += &hex(rest);
    }
    out
}

fn body_members(kind: &str, body: &NextUserData<'_>) -> Map<String, Json> {
    let fragment = match body.fragment {
        FragmentControl::Whole => "whole",
        FragmentControl::Begin => "begin",
        FragmentControl::Middle => "middle",
        FragmentControl::End => "end",
    };
    let mut members = Map::new();
    members.insert("type".into(), kind.into());
    members.insert("fragment".into(), fragment.into());
    members.insert("bytes".into(), body.data.len().into());
    if body.abandoned {
        members.insert("abandoned".into(), true.into());
    }
    if body.is_final {
        members.insert("final".into(), true.into());
    }
    members
}

fn data_ack(ack: &DataAck<'_>) -> Json {
    let beyond: Vec<[u64; 2]> =
        ack.ranges().take(SHOWN).map(|(first, last)| [first, last]).collect();
    json!({
        "type": "Ack", "flow": ack.flow, "up-to": ack.cumulative, "window": ack.buffer_blocks,
        "beyond": beyond,
    })
}
