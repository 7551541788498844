//! All channels of one process, on one thread, over one connection to the server.

mod channel;
mod config;
mod qualities;
mod splice;
mod stand_in;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtmfp::ServerUrl;

use crate::{
    Error,
    journal::Journal,
    link::{Link, LinkEvent},
    peer::MemberId,
    push::Pusher,
    record::Recorder,
    stop::Stop,
    web::Lineup,
};
pub use channel::{Channel, Phase};
pub use config::{ChannelConfig, Role};
pub use stand_in::StandInConfig;

/// Sources and time limits are looked at this often, if nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// Handled in one go before channels have their turn.
const MAX_EVENTS: usize = 256;
/// After the end, neighbours may still fetch what they miss.
const AFTERGLOW: Duration = Duration::from_secs(3);
/// Whoever waits for a short clip finds us by then.
const FIND_US: Duration = Duration::from_secs(5);

/// A member whose channel is over, and who stays for those who miss something.
#[derive(Debug)]
struct Leaving {
    member: MemberId,
    group: [u8; 32],
    at: Instant,
}

/// Channels, and the connection that they share.
#[derive(Debug)]
pub struct Station {
    link: Link,
    channels: BTreeMap<String, Channel>,
    leaving: Vec<Leaving>,
    lineup: Lineup,
    recorder: Option<Recorder>,
    pusher: Option<Pusher>,
    journal: Journal,
}

impl Station {
    /// Without channels, and not connected before its first turn.
    pub fn new(server: ServerUrl, journal: Journal) -> Self {
        Self {
            link: Link::new(server),
            channels: BTreeMap::new(),
            leaving: Vec::new(),
            lineup: Lineup::default(),
            recorder: None,
            pusher: None,
            journal,
        }
    }

    /// The connection.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// What viewers may see.
    pub fn lineup(&self) -> &Lineup {
        &self.lineup
    }

    /// A channel.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.get(name)
    }

    /// As [`Self::channel`], to change it.
    pub fn channel_mut(&mut self, name: &str) -> Option<&mut Channel> {
        self.channels.get_mut(name)
    }

    /// All of them.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// Begins a channel, whose name and group must be new.
    pub fn add(&mut self, config: ChannelConfig) -> Result<(), Error> {
        if self.channels.contains_key(&config.name) {
            return Err(Error::Usage(format!("there is a channel '{}' already", config.name)));
        }
        // Who was in this group until just now lingers there no longer.
        let group = config.group.group_id();
        for leaving in self.leaving.extract_if(.., |leaving| leaving.group == group) {
            self.link.leave(leaving.member);
        }
        for channel in self.channels.values_mut() {
            channel.make_room(Instant::now(), &group, &mut self.link);
        }
        let (record, push) = (config.record.clone(), config.push.clone());
        // Without what it needs it is not begun.
        if record.is_some() && self.recorder.is_none() {
            self.recorder = Some(Recorder::start(self.journal.clone())?);
        }
        if !push.is_empty() && self.pusher.is_none() {
            self.pusher = Some(Pusher::start(self.journal.clone())?);
        }
        let mut channel = Channel::start(config, &mut self.link, &self.journal)?;
        if let (Some(recorder), Some(record)) = (&self.recorder, record) {
            let (shelf, state) = recorder.add(channel.name(), channel.screen().hub(), record);
            channel.set_recording(shelf, state);
        }
        if let Some(pusher) = &self.pusher {
            let hub = channel.screen().hub();
            let pushes = push.into_iter().map(|target| pusher.add(channel.name(), hub, target));
            channel.set_pushes(pushes.collect());
        }
        self.lineup.add(channel.exhibit());
        self.channels.insert(channel.name().to_owned(), channel);
        Ok(())
    }

    /// Ends a channel; neighbours may still fetch the end. Whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(mut channel) = self.channels.remove(name) else { return false };
        self.lineup.remove(name);
        channel.close(&mut self.link);
        let group = self.link.group_of(channel.member()).unwrap_or_default();
        if let Some(recorder) = &self.recorder {
            recorder.remove(name);
        }
        self.leaving.push(Leaving {
            member: channel.member(),
            group,
            at: Instant::now() + AFTERGLOW,
        });
        true
    }

    /// Lets all channels do what is due, then waits for what comes next, `patience` at most.
    pub fn turn(&mut self, patience: Duration) -> Result<(), Error> {
        let now = Instant::now();
        let was_connected = self.link.was_connected();
        let mut due = now + TICK.min(patience);
        for channel in self.channels.values_mut() {
            due = due.min(channel.advance(now, &mut self.link, was_connected));
        }
        self.leave_what_is_over(now);
        let mut event = self.link.poll(due.saturating_duration_since(Instant::now()))?;
        for _ in 0..MAX_EVENTS {
            let Some(now_happened) = event else { break };
            if let LinkEvent::Member(member, event) = now_happened {
                let mut channels = self.channels.values_mut();
                if let Some(channel) = channels.find(|channel| channel.has(member)) {
                    channel.on_event(Instant::now(), member, event, &mut self.link);
                }
            }
            event = self.link.poll(Duration::ZERO)?;
        }
        Ok(())
    }

    fn leave_what_is_over(&mut self, now: Instant) {
        for leaving in self.leaving.extract_if(.., |leaving| leaving.at <= now) {
            self.link.leave(leaving.member);
        }
    }

    /// Ends all broadcasts and gives neighbours the time to find us and to fetch the end.
    pub fn finish(&mut self, stop: &Stop) {
        self.close();
        let begun = Instant::now();
        let mut found = None;
        while !stop.is_set() {
            let now = Instant::now();
            let casts = || self.channels.values().filter(|channel| channel.casts());
            if casts().any(|channel| channel.stats().stream.bytes_sent > 0) {
                found.get_or_insert(now);
            }
            let has_cast = casts().any(Channel::has_tags);
            let is_done = match found {
                _ if !has_cast => true,
                Some(found) => {
                    now >= found + AFTERGLOW
                        || casts().all(|channel| channel.stats().group.neighbours == 0)
                }
                None => now >= begun + FIND_US,
            };
            if is_done || casts().next().is_none() || self.link.poll(TICK).is_err() {
                return;
            }
        }
    }

    /// Shows nothing more.
    pub fn close(&mut self) {
        self.channels.values_mut().for_each(|channel| channel.close(&mut self.link));
    }

    /// Says goodbye to all neighbours, and waits for what is written.
    pub fn stop(self) -> Result<(), Error> {
        drop((self.recorder, self.pusher));
        self.link.stop()
    }
}
