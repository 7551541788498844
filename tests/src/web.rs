//! Asking a page's host, as programs do.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// An answer: its status, and what it holds.
#[derive(Debug)]
pub struct Answer {
    /// RFC 9110 §15.
    pub status: u16,
    /// All of it.
    pub body: Vec<u8>,
}

impl Answer {
    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Asks, with these header lines and a body.
pub fn ask(address: &str, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n{body}"
    )
    .expect("it takes requests");
    let mut bytes = Vec::new();
    // What was said before a connection broke counts.
    let _ = stream.read_to_end(&mut bytes);
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head + 4);
    if text.contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Answer { status, body }
}

/// Whether anything listens there.
pub fn listens(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Asks for something.
pub fn get(address: &str, path: &str) -> Answer {
    ask(address, "GET", path, &[], "")
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..at]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).unwrap_or(0);
        let Some(chunk) = rest.get(at + 2..at + 2 + size).filter(|_| size > 0) else { break };
        out.extend_from_slice(chunk);
        rest = &rest[(at + 4 + size).min(rest.len())..];
    }
    out
}
