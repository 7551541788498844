//! `flvcast serve`: many channels in one process, as a file says, changed while they run.

mod config;
mod control;
mod watching;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use crate::{
    Error,
    console::{self, Board, ChannelView, ConsoleConfig, History, Places},
    hub::Memory,
    journal::{Journal, Line},
    record::Shelf,
    say::{count, say},
    station::{ChannelConfig, Station},
    status::State,
    stop::Stop,
    web::{self, Exhibit, Web},
};
#[cfg(feature = "demo")]
pub use config::RecordTable;
pub use config::{ChannelTable, FileConfig, lower_qualities};
pub use control::{Control, Order, Refusal, Request};

const TICK: Duration = Duration::from_millis(100);
/// How often the console is told what is true.
const SHOW: Duration = Duration::from_secs(1);
const PROGRESS: Duration = Duration::from_secs(60);

/// A channel that there is, whether it runs or not.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As written.
    pub table: ChannelTable,
    /// Whether it is to run.
    pub runs: bool,
}

/// Where its pages are, for a browser on this machine.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// For viewers.
    pub http: Option<String>,
    /// For the operator.
    pub console: Option<String>,
}

/// Serves until told to stop.
pub fn serve(path: &Path, stop: &Stop) -> Result<(), Error> {
    let mut serving = Serving::start(FileConfig::read(path)?, Some(path.to_owned()))?;
    if let Some(http) = &serving.hosts().http {
        say(format_args!("channels: http://{http}/"));
    }
    if let Some(console) = &serving.hosts().console {
        say(format_args!("console: http://{console}/"));
    }
    if serving.entries.is_empty() && serving.hosts.console.is_none() {
        let text = "the file has no channel, and no console to add one by; write [channel.NAME]";
        return Err(Error::Usage(text.into()));
    }
    let running = serving.station.channels().count();
    say(format_args!("{} at {}", count(running as u64, "channel"), serving.config.server));
    let outcome = serving.run(stop);
    outcome.and(serving.finish(stop))
}

/// Channels, their pages and their console.
#[derive(Debug)]
pub struct Serving {
    /// Read again when somebody asks for it.
    path: Option<PathBuf>,
    config: FileConfig,
    entries: BTreeMap<String, Entry>,
    station: Station,
    journal: Journal,
    requests: Receiver<Request>,
    board: Board,
    web: Option<Web>,
    hosts: Hosts,
    past: BTreeMap<String, watching::Past>,
    /// Channels that could not be begun, and why; they are tried again.
    refused: BTreeMap<String, String>,
    /// What is likely to go wrong once it is needed, by channel.
    warnings: BTreeMap<String, String>,
    show_at: Instant,
    charted_at: Option<Instant>,
    charts_failed: bool,
}

impl Serving {
    /// Begins what a file says; `path` is where it is.
    pub fn start(config: FileConfig, path: Option<PathBuf>) -> Result<Self, Error> {
        let (http, console) = (bind(&config.http)?, bind(&config.console)?);
        let places = config.places.as_deref().map(Places::open).transpose()?;
        let history = match &config.state {
            Some(folder) => History::kept_in(folder, unix_time()).map_err(|error| {
                let folder = folder.display();
                Error::Usage(format!(
                    "cannot keep charts in {folder}: {error}; let 'state' name another folder"
                ))
            })?,
            None => History::default(),
        };
        let (board, journal) = (Board::new(history, places), Journal::of_many());
        let station = Station::new(config.server.clone(), journal.clone());
        let (control, requests) = Control::new(station.link().waker());
        let (mut web, mut hosts) = (None, Hosts::default());
        if let Some(listener) = http {
            hosts.http = Some(web::host_of(&listener)?);
            web = Some(web::serve(listener, station.lineup().clone(), config.web())?);
        }
        if let Some(listener) = console {
            hosts.console = Some(web::host_of(&listener)?);
            let (token, lineup) = (config.operator_token.clone(), station.lineup().clone());
            let (board, journal) = (board.clone(), journal.clone());
            console::serve(listener, ConsoleConfig { token, lineup, board, journal, control })?;
        }
        let mut serving = Self {
            path,
            config,
            entries: BTreeMap::new(),
            station,
            journal,
            requests,
            board,
            web,
            hosts,
            past: BTreeMap::new(),
            refused: BTreeMap::new(),
            warnings: BTreeMap::new(),
            show_at: Instant::now(),
            charted_at: None,
            charts_failed: false,
        };
        serving.begin()?;
        Ok(serving)
    }

    fn tell_refused(&self) {
        for (name, why) in &self.refused {
            self.journal.of(name).say(Line::Trouble, format_args!("{why}. Trying again"));
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        for (name, table) in self.config.channels.clone() {
            self.entries.insert(name, Entry { runs: table.enabled, table });
        }
        self.settle().map_err(Error::Usage)?;
        self.tell_refused();
        Ok(())
    }

    /// Where its pages are.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The channels themselves.
    #[cfg(feature = "demo")]
    pub fn station_mut(&mut self) -> &mut Station {
        &mut self.station
    }

    /// Lets channels do what is due, obeys orders and tells the console; waits `patience` at most.
    pub fn turn(&mut self, patience: Duration) -> Result<(), Error> {
        self.station.turn(patience)?;
        while let Ok(Request { order, answer }) = self.requests.try_recv() {
            // Who asked may be gone.
            let _ = answer.send(self.obey(order));
        }
        let now = Instant::now();
        if self.show_at <= now {
            self.show_at = now + SHOW;
            if !self.refused.is_empty() {
                // What was in the way may be gone.
                let _ = self.settle();
            }
            self.show(now);
        }
        Ok(())
    }

    fn run(&mut self, stop: &Stop) -> Result<(), Error> {
        let mut progress_at = Instant::now() + PROGRESS;
        while !stop.is_set() {
            self.turn(TICK)?;
            if stop.take_hangup()
                && let Err(why) = self.reload()
            {
                self.journal.say(Line::Trouble, format_args!("Everything stays as it was: {why}"));
            }
            let now = Instant::now();
            if progress_at <= now {
                progress_at = now + PROGRESS;
                self.report();
            }
        }
        Ok(())
    }

    /// Ends all broadcasts; what was cast is still to be had for a moment.
    pub fn finish(mut self, stop: &Stop) -> Result<(), Error> {
        self.station.finish(stop);
        if let Some(web) = self.web {
            web.finish();
        }
        self.station.stop()
    }

    /// What a channel is to be; an error if it makes no sense beside the others.
    fn check(&self, name: &str, table: &ChannelTable) -> Result<ChannelConfig, String> {
        let wanted = self.config.channel(name, table)?;
        table.check_qualities(|lower| self.entries.contains_key(lower))?;
        let claims = wanted.claims();
        for (other, entry) in self.entries.iter().filter(|(other, _)| *other != name) {
            let Ok(config) = self.config.channel(other, &entry.table) else { continue };
            if let Some(claim) = config.claims().iter().find(|claim| claims.contains(claim)) {
                return Err(format!("'{other}' has the same {claim}"));
            }
        }
        Ok(wanted)
    }

    /// Brings the station into line with the entries: first what is to be no more, or not as it is,
    /// goes, then what is missing comes, so that channels may take each other's places. A channel
    /// that is to be the same but for its title goes on.
    fn settle(&mut self) -> Result<(), String> {
        let mut wanted = BTreeMap::new();
        for (name, entry) in self.entries.iter().filter(|(_, entry)| entry.runs) {
            wanted.insert(name.clone(), self.config.channel(name, &entry.table)?);
        }
        let running = self.station.channels().map(|channel| channel.name().to_owned());
        for name in running.collect::<Vec<_>>() {
            let stays = match (wanted.get(&name), self.station.channel_mut(&name)) {
                (Some(config), Some(channel)) => channel.retitle(config),
                _ => false,
            };
            if !stays {
                self.station.remove(&name);
            } else if let Some(exhibit) = self.station.lineup().get(&name) {
                exhibit.set_title(wanted.get(&name).and_then(|config| config.title.clone()));
            }
        }
        // One that cannot be had keeps no other from running.
        self.refused.clear();
        for (name, config) in wanted {
            if self.station.channel(&name).is_none()
                && let Err(error) = self.station.add(config)
            {
                self.refused.insert(name, error.to_string());
            }
        }
        self.share_memory();
        self.show_shelves();
        self.look_at_fallbacks();
        Ok(())
    }

    /// Brings the station into line; if that fails, the entry of this name is what it was before.
    fn settle_or_restore(&mut self, name: &str, before: Option<Entry>) -> Result<(), Refusal> {
        let settled = self.settle();
        let refused = self.refused.get(name).cloned();
        let Some(why) = settled.err().or(refused) else { return Ok(()) };
        match before {
            Some(before) => drop(self.entries.insert(name.to_owned(), before)),
            None => drop(self.entries.remove(name)),
        }
        // What was before could be had.
        let _ = self.settle();
        Err(Refusal::Wrong(why))
    }

    /// A fallback that is missing is told of before it is needed, and no more once it is there.
    fn look_at_fallbacks(&mut self) {
        let before = std::mem::take(&mut self.warnings);
        for channel in self.station.channels() {
            let missing = channel.config().missing_fallback();
            let Some(text) = missing.map(|why| format!("its fallback will not play: {why}")) else {
                continue;
            };
            if before.get(channel.name()) != Some(&text) {
                self.journal.of(channel.name()).say(Line::Trouble, &text);
            }
            self.warnings.insert(channel.name().to_owned(), text);
        }
    }

    /// What all may keep in memory is shared by those that run.
    fn share_memory(&self) {
        let count = self.station.channels().count().max(1) as u64;
        let share = usize::try_from(self.config.replay_memory / count).unwrap_or(usize::MAX);
        let share = share.clamp(Memory::LIVE.bytes, Memory::REPLAY.bytes);
        self.station.channels().for_each(|channel| channel.screen().hub().limit(share));
    }

    /// What was kept of a channel that does not run is to be had all the same.
    fn show_shelves(&self) {
        let lineup = self.station.lineup();
        for exhibit in lineup.all() {
            if !self.entries.contains_key(&exhibit.name) {
                lineup.remove(&exhibit.name);
            }
        }
        for (name, entry) in &self.entries {
            if self.station.channel(name).is_some() {
                continue;
            }
            match self.config.channel(name, &entry.table) {
                Ok(ChannelConfig { record: Some(record), title, .. }) => {
                    let shelf = Shelf::of_channel(&record.folder, name);
                    lineup.add(Exhibit::of_shelf(name, title, shelf));
                }
                _ => lineup.remove(name),
            }
        }
    }

    fn obey(&mut self, order: Order) -> Result<(), Refusal> {
        match order {
            Order::Put(name, table) => {
                self.check(&name, &table)?;
                let entry = Entry { runs: table.enabled, table: *table };
                let before = self.entries.insert(name.clone(), entry);
                let verb = if before.is_some() { "changed" } else { "added" };
                self.settle_or_restore(&name, before)?;
                self.journal.of(&name).say(Line::Event, verb);
            }
            Order::Remove(name) => {
                let mut others = self.entries.iter();
                if let Some((other, _)) =
                    others.find(|(_, entry)| entry.table.qualities.contains(&name))
                {
                    let why = format!("'{other}' names it among its qualities; change that first");
                    return Err(Refusal::Wrong(why));
                }
                self.entries.remove(&name).ok_or_else(|| Refusal::Unknown(name.clone()))?;
                self.settle()?;
                self.journal.of(&name).say(Line::Event, "removed");
            }
            Order::Run(name, runs) => {
                let entry = self.entries.get_mut(&name);
                let entry = entry.ok_or_else(|| Refusal::Unknown(name.clone()))?;
                let before = entry.clone();
                let was_running = std::mem::replace(&mut entry.runs, runs);
                self.settle_or_restore(&name, Some(before))?;
                let verb = if runs { "started" } else { "stopped" };
                if runs != was_running {
                    self.journal.of(&name).say(Line::Event, verb);
                }
            }
            Order::Reload => self.reload()?,
        }
        Ok(())
    }

    /// Reads the file again: what is the same there is not disturbed.
    fn reload(&mut self) -> Result<(), String> {
        let Some(path) = self.path.clone() else { return Err("there is no file to read".into()) };
        let config = FileConfig::read(&path).map_err(|error| error.to_string())?;
        let fixed = self.config.fixed_differences(&config);
        if !fixed.is_empty() {
            let text = format!("{}: read at the start only; restart for it", fixed.join(", "));
            self.journal.say(Line::Notice, text);
        }
        (self.config.record, self.config.replay_memory) = (config.record, config.replay_memory);
        let mut changed = 0;
        let before = std::mem::take(&mut self.entries);
        for (name, table) in &config.channels {
            let same = before.get(name).filter(|entry| entry.table == *table);
            // What the operator stopped stays so, unless the file says something new.
            let entry =
                same.cloned().unwrap_or(Entry { table: table.clone(), runs: table.enabled });
            changed += u64::from(same.is_none());
            self.entries.insert(name.clone(), entry);
        }
        let gone = before.keys().filter(|name| !self.entries.contains_key(*name)).count();
        self.config.channels = config.channels;
        if let Err(why) = self.settle() {
            self.journal.say(Line::Trouble, why);
        }
        self.tell_refused();
        let (gone, changed) = (count(gone as u64, "channel"), count(changed, "channel"));
        let text = format!("read {} again: {changed} new or changed, {gone} gone", path.display());
        self.journal.say(Line::Event, text);
        Ok(())
    }

    /// A line now and then, of what happens at this time.
    fn report(&self) {
        let snapshot = self.board.get();
        let is_live = |view: &&ChannelView| {
            view.shown.as_ref().is_some_and(|shown| shown.state == State::Live)
        };
        let live = snapshot.channels.iter().filter(is_live).count();
        let megabits = |of: fn(&ChannelView) -> f64| {
            snapshot.channels.iter().map(of).fold(0.0, |all, bits| all + bits) / 1e6
        };
        let of = count(snapshot.channels.len() as u64, "channel");
        let streams = megabits(|view| view.rates.bitrate);
        let upload = megabits(|view| view.rates.upload);
        let text =
            format!("{live} of {of} live, {streams:.1} Mbit/s; {upload:.1} Mbit/s to the swarms");
        match snapshot.troubles.len() as u64 {
            0 => say(text),
            troubles => say(format_args!("{text}; {} to look at", count(troubles, "thing"))),
        }
    }
}

fn bind(addresses: &[std::net::SocketAddr]) -> Result<Option<std::net::TcpListener>, Error> {
    if addresses.is_empty() { Ok(None) } else { web::bind(addresses).map(Some) }
}

fn unix_time() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
