//! Messages out, in chunks. RTMP 1.0 §5.3.

use super::StreamMessage;

/// This in place of a timestamp says that it follows.
const EXTENDED: u32 = 0xff_ffff;

/// Appends a message as chunks of a chunk stream from 2 to 63, each of at most `chunk_size` bytes:
/// a full header first, then none.
pub fn put_chunks(out: &mut Vec<u8>, chunk_stream: u8, message: &StreamMessage, chunk_size: usize) {
    let StreamMessage { stream, message } = message;
    let extended = (message.timestamp >= EXTENDED).then_some(message.timestamp);
    let stamp = message.timestamp.min(EXTENDED).to_be_bytes();
    let length = (message.payload.len() as u32).to_be_bytes();
    out.push(chunk_stream & 0x3f);
    out.extend_from_slice(&stamp[1..]);
    out.extend_from_slice(&length[1..]);
    out.push(message.kind.0);
    out.extend_from_slice(&stream.to_le_bytes());
    let mut chunks = message.payload.chunks(chunk_size.max(1));
    let put_extended = |out: &mut Vec<u8>| {
        if let Some(timestamp) = extended {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
    };
    put_extended(out);
    out.extend_from_slice(chunks.next().unwrap_or_default());
    for chunk in chunks {
        out.push(0xc0 | chunk_stream & 0x3f);
        put_extended(out);
        out.extend_from_slice(chunk);
    }
}
