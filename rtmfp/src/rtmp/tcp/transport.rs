//! What servers and clients share: handshake, chunks both ways, acknowledgements, pings.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{ChunkReader, StreamMessage, TcpError, handshake::Handshake, kind, put_chunks};
use crate::rtmp::{Command, Message, MessageType};

/// Chunks that we send; encoders take ours for theirs, and small ones cost.
pub(super) const CHUNK_SIZE: u32 = 60_000;
/// How much may be on its way before it is acknowledged.
pub(super) const WINDOW: u32 = 2_500_000;
/// No far end may make us acknowledge every few bytes.
const MIN_WINDOW: u32 = 1 << 16;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// Chunk streams by use, as servers choose them.
pub(super) mod chunk_stream {
    pub const CONTROL: u8 = 2;
    pub const COMMAND: u8 = 3;
    pub const STREAM: u8 = 5;
    pub const AUDIO: u8 = 4;
    pub const VIDEO: u8 = 6;
}

/// A connection below commands.
#[derive(Debug)]
pub(super) struct Transport {
    handshake: Handshake,
    /// Before the handshake is done.
    input: BytesMut,
    random: [u8; 32],
    reader: ChunkReader,
    out: Vec<u8>,
    chunk_size: usize,
    received: u64,
    acknowledged: u64,
    window: u32,
}

impl Transport {
    pub fn server(random: [u8; 32]) -> Self {
        let reader = ChunkReader::of_stranger();
        Self { reader, ..Self::new(Handshake::server(), Vec::new(), random) }
    }

    pub fn client(random: [u8; 32]) -> Self {
        let mut out = Vec::new();
        let handshake = Handshake::client(&mut out, &random);
        Self::new(handshake, out, random)
    }

    fn new(handshake: Handshake, out: Vec<u8>, random: [u8; 32]) -> Self {
        Self {
            handshake,
            input: BytesMut::new(),
            random,
            reader: ChunkReader::default(),
            out,
            chunk_size: 128,
            received: 0,
            acknowledged: 0,
            window: WINDOW,
        }
    }

    /// The far end may send messages of any size.
    pub fn trust(&mut self) {
        self.reader.trust();
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.handshake, Handshake::Done)
    }

    /// Takes bytes; the messages in them that are not about the connection itself.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        messages: &mut VecDeque<StreamMessage>,
    ) -> Result<(), TcpError> {
        self.received += bytes.len() as u64;
        if self.is_open() {
            self.reader.push(bytes);
        } else {
            self.input.extend_from_slice(bytes);
            if !self.handshake.advance(&mut self.input, &mut self.out, &self.random)? {
                return Ok(());
            }
            let rest = std::mem::take(&mut self.input);
            self.reader.push(&rest);
        }
        while let Some(message) = self.reader.next_message()? {
            if !self.take_control(&message.message) {
                messages.push_back(message);
            }
        }
        self.acknowledge();
        Ok(())
    }

    /// What is to be sent, if anything.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out))
    }

    fn take_control(&mut self, message: &Message) -> bool {
        match message.kind.0 {
            kind::WINDOW_SIZE => {
                let window = message.payload.first_chunk().map(|size| u32::from_be_bytes(*size));
                self.window = window.unwrap_or(WINDOW).max(MIN_WINDOW);
            }
            kind::USER_CONTROL if message.payload.starts_with(&PING_REQUEST.to_be_bytes()) => {
                let time = message.payload.get(2..6).unwrap_or_default();
                let answer = [&PING_RESPONSE.to_be_bytes()[..], time].concat();
                self.send_control(kind::USER_CONTROL, &answer);
            }
            kind::ACKNOWLEDGEMENT | kind::PEER_BANDWIDTH => {}
            _ => return false,
        }
        true
    }

    /// RTMP 1.0 §5.4.3: all bytes so far, modulo 2^32.
    fn acknowledge(&mut self) {
        if self.received - self.acknowledged >= u64::from(self.window / 2) {
            self.acknowledged = self.received;
            self.send_control(kind::ACKNOWLEDGEMENT, &(self.received as u32).to_be_bytes());
        }
    }

    /// Larger chunks from here on.
    pub fn send_chunk_size(&mut self) {
        self.send_control(kind::SET_CHUNK_SIZE, &CHUNK_SIZE.to_be_bytes());
        self.chunk_size = CHUNK_SIZE as usize;
    }

    /// A message about the connection itself.
    pub fn send_control(&mut self, kind: u8, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let message = Message { kind: MessageType(kind), timestamp: 0, payload };
        self.send(chunk_stream::CONTROL, StreamMessage { stream: 0, message });
    }

    /// A command on a message stream.
    pub fn send_command(&mut self, stream: u32, command: &Command) {
        let chunk_stream = if stream == 0 { chunk_stream::COMMAND } else { chunk_stream::STREAM };
        self.send(chunk_stream, StreamMessage { stream, message: command.to_message() });
    }

    /// A message on a chunk stream.
    pub fn send(&mut self, chunk_stream: u8, message: StreamMessage) {
        put_chunks(&mut self.out, chunk_stream, &message, self.chunk_size);
    }
}
