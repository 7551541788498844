//! Two peers, one publishing a line of text a second straight to the other.
//!
//! `cargo run --example chat -- rtmfp://127.0.0.1/app` publishes and prints its peer ID; play it
//! with `cargo run --example connect -- rtmfp://127.0.0.1/app chat PEER-ID`.

use std::{error::Error, process::ExitCode, time::Duration};

use rtmfp::{
    NetEvent, StreamEvent,
    net::Client,
    rtmp::{Message, MessageType, Value, amf0},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: chat rtmfp://HOST/APP")?;
    let client = Client::connect(&url)?;
    println!("{}", client.peer_id());
    let mut readers = Vec::new();
    for second in 0u32.. {
        while let Some(event) = client.next_event_within(Duration::ZERO)? {
            match event {
                NetEvent::Requested { stream, name, .. } if name == "chat" => {
                    client.accept(stream)?;
                    readers.push(stream);
                }
                NetEvent::Requested { stream, .. } => client.close_stream(stream),
                NetEvent::Stream { stream, event: StreamEvent::Ended } => {
                    readers.retain(|reader| *reader != stream);
                }
                NetEvent::Closed => return Err("the server closed the connection".into()),
                _ => {}
            }
        }
        let mut text = Vec::new();
        amf0::encode(&mut text, &Value::string(format!("second {second}")));
        for reader in &readers {
            let message = Message {
                kind: MessageType::DATA_AMF0,
                timestamp: second * 1000,
                payload: text.clone().into(),
            };
            client.send(*reader, message, None)?;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}
