//! Chunks in, messages out. RTMP 1.0 §5.3.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};

use super::{StreamMessage, TcpError, kind};
use crate::rtmp::{Message, MessageType};

/// RTMP 1.0 §5.4.1.
const FIRST_CHUNK_SIZE: usize = 128;
/// This in place of a timestamp says that it follows.
const EXTENDED: u32 = 0xff_ffff;
/// Chunk streams of one connection. Known programs use less than ten.
const MAX_STREAMS: usize = 64;
/// Unfinished messages of all of them, of those that may publish: a message has 24 bits for its
/// length.
const MAX_PARTIAL: usize = 32 << 20;
/// Of strangers: commands are small.
const MAX_STRANGERS: usize = 64 << 10;

/// What later chunks of a chunk stream leave out.
#[derive(Debug, Default)]
struct ChunkStream {
    timestamp: u32,
    /// The last timestamp or delta that was said: what a chunk without one adds.
    field: u32,
    is_extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
    partial: Option<BytesMut>,
}

/// Takes bytes as they come, gives messages. Memory grows with what was received, never with what
/// was announced.
#[derive(Debug)]
pub struct ChunkReader {
    buffer: BytesMut,
    chunk_size: usize,
    streams: BTreeMap<u32, ChunkStream>,
    /// The rest of an aggregate, RTMP 1.0 §7.1.6.
    aggregate: Option<Aggregate>,
    partial_bytes: usize,
    max_partial: usize,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            chunk_size: FIRST_CHUNK_SIZE,
            streams: BTreeMap::new(),
            aggregate: None,
            partial_bytes: 0,
            max_partial: MAX_PARTIAL,
        }
    }
}

impl ChunkReader {
    /// One for a far end that is not known yet: messages are small until it is trusted.
    pub fn of_stranger() -> Self {
        Self { max_partial: MAX_STRANGERS, ..Self::default() }
    }

    /// Messages of any size may come.
    pub fn trust(&mut self) {
        self.max_partial = MAX_PARTIAL;
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, aggregates taken apart; nothing until more bytes are pushed. Chunk sizes
    /// and aborted messages are minded here.
    pub fn next_message(&mut self) -> Result<Option<StreamMessage>, TcpError> {
        loop {
            if let Some(message) = self.aggregate.as_mut().and_then(Aggregate::next) {
                return Ok(Some(message));
            }
            self.aggregate = None;
            match self.read_chunk()? {
                Chunk::NeedMore => return Ok(None),
                Chunk::Part => {}
                Chunk::Message(message) => match message.message.kind.0 {
                    kind::SET_CHUNK_SIZE => self.set_chunk_size(&message.message.payload)?,
                    kind::ABORT => self.abort(&message.message.payload),
                    kind::AGGREGATE => self.aggregate = Some(Aggregate::new(message)),
                    _ => return Ok(Some(message)),
                },
            }
        }
    }

    fn set_chunk_size(&mut self, payload: &[u8]) -> Result<(), TcpError> {
        let size = payload.first_chunk().map(|size| u32::from_be_bytes(*size) & 0x7fff_ffff);
        match size {
            Some(size @ 1..) => self.chunk_size = size as usize,
            _ => return Err(TcpError::BadControl),
        }
        Ok(())
    }

    fn abort(&mut self, payload: &[u8]) {
        let Some(id) = payload.first_chunk().map(|id| u32::from_be_bytes(*id)) else { return };
        let partial = self.streams.get_mut(&id).and_then(|stream| stream.partial.take());
        self.partial_bytes -= partial.map_or(0, |partial| partial.len());
    }

    fn read_chunk(&mut self) -> Result<Chunk, TcpError> {
        let Some(fields) = self.read_fields()? else { return Ok(Chunk::NeedMore) };
        let known = self.streams.get(&fields.chunk_stream);
        let partial = known.and_then(|stream| stream.partial.as_ref()).filter(|_| fields.goes_on);
        let left = fields.length - partial.map_or(0, BytesMut::len);
        let take = left.min(self.chunk_size);
        if self.buffer.len() < fields.size + take {
            return Ok(Chunk::NeedMore);
        }
        self.buffer.advance(fields.size);
        let bytes = self.buffer.split_to(take);
        self.take_chunk(&fields, bytes, take == left)
    }

    /// The header at the front, RTMP 1.0 §5.3.1; nothing if it is not all there.
    fn read_fields(&self) -> Result<Option<Fields>, TcpError> {
        let Some((format, chunk_stream, basic)) = self.read_basic_header() else { return Ok(None) };
        let known = self.streams.get(&chunk_stream);
        if known.is_none() && format != 0 {
            return Err(TcpError::Orphan);
        }
        let mut fields = Fields::like(chunk_stream, format, known);
        let plain = basic + [11, 7, 3, 0][usize::from(format)];
        let Some(header) = self.buffer.get(basic..plain) else { return Ok(None) };
        if let [high, middle, low, rest @ ..] = header {
            fields.field = u32::from_be_bytes([0, *high, *middle, *low]);
            fields.is_extended = fields.field == EXTENDED;
            if let [high, middle, low, kind, rest @ ..] = rest {
                fields.length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                fields.kind = *kind;
                if let Some(stream) = rest.first_chunk() {
                    fields.stream = u32::from_le_bytes(*stream);
                }
            }
        }
        if fields.length > self.max_partial {
            return Err(TcpError::TooMuch);
        }
        fields.size = plain;
        if !fields.is_extended {
            return Ok(Some(fields));
        }
        let extended = &self.buffer[plain..];
        if format < 3 {
            let Some(value) = extended.first_chunk() else { return Ok(None) };
            fields.field = u32::from_be_bytes(*value);
            fields.size += 4;
            return Ok(Some(fields));
        }
        // RTMP 1.0 §5.3.1.3 has it again here; OBS and others leave it out.
        let expected = fields.field.to_be_bytes();
        let seen = &extended[..extended.len().min(4)];
        if seen.len() < 4 && expected.starts_with(seen) {
            return Ok(None);
        }
        fields.size += if seen == expected { 4 } else { 0 };
        Ok(Some(fields))
    }

    /// Format, chunk stream and size, RTMP 1.0 §5.3.1.1.
    fn read_basic_header(&self) -> Option<(u8, u32, usize)> {
        let first = *self.buffer.first()?;
        let (chunk_stream, size) = match first & 0x3f {
            0 => (u32::from(*self.buffer.get(1)?) + 64, 2),
            1 => {
                let (low, high) = (*self.buffer.get(1)?, *self.buffer.get(2)?);
                (u32::from(low) + u32::from(high) * 256 + 64, 3)
            }
            id => (id.into(), 1),
        };
        Some((first >> 6, chunk_stream, size))
    }

    fn take_chunk(
        &mut self,
        fields: &Fields,
        bytes: BytesMut,
        is_last: bool,
    ) -> Result<Chunk, TcpError> {
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&fields.chunk_stream) {
            return Err(TcpError::TooMuch);
        }
        let stream = self.streams.entry(fields.chunk_stream).or_default();
        let before = stream.partial.as_ref().map_or(0, BytesMut::len);
        if !fields.goes_on {
            // A message that begins where another was not finished takes its place.
            stream.begin(fields);
        }
        let partial = stream.partial.get_or_insert_default();
        partial.extend_from_slice(&bytes);
        self.partial_bytes = self.partial_bytes + partial.len() - before;
        if self.partial_bytes > self.max_partial {
            return Err(TcpError::TooMuch);
        }
        if !is_last {
            return Ok(Chunk::Part);
        }
        let payload = stream.partial.take().unwrap_or_default().freeze();
        self.partial_bytes -= payload.len();
        let kind = MessageType(stream.kind);
        let message = Message { kind, timestamp: stream.timestamp, payload };
        Ok(Chunk::Message(StreamMessage { stream: stream.stream, message }))
    }
}

impl ChunkStream {
    fn begin(&mut self, fields: &Fields) {
        self.timestamp = match fields.format {
            0 => fields.field,
            _ => self.timestamp.wrapping_add(fields.field),
        };
        (self.field, self.is_extended) = (fields.field, fields.is_extended);
        (self.length, self.kind, self.stream) = (fields.length, fields.kind, fields.stream);
        self.partial = None;
    }
}

enum Chunk {
    NeedMore,
    Part,
    Message(StreamMessage),
}

/// A chunk's header.
struct Fields {
    chunk_stream: u32,
    format: u8,
    /// It goes on with a message that was begun.
    goes_on: bool,
    /// Timestamp or delta.
    field: u32,
    is_extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
    /// Bytes of all of it.
    size: usize,
}

impl Fields {
    /// What a header that leaves everything out says.
    fn like(chunk_stream: u32, format: u8, known: Option<&ChunkStream>) -> Self {
        let known = known.map(|known| {
            let goes_on = format == 3 && known.partial.is_some();
            (goes_on, known.field, known.is_extended, known.length, known.kind, known.stream)
        });
        let (goes_on, field, is_extended, length, kind, stream) = known.unwrap_or_default();
        Self { chunk_stream, format, goes_on, field, is_extended, length, kind, stream, size: 0 }
    }
}

/// Messages within a message, each as an FLV tag.
#[derive(Debug)]
struct Aggregate {
    stream: u32,
    timestamp: u32,
    /// The time of the first of them, by their own count.
    first: Option<u32>,
    rest: Bytes,
}

impl Aggregate {
    fn new(outer: StreamMessage) -> Self {
        let StreamMessage { stream, message } = outer;
        Self { stream, timestamp: message.timestamp, first: None, rest: message.payload }
    }

    fn next(&mut self) -> Option<StreamMessage> {
        const HEADER: usize = 11;
        const TRAILER: usize = 4;
        let header: &[u8; HEADER] = self.rest.first_chunk()?;
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let own = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        let kind = MessageType(header[0]);
        if self.rest.len() < HEADER + length {
            self.rest.clear();
            return None;
        }
        let first = *self.first.get_or_insert(own);
        let timestamp = self.timestamp.wrapping_add(own.wrapping_sub(first));
        let payload = self.rest.slice(HEADER..HEADER + length);
        self.rest.advance((HEADER + length + TRAILER).min(self.rest.len()));
        Some(StreamMessage { stream: self.stream, message: Message { kind, timestamp, payload } })
    }
}
