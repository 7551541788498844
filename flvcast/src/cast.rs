//! `flvcast cast`: sources into a channel, in real time.

mod desk;
mod mixer;

use std::time::{Duration, Instant};

use crate::{
    Error,
    link::{Link, LinkEvent},
    peer::PeerConfig,
    say::{count, members, say, warn},
    source::Plan,
    status::Status,
    stop::Stop,
};
pub(crate) use desk::{Desk, Next};
pub(crate) use mixer::Mixer;

/// After the end, neighbours may still fetch what they miss.
const AFTERGLOW: Duration = Duration::from_secs(3);
/// Whoever waits for a short clip finds us by then.
const FIND_US: Duration = Duration::from_secs(5);
const PROGRESS: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);

/// What to cast, and where.
#[derive(Debug, Clone)]
pub struct CastConfig {
    /// What.
    pub plan: Plan,
    /// Plays while that gives nothing.
    pub fallback: Option<Plan>,
    /// Where to.
    pub peer: PeerConfig,
    /// For messages.
    pub channel: String,
}

/// Casts until the sources end or it is told to stop.
pub fn cast(config: CastConfig, stop: &Stop) -> Result<(), Error> {
    let names: Vec<String> = config.plan.sources.iter().map(ToString::to_string).collect();
    let is_waited_for = config.plan.sources.iter().any(|source| source.comes_back());
    // What stands in must be there; what has something to stand in for it may come later.
    let checked = config.fallback.as_ref().unwrap_or(&config.plan);
    for source in &checked.sources {
        source.check().map_err(|error| Error::Source(error.to_string()))?;
    }
    let mut mixer = Mixer::new(config.plan, config.fallback);
    // A bad file is known before anybody is connected to.
    if !is_waited_for {
        mixer.wait_for_first(stop)?;
    }
    let server = config.peer.server.to_string();
    let mut link = Link::new(config.peer, Status::new(Instant::now()));
    let mut desk = Desk::new(Instant::now());
    let mut caster = Caster { channel: config.channel, has_warned: false, progress_at: None };
    while !link.is_connected() && !stop.is_set() {
        desk.prepare(&mut mixer)?;
        while let Some(text) = desk.pop_said() {
            say(text);
        }
        caster.attend(&mut link, TICK)?;
    }
    if stop.is_set() && !link.is_connected() {
        return link.stop();
    }
    say(format_args!("casting {} as '{}' at {server}", names.join(", "), caster.channel));
    let outcome = caster.run(&mut link, &mut desk, &mut mixer, stop);
    drop(mixer);
    link.finish();
    // Whatever ended it, what was cast is to be had.
    linger(&mut link, stop);
    report(&link);
    outcome.and(link.stop())
}

struct Caster {
    channel: String,
    has_warned: bool,
    progress_at: Option<Instant>,
}

impl Caster {
    fn run(
        &mut self,
        link: &mut Link,
        desk: &mut Desk,
        mixer: &mut Mixer,
        stop: &Stop,
    ) -> Result<(), Error> {
        while !stop.is_set() {
            let now = Instant::now();
            match desk.next(now, |stamp| mixer.backlog(stamp))? {
                Next::Send(tags) => tags.into_iter().for_each(|tag| link.publish(tag)),
                Next::Wait(until) => {
                    let patience = until.saturating_duration_since(now).min(TICK);
                    self.attend(link, patience)?;
                    continue;
                }
                Next::Read => desk.read(mixer, TICK),
                Next::Say(text) => say(text),
                Next::End => {
                    say("the sources have ended");
                    return Ok(());
                }
            }
            self.attend(link, Duration::ZERO)?;
        }
        Ok(())
    }

    /// Looks after the connection, for as long as `patience`.
    fn attend(&mut self, link: &mut Link, patience: Duration) -> Result<(), Error> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = link.poll(left)?;
            if let Some(LinkEvent::Contested) = event
                && !std::mem::replace(&mut self.has_warned, true)
            {
                let hint = "each viewer sees one of you; stop one, or take another channel";
                warn(format_args!("somebody else casts '{}' too: {hint}", self.channel));
            }
            self.report_progress(link);
            if event.is_none() && left.is_zero() {
                return Ok(());
            }
        }
    }

    fn report_progress(&mut self, link: &Link) {
        let now = Instant::now();
        let at = *self.progress_at.get_or_insert(now + PROGRESS);
        if at <= now {
            self.progress_at = Some(now + PROGRESS);
            if link.was_connected() {
                report(link);
            }
        }
    }
}

/// Gives neighbours the time to find us and to fetch the end.
fn linger(link: &mut Link, stop: &Stop) {
    let begun = Instant::now();
    let mut found = None;
    while !stop.is_set() {
        let now = Instant::now();
        if link.stats().stream.bytes_sent > 0 {
            found.get_or_insert(now);
        }
        let is_done = match found {
            Some(found) => now >= found + AFTERGLOW || link.stats().group.neighbours == 0,
            None => now >= begun + FIND_US,
        };
        if is_done || link.poll(TICK).is_err() {
            return;
        }
    }
}

fn report(link: &Link) {
    let stats = link.stats();
    let ratio = stats.stream.bytes_sent as f64 / stats.stream.bytes_published.max(1) as f64;
    say(format_args!(
        "cast {:.1} MB; sent {:.1} MB to the swarm ({ratio:.2} times the stream); {}, {}",
        stats.stream.bytes_published as f64 / 1e6,
        stats.stream.bytes_sent as f64 / 1e6,
        members(&stats.group),
        count(stats.group.neighbours as u64, "neighbour"),
    ));
}
