//! The charts' figures: an hour by two seconds, a day by minutes, kept over restarts.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// What is charted of a channel, in this order.
pub const NAMES: [&str; 8] = [
    "bitrate",
    "users",
    "upload",
    "peer_share",
    "delay_ms",
    "startup_ms",
    "interruptions",
    "http_viewers",
];
/// Seconds between points of the last hour.
pub const FINE: u64 = 2;
/// Seconds between points of the last day.
const COARSE: u64 = 60;
/// In the folder.
const FILE: &str = "history.jsonl";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// Channels that figures are kept of.
const MAX_CHANNELS: usize = 1000;
/// A line of the file that is longer is none of ours.
const MAX_LINE: usize = 4096;
/// So much of a file's end is read: more than a day of all channels.
const MAX_READ: u64 = 512 << 20;
/// The file is written anew when it has twice the lines of a day, and so many more.
const SPARE: usize = 10_000;

/// Figures at one time; what is not known is not a number.
type Values = [f32; NAMES.len()];

/// How much of the past is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    /// The last minute.
    #[default]
    Minute,
    /// The last ten minutes.
    Ten,
    /// The last hour.
    Hour,
    /// The last day.
    Day,
}

impl Span {
    fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Ten => 600,
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }
}

/// A point.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    /// Seconds since 1970.
    time: u64,
    values: Values,
}

/// A channel's past.
#[derive(Debug, Default)]
struct Series {
    fine: VecDeque<Point>,
    coarse: VecDeque<Point>,
    /// Of the minute that runs.
    current: Vec<Point>,
}

/// The columns of a chart: times, then the figures of [`NAMES`], null where unknown.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Columns {
    /// Seconds since 1970.
    pub time: Vec<u64>,
    /// By name.
    pub values: BTreeMap<&'static str, Vec<Option<f32>>>,
}

/// The past of all channels.
#[derive(Debug, Default)]
pub struct History {
    series: BTreeMap<String, Series>,
    file: Option<Store>,
}

/// The file, and how many lines it has.
#[derive(Debug)]
struct Store {
    folder: PathBuf,
    file: File,
    lines: usize,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    time: u64,
    channel: String,
    values: Vec<Option<f32>>,
}

impl History {
    /// Kept in a file in this folder; what is older than a day, or from the future, is left out.
    pub fn kept_in(folder: &Path, now: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut history = Self::default();
        if let Ok(file) = File::open(folder.join(FILE)) {
            history.read(file, now)?;
        }
        history.write_anew(folder.to_owned())?;
        Ok(history)
    }

    fn read(&mut self, mut file: File, now: u64) -> io::Result<()> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_READ)))?;
        let mut lines = BufReader::new(file);
        loop {
            let mut bytes = Vec::new();
            let count = Read::take(&mut lines, MAX_LINE as u64).read_until(b'\n', &mut bytes)?;
            if count == 0 {
                return Ok(());
            }
            // A line that was cut, or is not ours, is passed over.
            let Ok(line) = serde_json::from_slice::<Line>(&bytes) else { continue };
            let is_of_today = line.time <= now && line.time + DAY > now;
            if is_of_today
                && line.values.len() == NAMES.len()
                && let Some(series) = self.series(&line.channel, now)
                && series.coarse.back().is_none_or(|last| last.time < line.time)
            {
                let values = std::array::from_fn(|index| line.values[index].unwrap_or(f32::NAN));
                series.coarse.push_back(Point { time: line.time, values });
            }
        }
    }

    /// Only what is still charted, so that the file does not grow for ever.
    fn write_anew(&mut self, folder: PathBuf) -> io::Result<()> {
        let fresh = folder.join("history.jsonl.new");
        let (mut text, mut lines) = (String::new(), 0);
        for (channel, series) in &self.series {
            lines += series.coarse.len();
            text.extend(series.coarse.iter().map(|point| line(channel, point)));
        }
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, folder.join(FILE))?;
        let file = OpenOptions::new().append(true).open(folder.join(FILE))?;
        self.file = Some(Store { folder, file, lines });
        Ok(())
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        let charted: usize = self.series.values().map(|series| series.coarse.len()).sum();
        let Some(store) = &mut self.file else { return Ok(()) };
        store.lines += 1;
        if store.lines > 2 * charted + SPARE {
            let folder = store.folder.clone();
            return self.write_anew(folder);
        }
        store.file.write_all(text.as_bytes())
    }

    /// A channel's past. Where there are too many, those without one for a day make room.
    fn series(&mut self, channel: &str, now: u64) -> Option<&mut Series> {
        if !self.series.contains_key(channel) && self.series.len() >= MAX_CHANNELS {
            self.series.retain(|_, series| {
                let last = series.fine.back().or(series.coarse.back());
                last.is_some_and(|last| last.time + DAY > now)
            });
        }
        if !self.series.contains_key(channel) && self.series.len() >= MAX_CHANNELS {
            return None;
        }
        Some(self.series.entry(channel.to_owned()).or_default())
    }

    /// Takes figures, in the order of [`NAMES`], every [`FINE`] seconds. An error is of the file.
    pub fn push(
        &mut self,
        channel: &str,
        time: u64,
        values: [Option<f64>; NAMES.len()],
    ) -> io::Result<()> {
        let values = values.map(|value| value.map_or(f32::NAN, |value| value as f32));
        let Some(series) = self.series(channel, time) else { return Ok(()) };
        // A clock that was set back takes what it had not reached yet with it.
        for points in [&mut series.fine, &mut series.coarse] {
            while points.back().is_some_and(|last| last.time >= time) {
                points.pop_back();
            }
        }
        series.current.retain(|point| point.time < time);
        let point = Point { time, values };
        series.fine.push_back(point);
        while series.fine.front().is_some_and(|first| first.time + HOUR < time) {
            series.fine.pop_front();
        }
        let minute = |point: &Point| point.time / COARSE;
        let done = series.current.first().is_some_and(|first| minute(first) != minute(&point));
        let mean = done.then(|| mean(&std::mem::take(&mut series.current)));
        series.current.push(point);
        let Some(mean) = mean else { return Ok(()) };
        series.coarse.push_back(mean);
        while series.coarse.front().is_some_and(|first| first.time + DAY < time) {
            series.coarse.pop_front();
        }
        self.append(&line(channel, &mean))
    }

    /// What a chart shows.
    pub fn columns(&self, channel: &str, span: Span, now: u64) -> Columns {
        let mut columns = Columns::default();
        let Some(series) = self.series.get(channel) else { return columns };
        let from = now.saturating_sub(span.seconds());
        let fine_from = series.fine.front().map_or(u64::MAX, |first| first.time);
        let is_coarse = span == Span::Day;
        // What was before a restart is known by minutes only.
        let coarse = series.coarse.iter().filter(|point| is_coarse || point.time < fine_from);
        let fine = series.fine.iter().filter(|_| !is_coarse);
        for point in coarse.chain(fine).filter(|point| point.time > from && point.time <= now) {
            columns.time.push(point.time);
            for (name, value) in NAMES.into_iter().zip(point.values) {
                let column = columns.values.entry(name).or_default();
                column.push(Some(value).filter(|value| value.is_finite()));
            }
        }
        columns
    }
}

fn line(channel: &str, point: &Point) -> String {
    let values = point.values.iter().map(|value| Some(*value).filter(|value| value.is_finite()));
    let line = Line { time: point.time, channel: channel.to_owned(), values: values.collect() };
    serde_json::to_string(&line).map_or_else(|_| String::new(), |text| text + "\n")
}

/// Of what is known; at the time of the first.
fn mean(points: &[Point]) -> Point {
    let values = std::array::from_fn(|index| {
        let known =
            points.iter().map(|point| point.values[index]).filter(|value| value.is_finite());
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    });
    Point { time: points.first().map_or(0, |first| first.time), values }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn some(value: f64) -> [Option<f64>; NAMES.len()] {
        let mut values = [None; NAMES.len()];
        values[0] = Some(value);
        values
    }

    fn fill(history: &mut History, from: u64, seconds: u64) {
        for time in (from..from + seconds).step_by(FINE as usize) {
            history.push("news", time, some((time - NOW) as f64)).unwrap();
        }
    }

    #[test]
    fn a_day_is_kept_by_minutes_and_an_hour_by_seconds() {
        let mut history = History::default();
        fill(&mut history, NOW, 2 * DAY);
        let now = NOW + 2 * DAY;
        let count = |span| history.columns("news", span, now).time.len() as u64;
        assert_eq!(count(Span::Minute), 60 / FINE - 1);
        assert_eq!(count(Span::Hour), HOUR / FINE - 1);
        assert!((DAY / COARSE - 2..=DAY / COARSE).contains(&count(Span::Day)));
        let day = history.columns("news", Span::Day, now);
        assert!(day.values["users"].iter().all(Option::is_none), "what is unknown stays so");
    }

    #[test]
    fn restarts_and_torn_lines_cost_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::kept_in(folder.path(), NOW).unwrap();
        fill(&mut history, NOW, HOUR);
        let path = folder.path().join("history.jsonl");
        drop(history);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"time\":18").unwrap();
        let later = NOW + HOUR + 600;
        let mut history = History::kept_in(folder.path(), later).unwrap();
        assert_eq!(history.columns("news", Span::Day, later).time.len(), 59);
        fill(&mut history, later, 120);
        assert_eq!(history.columns("news", Span::Day, later + 120).time.len(), 60);
        assert!(history.columns("news", Span::Hour, later + 120).time.len() > 60);
        let next_day = History::kept_in(folder.path(), NOW + 2 * DAY).unwrap();
        assert!(next_day.columns("news", Span::Day, NOW + 2 * DAY).time.is_empty());
    }

    #[test]
    fn the_file_of_a_long_run_stays_small_and_channels_that_are_gone_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::kept_in(folder.path(), NOW).unwrap();
        for channel in 0..MAX_CHANNELS {
            history.push(&channel.to_string(), NOW, some(1.0)).unwrap();
        }
        for minute in 1..30_000 {
            history.push("news", NOW + DAY + minute * COARSE, some(1.0)).unwrap();
        }
        let now = NOW + DAY + 30_000 * COARSE;
        assert!(history.columns("news", Span::Day, now).time.len() > 1000);
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(text.lines().count() < 15_000, "{} lines", text.lines().count());
        let again = History::kept_in(folder.path(), now).unwrap();
        assert!(again.columns("news", Span::Day, now).time.len() > 1000);
    }

    #[test]
    fn a_clock_that_is_set_back_or_forth_leaves_times_in_order() {
        let mut history = History::default();
        fill(&mut history, NOW + 1000, 600);
        fill(&mut history, NOW, 600);
        fill(&mut history, NOW + 5000, 60);
        let columns = history.columns("news", Span::Day, NOW + 6000);
        assert!(columns.time.is_sorted());
        let hour = history.columns("news", Span::Hour, NOW + 5060);
        assert!(hour.time.is_sorted_by(|one, other| one < other));
    }
}
