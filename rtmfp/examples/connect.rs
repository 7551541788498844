//! Connects to a server and plays one of its streams, or a peer's.
//!
//! `cargo run --example connect -- rtmfp://127.0.0.1/app STREAM [PEER-ID]`

use std::{error::Error, process::ExitCode};

use rtmfp::{NetEvent, StreamEvent, net::Client};

const USAGE: &str = "usage: connect rtmfp://HOST/APP STREAM [PEER-ID]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connect: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, name, peer @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    println!("connecting to {url}");
    let client = Client::connect(url)?;
    println!("connected as {}", client.peer_id());
    match peer.first() {
        Some(peer) => client.play_from(peer.parse().map_err(|_| "not a peer ID")?, name)?,
        None => client.play(name)?,
    };
    while let Some(event) = client.next_event() {
        match event {
            NetEvent::Stream { event: StreamEvent::Message(message), .. } => {
                let (kind, size) = (message.kind.0, message.payload.len());
                println!("message of type {kind} at {} ms: {size} bytes", message.timestamp);
            }
            NetEvent::Stream { event: StreamEvent::Status { code, .. }, .. }
                if code.contains("Fail") || code.contains("NotFound") =>
            {
                return Err(format!(
                    "{code}; does the server relay streams (rtmfpd --live-streams), and does anybody publish '{name}'?"
                )
                .into());
            }
            NetEvent::Stream { event: StreamEvent::Status { code, .. }, .. } => println!("{code}"),
            NetEvent::Stream { event: StreamEvent::Ended, .. } => {
                println!("the stream has ended");
                return Ok(());
            }
            NetEvent::Closed => return Err("the server closed the connection".into()),
            _ => {}
        }
    }
    Ok(())
}
