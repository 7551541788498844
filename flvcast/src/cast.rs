//! `flvcast cast`: a file into a channel, in real time.

use std::{
    path::PathBuf,
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use crate::{
    Error,
    peer::{Peer, PeerConfig, PeerEvent},
    source::{FileSource, Paced, pace},
    stop::Stop,
};

/// After the end, neighbours may still fetch what they miss.
const AFTERGLOW: Duration = Duration::from_secs(3);
const PROGRESS: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);

/// What to cast, and where.
#[derive(Debug, Clone)]
pub struct CastConfig {
    /// An FLV file.
    pub file: PathBuf,
    /// Begin again at its end.
    pub repeats: bool,
    /// Where to.
    pub peer: PeerConfig,
    /// For messages.
    pub channel: String,
}

/// Casts until the file ends or it is told to stop.
pub fn cast(config: CastConfig, stop: &Stop) -> Result<(), Error> {
    // A bad file is known before anybody is connected to.
    FileSource::open(&config.file)?.next_tag()?;
    let server = config.peer.server.to_string();
    let (events, from_peer) = channel();
    let peer = Peer::start(config.peer.clone(), move |event| {
        let _ = events.send(event);
    })?;
    wait_for_server(&from_peer, &server, stop)?;
    if stop.is_set() {
        peer.stop();
        return Ok(());
    }
    eprintln!("casting {} as '{}' at {server}", config.file.display(), config.channel);
    let path = config.file.clone();
    let tags = pace(move || FileSource::open(&path), config.repeats);
    let outcome = feed(&peer, &tags, stop);
    peer.finish();
    let until = Instant::now() + AFTERGLOW;
    while outcome.is_ok()
        && peer.stats().group.neighbours > 0
        && Instant::now() < until
        && !stop.is_set()
    {
        std::thread::sleep(TICK);
    }
    report(&peer);
    peer.stop();
    outcome
}

/// Blocks until the server accepted us.
pub(crate) fn wait_for_server(
    events: &std::sync::mpsc::Receiver<PeerEvent>,
    server: &str,
    stop: &Stop,
) -> Result<(), Error> {
    while !stop.is_set() {
        match events.recv_timeout(TICK) {
            Ok(PeerEvent::Connected) => return Ok(()),
            Ok(PeerEvent::Failed(why)) => return Err(Error::Server(server.to_owned(), why)),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Server(server.to_owned(), "the network thread ended".into()));
            }
        }
    }
    match stop.has_run_out() {
        true => Err(Error::Server(server.to_owned(), "nobody answered in the time given".into())),
        false => Ok(()),
    }
}

fn feed(peer: &Peer, tags: &std::sync::mpsc::Receiver<Paced>, stop: &Stop) -> Result<(), Error> {
    let mut progress_at = Instant::now() + PROGRESS;
    while !stop.is_set() {
        match tags.recv_timeout(TICK) {
            Ok(Paced::Tag(tag)) => {
                if !peer.publish(tag) {
                    break;
                }
            }
            Ok(Paced::Warning(text)) => eprintln!("flvcast: {text}"),
            Ok(Paced::Failed(error)) => return Err(error),
            Ok(Paced::End) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if progress_at <= Instant::now() {
            progress_at += PROGRESS;
            report(peer);
        }
    }
    Ok(())
}

fn report(peer: &Peer) {
    let stats = peer.stats();
    let ratio = stats.stream.bytes_sent as f64 / stats.stream.bytes_published.max(1) as f64;
    eprintln!(
        "cast {:.1} MB; sent {:.1} MB to the swarm ({ratio:.2} times the stream); {} members, {} neighbours",
        stats.stream.bytes_published as f64 / 1e6,
        stats.stream.bytes_sent as f64 / 1e6,
        stats.group.estimated_members,
        stats.group.neighbours,
    );
}
