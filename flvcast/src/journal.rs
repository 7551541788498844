//! What happened and what is wrong: said on the terminal, and kept for the console.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde::Serialize;

use crate::say;

/// Lines kept.
const MAX_ENTRIES: usize = 500;

/// Of what kind a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// Something happened, as it should.
    Event,
    /// Something that a person may want to know.
    Notice,
    /// Something that a person may have to mend.
    Trouble,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Counts from 1.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Of which channel, if of one.
    pub channel: Option<String>,
    /// Of what kind.
    pub kind: Line,
    /// In words.
    pub text: String,
}

/// The latest lines, shared by all who write and read them.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    entries: Arc<Mutex<VecDeque<Entry>>>,
    /// There are several channels, so that lines say of which they are.
    names_channels: bool,
}

/// Where a channel writes.
#[derive(Debug)]
pub struct Page<'a> {
    journal: &'a Journal,
    channel: &'a str,
}

impl Page<'_> {
    /// Says and keeps a line.
    pub fn say(&self, kind: Line, text: impl fmt::Display) {
        self.journal.write(kind, Some(self.channel), text.to_string());
    }
}

impl Journal {
    /// Of a process with several channels.
    pub fn of_many() -> Self {
        Self { names_channels: true, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a channel.
    pub fn of<'a>(&'a self, channel: &'a str) -> Page<'a> {
        Page { journal: self, channel }
    }

    /// Says and keeps a line of no channel.
    pub fn say(&self, kind: Line, text: impl fmt::Display) {
        self.write(kind, None, text.to_string());
    }

    fn write(&self, kind: Line, channel: Option<&str>, text: String) {
        let text = say::plain(&text);
        match (channel.filter(|_| self.names_channels), kind) {
            (Some(channel), Line::Trouble) => say::warn(format_args!("{channel}: {text}")),
            (Some(channel), _) => say::say(format_args!("{channel}: {text}")),
            (None, Line::Trouble) => say::warn(&text),
            (None, _) => say::say(&text),
        }
        let mut entries = self.lock();
        let number = entries.back().map_or(0, |last| last.number) + 1;
        let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (time_ms, channel) = (passed.as_millis() as u64, channel.map(str::to_owned));
        entries.push_back(Entry { number, time_ms, channel, kind, text });
        if entries.len() > MAX_ENTRIES {
            entries.pop_front();
        }
    }

    /// What came after a line, the oldest first.
    pub fn since(&self, number: u64) -> Vec<Entry> {
        self.lock().iter().filter(|entry| entry.number > number).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_are_kept() {
        let journal = Journal::of_many();
        for index in 0..MAX_ENTRIES + 10 {
            journal.of("news").say(Line::Event, index);
        }
        let all = journal.since(0);
        assert_eq!((all.len(), all[0].number), (MAX_ENTRIES, 11));
        assert_eq!(journal.since(all.last().unwrap().number - 2).len(), 2);
        assert_eq!(all[0].channel.as_deref(), Some("news"));
    }
}
