//! One channel: cast or watched, shown to players in either case.

mod casting;
mod watching;

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc::Sender},
    time::{Duration, Instant},
};

use super::{
    config::{ChannelConfig, Role},
    qualities::Qualities,
    stand_in::StandIn,
};
use crate::{
    Error,
    broadcast::{Broadcast, Pause},
    flv::Tag,
    journal::{Journal, Line},
    link::Link,
    peer::{Member, MemberId, MemberStats, SharedStats},
    push::{PushState, SharedPush},
    record::{RecordState, SharedState, Shelf},
    screen::Screen,
    source::Wake,
    status::State,
    web::{Exhibit, Figures, ViewerFigures},
};

/// A silence of so long is told of.
const SILENCE: Duration = Duration::from_secs(4);
/// What is looked at though nothing was heard of it.
const LOOK: Duration = Duration::from_millis(100);
/// Connecting takes so long at most, if a server is there; what sources give meanwhile waits.
const CONNECTING: Duration = Duration::from_secs(2);
/// A channel that failed is tried again after this; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a channel does.
#[derive(Debug)]
pub enum Phase {
    /// It plays, or would if something came.
    Running,
    /// All was cast.
    Over,
    /// It failed; if it retries, then at that time.
    Failed(Error, Option<Instant>),
}

/// The figures of whichever quality is watched, for others.
#[derive(Debug, Clone)]
struct Tuned(Arc<Mutex<SharedStats>>);

impl Tuned {
    fn get(&self) -> SharedStats {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, stats: SharedStats) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}

/// A channel that runs.
#[derive(Debug)]
pub struct Channel {
    config: ChannelConfig,
    member: MemberId,
    tuned: Tuned,
    qualities: Option<Qualities>,
    screen: Screen,
    broadcast: Option<Broadcast>,
    stand_in: Option<StandIn>,
    wake: Wake,
    phase: Phase,
    pause: Duration,
    has_found: bool,
    has_tags: bool,
    endings: u64,
    started: Instant,
    /// From then to the first sound or picture.
    startup: Option<Duration>,
    interruptions: u64,
    was_live: bool,
    /// That nothing comes was told.
    is_silence_told: bool,
    is_contested: bool,
    recording: Option<(Arc<Shelf>, SharedState)>,
    pushes: Vec<SharedPush>,
    /// Hears of every tag that is cast, and when.
    witness: Option<Sender<(Tag, Instant)>>,
    journal: Journal,
}

impl Channel {
    /// Joins the group and opens the sources.
    pub(super) fn start(
        config: ChannelConfig,
        link: &mut Link,
        journal: &Journal,
    ) -> Result<Self, Error> {
        let casts = matches!(config.role, Role::Cast { .. });
        let (group, stream) = (config.group.clone(), config.stream.clone());
        let (member, stats) = link.join(Member { group, stream, publishes: casts })?;
        let waker = link.waker();
        let mut screen = Screen::new(Instant::now(), link.connection(), config.memory);
        if casts {
            screen.begin(true);
        }
        let wake = Wake::new(move || waker.wake());
        let now = Instant::now();
        let (mut stand_in, mut qualities) = (None, None);
        if let Role::Watch { stand_in: wanted, adapts } = &config.role {
            stand_in = wanted.clone().map(|config| StandIn::new(now, config, wake.clone()));
            qualities = adapts
                .as_ref()
                .map(|prefix| Qualities::new(now, &config.name, prefix, &config.stream));
        }
        let mut channel = Self {
            config,
            member,
            tuned: Tuned(Arc::new(Mutex::new(stats))),
            qualities,
            screen,
            broadcast: None,
            stand_in,
            wake,
            phase: Phase::Running,
            pause: FIRST_PAUSE,
            has_found: false,
            has_tags: false,
            endings: 0,
            started: now,
            startup: None,
            interruptions: 0,
            was_live: false,
            is_silence_told: false,
            is_contested: false,
            recording: None,
            pushes: Vec::new(),
            witness: None,
            journal: journal.clone(),
        };
        channel.open();
        Ok(channel)
    }

    /// In URLs and messages.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What it is to be.
    pub fn config(&self) -> &ChannelConfig {
        &self.config
    }

    /// Takes another title, if that is all that is to be different. Whether it is.
    pub fn retitle(&mut self, wanted: &ChannelConfig) -> bool {
        let titled = ChannelConfig { title: wanted.title.clone(), ..self.config.clone() };
        let is_all = titled == *wanted;
        if is_all {
            self.config = titled;
        }
        is_all
    }

    /// Whether it casts.
    pub fn casts(&self) -> bool {
        matches!(self.config.role, Role::Cast { .. })
    }

    pub(super) fn member(&self) -> MemberId {
        self.member
    }

    /// Whether what happens to a member happens to this channel.
    pub(super) fn has(&self, member: MemberId) -> bool {
        self.member == member || self.qualities.as_ref().is_some_and(|other| other.tries(member))
    }

    /// The latest figures.
    pub fn stats(&self) -> MemberStats {
        self.shared_stats().get()
    }

    /// For players.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// The sources, if it casts.
    pub fn broadcast_mut(&mut self) -> Option<&mut Broadcast> {
        self.broadcast.as_mut()
    }

    /// What it does.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What made it fail, if it does not retry.
    pub fn take_failure(&mut self) -> Option<Error> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Failed(error, None) => Some(error),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Whether the stream was found.
    pub fn has_found(&self) -> bool {
        self.has_found
    }

    /// Whether anything came of it.
    pub fn has_tags(&self) -> bool {
        self.has_tags
    }

    /// How many broadcasts have ended.
    pub fn endings(&self) -> u64 {
        self.endings
    }

    /// From joining to the first sound or picture.
    pub fn startup(&self) -> Option<Duration> {
        self.startup
    }

    /// How often it fell silent without having ended.
    pub fn interruptions(&self) -> u64 {
        self.interruptions
    }

    /// The latest figures, for others.
    pub fn shared_stats(&self) -> SharedStats {
        self.tuned.get()
    }

    /// Nothing more is cast; what was is still to be had.
    #[cfg(feature = "demo")]
    pub fn end_sources(&mut self) {
        (self.broadcast, self.phase) = (None, Phase::Over);
    }

    /// Somebody wants to know every tag that is cast from now on.
    #[cfg(feature = "demo")]
    pub fn set_witness(&mut self, witness: Sender<(Tag, Instant)>) {
        self.witness = Some(witness);
    }

    /// What is kept of it, in files.
    pub fn shelf(&self) -> Option<Arc<Shelf>> {
        self.recording.as_ref().map(|(shelf, _)| shelf.clone())
    }

    /// It is kept in files.
    pub(super) fn set_recording(&mut self, shelf: Arc<Shelf>, state: SharedState) {
        self.recording = Some((shelf, state));
    }

    /// It is pushed onward.
    pub(super) fn set_pushes(&mut self, pushes: Vec<SharedPush>) {
        self.pushes = pushes;
    }

    /// What is true of each push.
    pub fn pushes(&self) -> Vec<PushState> {
        self.pushes.iter().map(SharedPush::get).collect()
    }

    /// What is true of what is kept.
    pub fn recording(&self) -> Option<RecordState> {
        let (_, state) = self.recording.as_ref()?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// What viewers see.
    pub(super) fn exhibit(&self) -> Exhibit {
        let (tuned, shown) = (self.tuned.clone(), self.screen.reader());
        let (name, casts) = (self.config.name.clone(), self.casts());
        let figures = move || {
            let (stats, shown) = (tuned.get().get(), shown());
            let delay_ms = shown.delay_ms.filter(|_| !casts);
            let who = if casts { "this caster" } else { "this viewer" };
            Figures {
                channel: name.clone(),
                title: None,
                is_caster: casts,
                kept_ms: 0,
                casters: stats.casters + usize::from(casts),
                viewers: vec![ViewerFigures::of(who, stats, delay_ms)],
                shown,
                is_one_clock: false,
                bytes_cast: casts.then_some(stats.stream.bytes_sent),
                bytes_published: casts.then_some(stats.stream.bytes_published),
                http_viewers: 0,
            }
        };
        let (name, title) = (self.config.name.clone(), self.config.title.clone());
        let hub = self.screen.hub().clone();
        Exhibit::new(name, title, hub, Box::new(figures)).with_shelf(self.shelf())
    }

    /// Does what is due; when there is more to do.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        link: &mut Link,
        was_connected: bool,
    ) -> Instant {
        if let Phase::Failed(_, Some(retry_at)) = &self.phase
            && *retry_at <= now
        {
            self.open();
        }
        let pause = self.cast(now, link, was_connected);
        self.advance_qualities(now, link);
        let stand_in_due = self.advance_stand_in(now);
        self.screen.tick(now);
        self.note_state(now);
        match pause {
            Ok(Pause::Until(due)) => due,
            Ok(Pause::Sources) => stand_in_due.unwrap_or(now + LOOK),
            Ok(Pause::Over) => {
                self.end(link);
                now + LOOK
            }
            Err(error) => {
                self.fail(now, error, link);
                now + LOOK
            }
        }
    }

    /// Says once that nothing comes, where nothing stands in for it, and that something does again.
    fn tell_of_silence(&mut self, state: State, since: Duration) {
        match state {
            State::Silent if since >= SILENCE && !self.is_silence_told => {
                self.is_silence_told = true;
                self.say(Line::Notice, "nothing comes any more; waiting for it to go on");
            }
            State::Live if std::mem::take(&mut self.is_silence_told) => {
                self.say(Line::Notice, "it goes on");
            }
            _ => {}
        }
    }

    fn note_state(&mut self, now: Instant) {
        let casts_fallback = self.broadcast.as_ref().is_some_and(Broadcast::stands_in);
        self.screen.status().set_fallback(casts_fallback || self.stands_in());
        self.is_contested &= self.stats().casters > 0;
        let (state, since) = self.screen.state(now);
        self.tell_of_silence(state, since);
        let is_live = state == State::Live;
        let is_silent = matches!(state, State::Silent | State::ServerGone);
        self.interruptions += u64::from(self.was_live && is_silent);
        // Whether a silence is an end is known by what comes next.
        self.was_live = is_live || (self.was_live && !is_silent && state != State::Ended);
        if is_live && self.startup.is_none() {
            self.startup = Some(now.saturating_duration_since(self.started));
        }
    }

    fn say(&self, kind: Line, text: impl std::fmt::Display) {
        self.journal.of(&self.config.name).say(kind, text);
    }

    /// Nothing more is cast or shown; players get the rest.
    pub(super) fn close(&mut self, link: &mut Link) {
        self.broadcast = None;
        self.end_watching(Instant::now(), link);
        if self.casts() {
            link.finish(self.member);
        }
        self.screen.close();
    }
}
