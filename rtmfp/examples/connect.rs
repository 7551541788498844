//! Connects to a server and plays one of its streams, or a peer's.
//!
//! `cargo run --example connect -- rtmfp://127.0.0.1/app STREAM [PEER-ID]`

use rtmfp::{NetEvent, StreamEvent, net::Client};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, name, peer @ ..] = &arguments[..] else {
        return Err("usage: connect rtmfp://HOST/APP STREAM [PEER-ID]".into());
    };
    let client = Client::connect(url)?;
    println!("connected as {}", client.peer_id());
    match peer.first() {
        Some(peer) => client.play_from(peer.parse().map_err(|_| "not a peer ID")?, name)?,
        None => client.play(name)?,
    };
    while let Some(event) = client.next_event() {
        match event {
            NetEvent::Stream { event: StreamEvent::Message(message), .. } => {
                println!(
                    "{:?} at {} ms: {} bytes",
                    message.kind,
                    message.timestamp,
                    message.payload.len()
                );
            }
            NetEvent::Stream { event: StreamEvent::Status { code, .. }, .. }
                if code.contains("Fail") =>
            {
                return Err(code.into());
            }
            NetEvent::Closed => return Err("the connection was closed".into()),
            other => println!("{other:?}"),
        }
    }
    Ok(())
}
