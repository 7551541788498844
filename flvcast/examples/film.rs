//! A film over one NetConnection: to a server, from it, or straight between peers.
//!
//! ```sh
//! cargo run --example film -- publish rtmfp://HOST/APP STREAM FILM.flv   # to the server
//! cargo run --example film -- offer rtmfp://HOST/APP STREAM FILM.flv     # to peers; prints our ID
//! cargo run --example film -- play rtmfp://HOST/APP STREAM OUT.flv [PEER-ID]
//! ```

use std::{
    error::Error,
    fs::File,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use flvcast::flv::{Demuxer, Tag, TagKind, Tracks, file_header, put_tag};
use rtmfp::{
    NetEvent, StreamEvent, StreamId,
    net::Client,
    rtmp::{Message, MessageType},
};

const USAGE: &str = "usage: film publish URL STREAM FILM.flv     to the server
       film offer URL STREAM FILM.flv       to peers; prints our peer ID
       film play URL STREAM OUT.flv [PEER]  from the server, or straight from a peer
for example: film publish rtmfp://127.0.0.1/app cctv film.flv";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("film: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, url, name, file, peer @ ..] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let film = if what == "play" { Vec::new() } else { std::fs::read(file)? };
    let client = Client::connect(url)?;
    println!("{}", client.peer_id());
    match what.as_str() {
        "publish" => {
            let stream = client.publish(name)?;
            await_status(&client, "NetStream.Publish.Start")?;
            send_film(&client, &film, vec![stream], name)?;
            // The end must not overtake what is still on its way.
            while client.with(move |_, endpoint, net| net.buffered(endpoint, stream))? > 0 {
                std::thread::sleep(Duration::from_millis(50));
            }
            client.close_stream(stream);
            Ok(())
        }
        "offer" => send_film(&client, &film, Vec::new(), name),
        "play" => play(&client, name, file, peer.first()),
        other => Err(format!("'{other}' is neither publish, offer nor play").into()),
    }
}

fn await_status(client: &Client, wanted: &str) -> Result<(), Box<dyn Error>> {
    while let Some(event) = client.next_event() {
        match event {
            NetEvent::Stream { event: StreamEvent::Status { code, .. }, .. } if code == wanted => {
                return Ok(());
            }
            NetEvent::Stream { event: StreamEvent::Status { code, info }, .. } => {
                return Err(format!("{code}: {info:?}").into());
            }
            NetEvent::Closed | NetEvent::Stream { event: StreamEvent::Ended, .. } => break,
            _ => {}
        }
    }
    Err("the server ended it".into())
}

/// Sends the film in its own time to all who have it; peers may ask for it meanwhile.
fn send_film(
    client: &Client,
    film: &[u8],
    mut readers: Vec<StreamId>,
    name: &str,
) -> Result<(), Box<dyn Error>> {
    let mut demuxer = Demuxer::default();
    demuxer.push(film);
    while readers.is_empty() {
        look_around(client, &mut readers, name, Duration::from_secs(1))?;
    }
    let begin = Instant::now();
    let mut sent = 0;
    while let Some(tag) = demuxer.next_tag()? {
        let due = begin + Duration::from_millis(tag.timestamp.into());
        look_around(client, &mut readers, name, due.saturating_duration_since(Instant::now()))?;
        for reader in &readers {
            let message = Message {
                kind: MessageType(tag.kind as u8),
                timestamp: tag.timestamp,
                payload: tag.payload.clone(),
            };
            let _ = client.send(*reader, message, None);
        }
        sent += 1;
    }
    println!("sent {sent} tags");
    Ok(())
}

/// Accepts peers that ask for the film, until a time has passed.
fn look_around(
    client: &Client,
    readers: &mut Vec<StreamId>,
    name: &str,
    time: Duration,
) -> Result<(), Box<dyn Error>> {
    let until = Instant::now() + time;
    while let Some(event) =
        client.next_event_within(until.saturating_duration_since(Instant::now()))?
    {
        match event {
            NetEvent::Requested { stream, name: wanted, .. } if wanted == name => {
                client.accept(stream)?;
                readers.push(stream);
            }
            NetEvent::Requested { stream, .. } => client.close_stream(stream),
            NetEvent::Closed => return Err("the connection was closed".into()),
            NetEvent::Stream { stream, event: StreamEvent::Ended } => {
                readers.retain(|reader| *reader != stream);
            }
            _ => {}
        }
    }
    Ok(())
}

fn play(
    client: &Client,
    name: &str,
    file: &str,
    peer: Option<&String>,
) -> Result<(), Box<dyn Error>> {
    match peer {
        Some(peer) => client.play_from(peer.parse().map_err(|_| "not a peer ID")?, name)?,
        None => client.play(name)?,
    };
    let mut out = File::create(file)?;
    out.write_all(&file_header(Tracks::BOTH))?;
    let (mut bytes, mut tags) = (Vec::new(), 0);
    while let Some(event) = client.next_event() {
        match event {
            NetEvent::Stream { event: StreamEvent::Message(message), .. } => {
                let Some(kind) = TagKind::from_code(message.kind.0) else { continue };
                // A word of the server to Flash's scripts, not of the film.
                if message.payload.starts_with(b"\x02\x00\x11|RtmpSampleAccess") {
                    continue;
                }
                let tag = Tag { kind, timestamp: message.timestamp, payload: message.payload };
                bytes.clear();
                put_tag(&mut bytes, &tag);
                out.write_all(&bytes)?;
                tags += 1;
            }
            NetEvent::Stream { event: StreamEvent::Status { code, .. }, .. } => {
                println!("{code}");
                match code.as_str() {
                    "NetStream.Play.UnpublishNotify" => {
                        println!("received {tags} tags");
                        return Ok(());
                    }
                    code if code.contains("Fail") => break,
                    _ => {}
                }
            }
            NetEvent::Stream { event: StreamEvent::Ended, .. } | NetEvent::Closed => break,
            _ => {}
        }
    }
    // A peer that offers a film just goes when it is over.
    if tags == 0 || peer.is_none() {
        return Err(format!("the stream broke off after {tags} tags").into());
    }
    println!("received {tags} tags");
    Ok(())
}
