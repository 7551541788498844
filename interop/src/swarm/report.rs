//! What a run shows: a line of progress, a table, and JSON.

use std::{fmt::Write as _, io::IsTerminal, time::Duration};

use serde::Serialize;

use super::{
    Scenario, Swarm,
    figures::{Histogram, Second, Tally},
    svg::{self, Picture, Spot},
};

/// Milliseconds below which half, 95 and 99 of a hundred lie; no numbers if there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half.
    pub p50: f64,
    /// Most.
    pub p95: f64,
    /// Nearly all.
    pub p99: f64,
}

impl Quantiles {
    pub(crate) fn of(histogram: &Histogram) -> Self {
        let at = |part| histogram.quantile(part).unwrap_or(f64::NAN);
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

/// What came of a run; `docs/groups.md` defines each figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Viewers that came, all told.
    pub peers: usize,
    /// Part of the messages owed that were played within the window, 0 to 1.
    pub continuity: f64,
    /// From publishing to playing.
    pub delay_ms: Quantiles,
    /// From joining to the first key frame.
    pub start_ms: Quantiles,
    /// What the caster sent of the stream, to what it published.
    pub source_ratio: f64,
    /// Control messages and session startups, of all bytes received.
    pub control_share: f64,
    /// Fragments that were there already, of all received.
    pub duplicate_share: f64,
    /// Opened by a member after its first minute.
    pub sessions_per_member_minute: f64,
    /// The longest time that a viewer saw nothing though there was a way to it.
    pub longest_gap_ms: f64,
    /// Parts into which the group ever fell, at most.
    pub meshes: usize,
    /// Of all bytes received in datagrams, those that are neither fragments nor control messages:
    /// headers, acknowledgements and what came twice. Nothing where there are no datagrams.
    #[serde(skip)]
    pub overhead: Option<f64>,
    /// Times that a member dropped a liar, and that it dropped somebody else for lying.
    #[serde(skip)]
    pub dropped: (u64, u64),
    #[serde(skip)]
    pub(super) pictures: Vec<Picture>,
}

fn delay_chart(tally: &Tally) -> Picture {
    let line = |name, color, part| {
        let values = tally.seconds.iter().map(|second| second.delay.quantile(part)).collect();
        svg::Line { name, color, values }
    };
    let lines = [
        line("median", "#1a5fb4", 0.5),
        line("95th percentile", "#e66100", 0.95),
        line("99th percentile", "#c01c28", 0.99),
    ];
    let highest = lines.iter().flat_map(|line| line.values.iter().flatten().copied());
    let most = (highest.fold(1000.0, f64::max) / 1000.0).ceil() * 1000.0;
    let title = "Delay from publishing to playing, by the second of publishing";
    svg::Chart { name: "delay", title, unit: "ms", most, lines: &lines }.draw()
}

/// Of those to whom a message was owed, how many got it in time.
fn continuity_chart(tally: &Tally) -> Picture {
    let share = |second: &Second| {
        (second.owed > 0).then(|| second.in_time as f64 / second.owed as f64 * 100.0)
    };
    let values = tally.seconds.iter().map(share).collect();
    let lines = [svg::Line { name: "played in time", color: "#1a5fb4", values }];
    let title = "Messages played within 8 s, by the second of publishing";
    svg::Chart { name: "continuity", title, unit: "%", most: 100.0, lines: &lines }.draw()
}

fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

fn overhead(tally: &Tally) -> Option<f64> {
    let counted = tally.control_bytes + tally.media_bytes;
    (tally.wire_bytes > 0)
        .then(|| ratio(tally.wire_bytes.saturating_sub(counted), tally.wire_bytes))
}

impl Figures {
    pub(super) fn new(peers: usize, meshes: usize, tally: &Tally, spots: &[Spot]) -> Self {
        let minutes = tally.late_time.as_secs_f64() / 60.0;
        Self {
            peers,
            continuity: if tally.owed > 0 { ratio(tally.in_time, tally.owed) } else { f64::NAN },
            delay_ms: Quantiles::of(&tally.delay),
            start_ms: Quantiles::of(&tally.start),
            source_ratio: ratio(tally.source_sent, tally.source_published),
            control_share: ratio(tally.control_bytes, tally.control_bytes + tally.media_bytes),
            duplicate_share: ratio(tally.duplicates, tally.fragments),
            sessions_per_member_minute: if minutes > 0.0 {
                tally.late_sessions as f64 / minutes
            } else {
                0.0
            },
            longest_gap_ms: tally.longest_gap.as_secs_f64() * 1000.0,
            meshes,
            overhead: overhead(tally),
            dropped: (tally.liars_dropped, tally.honest_dropped),
            pictures: vec![svg::topology(spots), delay_chart(tally), continuity_chart(tally)],
        }
    }

    /// For reading.
    pub fn table(&self, scenario: &Scenario, took: Duration) -> String {
        let mut out = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "{name:38} {value}");
        };
        let percent = |part: f64| format!("{:.2} %", part * 100.0);
        let times = |times: &Quantiles| match times.p50.is_nan() {
            true => "nobody played anything".to_owned(),
            false => format!("{:.0} ms, {:.0} ms, {:.0} ms", times.p50, times.p95, times.p99),
        };
        if !scenario.about.is_empty() {
            row("scenario", scenario.about.trim().to_owned());
        }
        row("viewers, all told", self.peers.to_string());
        row("time", format!("{:.0} s in {:.0} s", scenario.seconds, took.as_secs_f64()));
        row(
            "continuity",
            match self.continuity {
                part if part.is_nan() => {
                    "unknown: nobody was to watch for longer than 10 s".to_owned()
                }
                part => format!("{:.3} %", part * 100.0),
            },
        );
        row("delay: median, 95th, 99th", times(&self.delay_ms));
        row("start: median, 95th, 99th", times(&self.start_ms));
        row("caster's upload", format!("{:.2} times the stream", self.source_ratio));
        row("control, of bytes received", percent(self.control_share));
        if let Some(overhead) = self.overhead {
            row("the wire's overhead, of bytes received", percent(overhead));
        }
        row("fragments received twice", percent(self.duplicate_share));
        row("sessions a member and minute", format!("{:.2}", self.sessions_per_member_minute));
        row("longest gap", format!("{:.1} s", self.longest_gap_ms / 1000.0));
        row("meshes at most (1: always connected)", self.meshes.to_string());
        if self.dropped != (0, 0) {
            let (liars, honest) = self.dropped;
            row("dropped for lying", format!("liars {liars} times, honest members {honest} times"));
        }
        out
    }
}

/// Where no line can be written over, how often one is written.
const TELL: Duration = Duration::from_secs(5);

/// A line that is written over itself, if somebody looks.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_shown: bool,
    told: Duration,
}

impl Progress {
    pub fn show(&mut self, swarm: &Swarm, took: Duration) {
        let (here, connected) = swarm.members();
        let line = format!(
            "{:>5.0} s of virtual time in {:>4.0} s: {here} members, {connected} connected",
            swarm.elapsed().as_secs_f64(),
            took.as_secs_f64()
        );
        if std::io::stderr().is_terminal() {
            eprint!("\r{line}\x1b[K");
            self.is_shown = true;
        } else if took >= self.told + TELL {
            eprintln!("{line}");
            self.told = took;
        }
    }

    pub fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
