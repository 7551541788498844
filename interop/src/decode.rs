//! Captures made readable: every packet, chunk, flow, command and group message.

mod chunks;
mod flows;
mod messages;
mod pieces;

use std::{collections::HashMap, fmt, net::SocketAddr, time::Duration};

use rtmfp::{
    crypto::session_id_of,
    wire::{Chunk, Chunks, Mode, PacketHeader, Reader},
};
use serde::Serialize;
use serde_json::Value as Json;

use crate::capture::{CaptureKey, Captured, open, split_train};
use flows::Flows;
use pieces::Pieces;

/// Sender, receiver, session.
type Direction = (SocketAddr, SocketAddr, u32);

/// Sessions whose keys are remembered.
const MAX_BOUND: usize = 65_536;

/// One datagram of a capture, as far as its keys show it.
#[derive(Debug, Clone, Serialize)]
pub struct Decoded {
    /// Seconds since the capture began.
    pub time: f64,
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// Of the UDP payload.
    pub bytes: usize,
    /// The receiver's session ID, in hex.
    pub session: String,
    /// What was inside; absent if no key fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<Packet>,
}

/// An opened packet.
#[derive(Debug, Clone, Serialize)]
pub struct Packet {
    /// `initiator`, `responder` or `startup`.
    pub mode: &'static str,
    /// TC
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub time_critical: bool,
    /// TCR
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub time_critical_reverse: bool,
    /// Session sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// 4 ms ticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u16>,
    /// 4 ms ticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_echo: Option<u16>,
    /// In order; each an object with a `type`.
    pub chunks: Vec<Json>,
    /// Messages that this packet completed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Json>,
    /// Chunks that did not decode.
    #[serde(skip_serializing_if = "is_zero")]
    pub malformed: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Decodes datagrams one after the other, for flows go on from packet to packet.
#[derive(Debug)]
pub struct Decoder {
    keys: Vec<CaptureKey>,
    /// Which key opened the packets of a session, by where they go.
    bound: HashMap<(SocketAddr, u32), usize>,
    flows: Flows,
    pieces: Pieces,
}

impl Decoder {
    /// With the keys of a capture ([`crate::capture::read_keys`]).
    pub fn new(keys: Vec<CaptureKey>) -> Self {
        Self { keys, bound: HashMap::new(), flows: Flows::default(), pieces: Pieces::default() }
    }

    /// One datagram, or those of a train that was recorded as one.
    pub fn decode(&mut self, captured: &Captured) -> Vec<Decoded> {
        let datagrams = split_train(&captured.payload);
        datagrams.into_iter().map(|datagram| self.decode_one(captured, datagram)).collect()
    }

    fn decode_one(&mut self, captured: &Captured, datagram: &[u8]) -> Decoded {
        let session = session_id_of(datagram).unwrap_or(0);
        let place = (captured.to, session);
        // A session keeps its key; others fit by chance once in a while.
        let opened = open(&self.keys, self.bound.get(&place).copied(), datagram);
        if let Some(opened) = opened.as_ref().filter(|_| session != 0)
            && (self.bound.len() < MAX_BOUND || self.bound.contains_key(&place))
            && opened.key != 0
        {
            self.bound.insert(place, opened.key);
        }
        let packet = opened
            .and_then(|opened| self.packet(captured, session, opened.sequence, &opened.plain));
        Decoded {
            time: captured.at.as_secs_f64(),
            from: captured.from,
            to: captured.to,
            bytes: datagram.len(),
            session: format!("{session:08x}"),
            packet,
        }
    }

    fn packet(
        &mut self,
        captured: &Captured,
        session: u32,
        sequence: Option<u64>,
        plain: &[u8],
    ) -> Option<Packet> {
        let mut reader = Reader::new(plain);
        let header = PacketHeader::read(&mut reader).ok()?;
        let mut listed = Chunks::new(reader);
        let direction = (captured.from, captured.to, session);
        let mut content = Content::default();
        let whole = self.list(direction, &mut listed, &mut content);
        content.malformed += listed.malformed;
        if let Some(whole) = whole {
            let mut reader = Reader::new(&whole);
            if PacketHeader::read(&mut reader).is_ok() {
                content.chunks.push(serde_json::json!({"type": "in-pieces", "bytes": whole.len()}));
                self.list(direction, &mut Chunks::new(reader), &mut content);
            }
        }
        Some(Packet {
            mode: match header.flags.mode {
                Mode::Initiator => "initiator",
                Mode::Responder => "responder",
                Mode::Startup => "startup",
            },
            time_critical: header.flags.time_critical,
            time_critical_reverse: header.flags.time_critical_reverse,
            sequence,
            timestamp: header.timestamp,
            timestamp_echo: header.timestamp_echo,
            chunks: content.chunks,
            messages: content.messages,
            malformed: content.malformed,
        })
    }

    /// Lists chunks and what they complete. Hands out a packet whose last piece was among them.
    fn list(
        &mut self,
        direction: Direction,
        listed: &mut Chunks<'_>,
        content: &mut Content,
    ) -> Option<Vec<u8>> {
        let mut whole = None;
        self.flows.begin_packet();
        for chunk in listed {
            content.chunks.push(chunks::describe(&chunk));
            let message = match &chunk {
                Chunk::UserData(data) => self.flows.take(direction, data),
                Chunk::NextUserData(body) => self.flows.take_next(direction, body),
                Chunk::Fragment(piece) => {
                    whole = self.pieces.take(direction, piece).or(whole);
                    None
                }
                _ => None,
            };
            content.messages.extend(message);
        }
        whole
    }
}

#[derive(Default)]
struct Content {
    chunks: Vec<Json>,
    messages: Vec<Json>,
    malformed: u32,
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, from, to, bytes, session, .. } = self;
        write!(f, "{time:10.6} {from} > {to}  {bytes} bytes  session {session}")?;
        let Some(packet) = &self.packet else { return write!(f, "  (no key fits)") };
        write!(f, "  {}", packet.mode)?;
        if packet.time_critical {
            write!(f, " TC")?;
        }
        if packet.time_critical_reverse {
            write!(f, " TCR")?;
        }
        for (name, value) in [
            ("number", packet.sequence),
            ("ts", packet.timestamp.map(u64::from)),
            ("echo", packet.timestamp_echo.map(u64::from)),
        ] {
            if let Some(value) = value {
                write!(f, " {name}={value}")?;
            }
        }
        for chunk in &packet.chunks {
            write!(f, "\n    {}", line(chunk))?;
        }
        for message in &packet.messages {
            write!(f, "\n      = {}", line(message))?;
        }
        if packet.malformed > 0 {
            write!(f, "\n    {} malformed chunks", packet.malformed)?;
        }
        Ok(())
    }
}

/// `type key=value key=value` of an object.
fn line(object: &Json) -> String {
    let Json::Object(members) = object else { return object.to_string() };
    let mut out = members.get("type").and_then(Json::as_str).unwrap_or("?").to_owned();
    for (name, value) in members.iter().filter(|(name, _)| *name != "type") {
        match value {
            // What somebody sent must not reach the terminal as it is.
            Json::String(text) if text.chars().all(|c| c.is_alphanumeric() || is_plain(c)) => {
                out += &format!(" {name}={text}");
            }
            other => out += &format!(" {name}={other}"),
        }
    }
    out
}

fn is_plain(c: char) -> bool {
    c.is_ascii_punctuation() || c == '…'
}

/// A summary of a whole capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All datagrams.
    pub datagrams: usize,
    /// Those that a key opened.
    pub opened: usize,
    /// Chunks that did not decode.
    pub malformed: u32,
    /// From first to last.
    pub duration: Duration,
}

impl Summary {
    /// Counts one in.
    pub fn add(&mut self, decoded: &Decoded) {
        self.datagrams += 1;
        self.opened += usize::from(decoded.packet.is_some());
        self.malformed += decoded.packet.as_ref().map_or(0, |packet| packet.malformed);
        self.duration = Duration::from_secs_f64(decoded.time);
    }
}
