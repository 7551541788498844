//! From what channels do to what the console shows, once a second.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Serving;
use crate::{
    console::{self, ChannelView, HISTORY_PERIOD, Rates, ServerView, Snapshot, Trouble},
    journal::Line,
    station::{Channel, Phase},
    status::State,
};

/// A silence of so long is told of.
const SILENCE_MS: u64 = 3000;
/// Rates are taken over so long.
const WINDOW: Duration = Duration::from_secs(5);

/// Counters of a while ago, to make rates of.
#[derive(Debug, Default)]
pub(super) struct Past(std::collections::VecDeque<(Instant, console::GroupView)>);

impl Past {
    fn rates(&mut self, now: Instant, view: console::GroupView) -> Rates {
        // A channel that began anew counts from nothing.
        let fell = |(_, before): &(Instant, console::GroupView)| {
            before.bytes_published > view.bytes_published
                || before.bytes_sent > view.bytes_sent
                || before.bytes_from_source > view.bytes_from_source
                || before.bytes_from_peers > view.bytes_from_peers
        };
        if self.0.back().is_some_and(fell) {
            self.0.clear();
        }
        self.0.push_back((now, view));
        while self.0.len() > 2 && self.0.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.0.pop_front();
        }
        let Some((at, before)) = self.0.front() else { return Rates::default() };
        Rates::between(before, &view, (now - *at).as_secs_f64())
    }
}

impl Serving {
    /// Hangs up what is true now; and, when it is time, draws the charts on.
    pub(super) fn show(&mut self, now: Instant) {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (connected, since) = self.station.link().connection().at();
        let server = ServerView {
            url: self.config.server.to_string(),
            connected,
            for_ms: now.saturating_duration_since(since).as_millis() as u64,
        };
        let channels: Vec<ChannelView> = self
            .entries
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .iter()
            .map(|name| self.view(now, name))
            .collect();
        let troubles = self.troubles(&server, &channels);
        self.past.retain(|name, _| self.entries.contains_key(name));
        if self.charted_at.is_none_or(|at| now >= at) {
            self.charted_at = Some(now + HISTORY_PERIOD);
            self.look_at_fallbacks();
            self.chart(clock.as_secs(), &channels);
        }
        let mut behind = self.board.behind();
        behind.own = self.station.link().peer_id();
        behind.groups.clear();
        behind.groups.extend(
            self.station
                .channels()
                .map(|channel| (channel.name().to_owned(), channel.shared_stats())),
        );
        drop(behind);
        let time_ms = clock.as_millis() as u64;
        self.board.set(Snapshot { time_ms, server, channels, troubles });
    }

    fn view(&mut self, now: Instant, name: &str) -> ChannelView {
        let channel = self.station.channel(name);
        let table = self.entries.get(name).map(|entry| &entry.table);
        let group_stats = channel.map(|channel| channel.stats().into()).unwrap_or_default();
        let exhibit = self.station.lineup().get(name);
        let shown = channel.map(|channel| channel.screen().shown());
        let casts = table.is_some_and(|table| !table.source.is_empty());
        ChannelView {
            name: name.to_owned(),
            title: table.and_then(|table| table.title.clone()),
            casts,
            phase: channel.map_or(console::Phase::Stopped, phase),
            sources: channel.map(sources).unwrap_or_default(),
            group: channel
                .map(|channel| netgroup::hex(&channel.config().group.group_id()))
                .unwrap_or_default(),
            delay_ms: shown.as_ref().and_then(|shown| shown.delay_ms).filter(|_| !casts),
            shown,
            startup_ms: channel
                .and_then(Channel::startup)
                .filter(|_| !casts)
                .map(|startup| startup.as_millis() as u64),
            interruptions: channel.map_or(0, Channel::interruptions),
            kept_ms: channel.map_or(0, |channel| channel.screen().hub().kept().as_millis() as u64),
            http_viewers: exhibit.map_or(0, |exhibit| exhibit.figures().http_viewers),
            group_stats,
            rates: self.past.entry(name.to_owned()).or_default().rates(now, group_stats),
            record: channel.and_then(Channel::recording),
            pushes: channel.map(Channel::pushes).unwrap_or_default(),
        }
    }

    fn chart(&mut self, time: u64, channels: &[ChannelView]) {
        let mut failed = None;
        for view in channels.iter().filter(|view| view.phase != console::Phase::Stopped) {
            let values = [
                Some(view.rates.bitrate),
                Some(view.group_stats.users as f64),
                Some(view.rates.upload),
                view.rates.peer_share,
                view.delay_ms.map(|delay| delay as f64),
                view.startup_ms.map(|startup| startup as f64),
                Some(view.interruptions as f64),
                Some(view.http_viewers as f64),
            ];
            let pushed = self.board.behind().history.push(&view.name, time, values);
            failed = pushed.err().or(failed);
        }
        if let Some(error) = failed
            && !std::mem::replace(&mut self.charts_failed, true)
        {
            let text = format!("the charts cannot be kept: {error}; check the state folder");
            self.journal.say(Line::Trouble, text);
        }
    }

    fn troubles(&self, server: &ServerView, channels: &[ChannelView]) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        if !server.connected && server.for_ms >= SILENCE_MS {
            let seconds = server.for_ms / 1000;
            let text = format!(
                "the rendezvous server {} has not answered for {seconds} s; groups go on, newcomers \
                 cannot join",
                server.url
            );
            troubles.push(Trouble { channel: None, text });
        }
        for view in channels {
            let mut add = |text| troubles.push(Trouble { channel: Some(view.name.clone()), text });
            if let Some(why) = self.refused.get(&view.name) {
                add(why.clone());
            }
            let Some(channel) = self.station.channel(&view.name) else { continue };
            if let Phase::Failed(error, _) = channel.phase() {
                add(error.to_string());
            }
            let silent = view
                .shown
                .as_ref()
                .filter(|shown| shown.state == State::Silent && shown.state_ms >= SILENCE_MS);
            if let Some(shown) = silent {
                let who = if view.casts { "the source has" } else { "the caster has" };
                add(format!("{who} given nothing for {} s", shown.state_ms / 1000));
            }
            if let Some(text) = self.warnings.get(&view.name) {
                add(text.clone());
            }
            let instead = view.shown.as_ref().map(|shown| &shown.instead);
            if instead.is_some_and(|instead| instead.fallback) {
                let why =
                    if view.casts { "the source gives nothing" } else { "the swarm is silent" };
                add(format!("{why}; the fallback plays meanwhile"));
            }
            if let Some(quality) = instead.and_then(|instead| instead.quality.as_ref()) {
                add(format!("too little arrives; '{quality}' is watched meanwhile"));
            }
            let casters = view.group_stats.other_casters + usize::from(view.casts);
            if casters > 1 {
                add(format!("{casters} cast on this channel at once; one of them should stop"));
            }
            view.pushes.iter().filter_map(|push| push.trouble.clone()).for_each(&mut add);
            if let Some(text) = view.record.as_ref().and_then(|record| record.trouble.clone()) {
                add(text);
            }
        }
        troubles
    }
}

fn phase(channel: &Channel) -> console::Phase {
    match channel.phase() {
        Phase::Running => console::Phase::Running,
        Phase::Over => console::Phase::Over,
        Phase::Failed(..) => console::Phase::Failed,
    }
}

fn sources(channel: &Channel) -> Vec<String> {
    match &channel.config().role {
        crate::station::Role::Cast { plan, .. } => {
            plan.sources.iter().map(ToString::to_string).collect()
        }
        crate::station::Role::Watch { .. } => Vec::new(),
    }
}
