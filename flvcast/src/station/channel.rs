//! One channel: cast or watched, shown to players in either case.

use std::{
    sync::{Arc, PoisonError, mpsc::Sender},
    time::{Duration, Instant},
};

use netgroup::GroupSpec;

use super::{
    splice::{Act, Feed},
    stand_in::{Given, StandIn, StandInConfig},
};
use crate::{
    Error,
    broadcast::{Broadcast, Pause, Sent},
    flv::Tag,
    hub::Memory,
    journal::{Journal, Line},
    link::Link,
    peer::{Member, MemberEvent, MemberId, MemberStats, SharedStats},
    record::{RecordConfig, RecordState, SharedState, Shelf},
    screen::Screen,
    source::{Plan, Wake},
    status::State,
    web::{Exhibit, Figures, ViewerFigures},
};

/// What is looked at though nothing was heard of it.
const LOOK: Duration = Duration::from_millis(100);
/// Connecting takes so long at most, if a server is there; what sources give meanwhile waits.
const CONNECTING: Duration = Duration::from_secs(2);
/// A channel that failed is tried again after this; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a channel is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// In URLs and messages.
    pub name: String,
    /// For people, if it is not the name.
    pub title: Option<String>,
    /// Its group.
    pub group: GroupSpec,
    /// The stream's name in the group.
    pub stream: String,
    /// What we do there.
    pub role: Role,
    /// How much is kept for players.
    pub memory: Memory,
    /// Whether and how it is kept in files.
    pub record: Option<RecordConfig>,
}

impl ChannelConfig {
    /// Whether its sources are worth waiting for.
    pub fn comes_back(&self) -> bool {
        match &self.role {
            Role::Cast { plan, .. } => plan.sources.iter().any(|source| source.comes_back()),
            Role::Watch { .. } => true,
        }
    }
}

/// What we do on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Cast.
    Cast {
        /// What.
        plan: Plan,
        /// Plays while that gives nothing.
        fallback: Option<Plan>,
        /// A live source is shown and recorded though the server was never there.
        starts_alone: bool,
        /// It is tried again when it fails.
        retries: bool,
    },
    /// Watch.
    Watch {
        /// What is shown while the swarm is silent.
        stand_in: Option<StandInConfig>,
    },
}

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

/// A channel that runs.
#[derive(Debug)]
pub struct Channel {
    config: ChannelConfig,
    member: MemberId,
    stats: SharedStats,
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
    is_contested: bool,
    recording: Option<(Arc<Shelf>, SharedState)>,
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
        let stand_in = match &config.role {
            Role::Watch { stand_in: Some(stand_in) } => {
                Some(StandIn::new(Instant::now(), stand_in.clone(), wake.clone()))
            }
            _ => None,
        };
        let mut channel = Self {
            config,
            member,
            stats,
            screen,
            broadcast: None,
            stand_in,
            wake,
            phase: Phase::Running,
            pause: FIRST_PAUSE,
            has_found: false,
            has_tags: false,
            endings: 0,
            started: Instant::now(),
            startup: None,
            interruptions: 0,
            was_live: false,
            is_contested: false,
            recording: None,
            witness: None,
            journal: journal.clone(),
        };
        channel.open();
        Ok(channel)
    }

    fn open(&mut self) {
        if let Role::Cast { plan, fallback, .. } = &self.config.role {
            let (plan, fallback, wake) = (plan.clone(), fallback.clone(), self.wake.clone());
            match &mut self.broadcast {
                Some(broadcast) => broadcast.reopen(plan, fallback, wake),
                None => self.broadcast = Some(Broadcast::new(plan, fallback, wake)),
            }
        }
        self.phase = Phase::Running;
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

    /// The latest figures.
    pub fn stats(&self) -> MemberStats {
        self.stats.get()
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
    pub fn shared_stats(&self) -> &SharedStats {
        &self.stats
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

    /// What is true of what is kept.
    pub fn recording(&self) -> Option<RecordState> {
        let (_, state) = self.recording.as_ref()?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// What viewers see.
    pub(super) fn exhibit(&self) -> Exhibit {
        let (stats, shown) = (self.stats.clone(), self.screen.reader());
        let (name, casts) = (self.config.name.clone(), self.casts());
        let figures = move || {
            let (stats, shown) = (stats.get(), shown());
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
    pub(super) fn advance(&mut self, now: Instant, link: &Link, was_connected: bool) -> Instant {
        if let Phase::Failed(_, Some(retry_at)) = &self.phase
            && *retry_at <= now
        {
            self.open();
        }
        let pause = self.cast(now, link, was_connected);
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

    fn note_state(&mut self, now: Instant) {
        let (state, _) = self.screen.state(now);
        let is_live = state == State::Live;
        let is_silent = matches!(state, State::Silent | State::ServerGone);
        self.interruptions += u64::from(self.was_live && is_silent);
        // Whether a silence is an end is known by what comes next.
        self.was_live = is_live || (self.was_live && !is_silent && state != State::Ended);
        if is_live && self.startup.is_none() {
            self.startup = Some(now.saturating_duration_since(self.started));
        }
    }

    fn cast(&mut self, now: Instant, link: &Link, was_connected: bool) -> Result<Pause, Error> {
        let Role::Cast { starts_alone, .. } = self.config.role else { return Ok(Pause::Sources) };
        let Some(broadcast) = &mut self.broadcast else { return Ok(Pause::Sources) };
        if !matches!(self.phase, Phase::Running) {
            return Ok(Pause::Sources);
        }
        let (screen, member) = (&mut self.screen, self.member);
        let journal = self.journal.of(&self.config.name);
        let (has_tags, pause, witness) = (&mut self.has_tags, &mut self.pause, &self.witness);
        let give = |sent| match sent {
            Sent::Tag(tag) => {
                (*has_tags, *pause) = (true, FIRST_PAUSE);
                if let Some(witness) = witness {
                    // Who does not listen any more hears nothing.
                    let _ = witness.send((tag.clone(), Instant::now()));
                }
                link.publish(member, tag.clone());
                screen.take(now, tag);
            }
            Sent::Notice(text) => journal.say(Line::Notice, text),
        };
        if was_connected || (starts_alone && broadcast.is_live()) {
            broadcast.advance(now, give)
        } else if now.saturating_duration_since(self.started) < CONNECTING {
            Ok(Pause::Sources)
        } else {
            broadcast.prepare(give)?;
            Ok(Pause::Sources)
        }
    }

    /// The sources have ended.
    fn end(&mut self, link: &Link) {
        self.journal.of(&self.config.name).say(Line::Notice, "the sources have ended");
        (self.broadcast, self.phase) = (None, Phase::Over);
        link.finish(self.member);
        self.screen.end(Instant::now());
    }

    fn fail(&mut self, now: Instant, error: Error, link: &Link) {
        let Role::Cast { retries, .. } = self.config.role else { return };
        if !retries {
            link.finish(self.member);
            self.phase = Phase::Failed(error, None);
            return;
        }
        let text = format!("{error}. Trying again in {}", humantime::format_duration(self.pause));
        self.journal.of(&self.config.name).say(Line::Trouble, text);
        self.phase = Phase::Failed(error, Some(now + self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn advance_stand_in(&mut self, now: Instant) -> Option<Instant> {
        let mut stand_in = self.stand_in.take()?;
        let mut given = Vec::new();
        let due = stand_in.advance(now, |next| given.push(next));
        for next in given {
            match next {
                Given::Tag(tag) => self.splice(now, &mut stand_in, Feed::StandIn, tag),
                Given::Notice(text) => self.say(Line::Notice, text),
                Given::Trouble(error) => self.say(Line::Trouble, error),
            }
        }
        self.stand_in = Some(stand_in);
        Some(due)
    }

    /// Shows a tag of one of two feeds, as far as it is new.
    fn splice(&mut self, now: Instant, stand_in: &mut StandIn, from: Feed, tag: Tag) {
        let stood_in = stand_in.splice.current() == Feed::StandIn;
        let acts = stand_in.splice.take(from, tag);
        if stood_in && stand_in.splice.current() == Feed::Swarm {
            self.say(Line::Notice, "the swarm is back");
        }
        for act in acts {
            let tag = match act {
                Act::Show(tag) => tag,
                Act::Follow(tag) => {
                    self.screen.splice();
                    tag
                }
                Act::Begin(headers, tag) => {
                    self.screen.begin(false);
                    headers.into_iter().for_each(|header| self.screen.take(now, header));
                    tag
                }
            };
            self.screen.take(now, tag);
        }
    }

    fn say(&self, kind: Line, text: impl std::fmt::Display) {
        self.journal.of(&self.config.name).say(kind, text);
    }

    fn take_tag(&mut self, now: Instant, tag: Tag) {
        self.has_tags = true;
        let Some(mut stand_in) = self.stand_in.take() else { return self.screen.take(now, tag) };
        let is_media = tag.is_media();
        self.splice(now, &mut stand_in, Feed::Swarm, tag);
        if is_media {
            stand_in.heard(now);
        }
        self.stand_in = Some(stand_in);
    }

    pub(super) fn on_event(&mut self, now: Instant, event: MemberEvent) {
        let stands_in =
            self.stand_in.as_ref().is_some_and(|stand| stand.splice.current() == Feed::StandIn);
        match event {
            MemberEvent::Tag(tag) => self.take_tag(now, tag),
            // Where something stands in, the joint is found by what is shown.
            MemberEvent::Began { .. } if stands_in => {}
            MemberEvent::Ended if stands_in => self.endings += 1,
            MemberEvent::Began { from_start } => self.screen.begin(from_start),
            MemberEvent::Found => self.has_found = true,
            MemberEvent::Ended => {
                self.endings += 1;
                self.screen.end(now);
                self.journal.of(&self.config.name).say(Line::Event, "the broadcast has ended");
            }
            MemberEvent::Contested => {
                if !std::mem::replace(&mut self.is_contested, true) {
                    let text = format!(
                        "somebody else casts '{}' too: each viewer sees one of you; stop one, or \
                         take another channel",
                        self.config.name
                    );
                    self.journal.of(&self.config.name).say(Line::Trouble, text);
                }
            }
        }
    }

    /// Nothing more is cast or shown; players get the rest.
    pub(super) fn close(&mut self, link: &Link) {
        (self.broadcast, self.stand_in) = (None, None);
        if self.casts() {
            link.finish(self.member);
        }
        self.screen.close();
    }
}
