//! `http(s)://…`: FLV, endless or not, or a playlist, or whatever ffmpeg can read.

use std::{
    io::{self, Read},
    time::Duration,
};

use ureq::{Agent, BodyReader};
use url::Url;

use super::{
    Cancel, Nature, Opened, Quality, Shown, SourceError,
    bytes::{FlvReader, Kind, STEADY, Silence, kind, sniff},
    ffmpeg, hls,
    http::{Answer, Lines, SILENCE, agent_with, get, passing, read_all},
};

/// Opens what is there.
pub fn open(url: &Url, quality: Quality, cancel: &Cancel) -> Result<Opened, SourceError> {
    let lines = Lines::default();
    let agent = agent_with(lines.clone());
    let mut answer = get(&agent, url, None, None)?;
    let head = sniff(&mut answer.body).map_err(|error| passing(url, &error))?;
    match kind(&head) {
        Kind::Flv => Ok(flv(agent, &lines, url, &head, answer)),
        Kind::Playlist => {
            let text = read_all(answer.body, head, hls::MAX_PLAYLIST);
            let text = text.map_err(|error| passing(url, &error))?;
            hls::open(agent, answer.url, &text, quality)
        }
        Kind::Empty => Err(SourceError::Passing(format!("{}: the answer is empty", Shown(url)))),
        Kind::Other => {
            drop(answer);
            ffmpeg::open(url.as_str(), cancel)
        }
    }
}

/// What says how long it is, is a film; all else is live.
fn flv(agent: Agent, lines: &Lines, url: &Url, head: &[u8], answer: Answer) -> Opened {
    let name = Shown(url).to_string();
    match answer.length {
        None => {
            let reader = FlvReader::new(name, head, answer.body, STEADY);
            Opened::new(
                match lines.wait_elsewhere() {
                    Some(readable) => reader.waiting_for(readable, Some(Silence::Always(SILENCE))),
                    None => reader,
                },
                STEADY,
            )
        }
        Some(length) => {
            let (at, url) = (head.len() as u64, url.clone());
            let film = RemoteFilm { agent, url, body: answer.body, at, length, failures: 0 };
            Opened::new(FlvReader::new(name, head, film, Nature::Recorded), Nature::Recorded)
        }
    }
}

/// Connections that break without giving anything, one after the other, before a film is given up.
const MAX_FAILURES: u32 = 5;

/// A film that is read on where its connection broke.
struct RemoteFilm {
    agent: Agent,
    url: Url,
    body: BodyReader<'static>,
    at: u64,
    length: u64,
    failures: u32,
}

impl Read for RemoteFilm {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.body.read(buffer) {
                Ok(0) if self.at < self.length => self.resume("it ended early")?,
                Ok(count) => {
                    (self.at, self.failures) = (self.at + count as u64, 0);
                    return Ok(count);
                }
                Err(error) => self.resume(&error.to_string())?,
            }
        }
    }
}

impl RemoteFilm {
    fn resume(&mut self, why: &str) -> io::Result<()> {
        self.failures += 1;
        if self.failures > MAX_FAILURES {
            return Err(io::Error::other(why.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(200) * self.failures);
        let rest = self.length.saturating_sub(self.at);
        // Without an answer it is tried again, by the read that fails next.
        let Ok(answer) = get(&self.agent, &self.url, Some((self.at, rest)), None) else {
            return Ok(());
        };
        self.body = answer.body;
        if !answer.is_part {
            // The server gives all of it again.
            io::copy(&mut (&mut self.body).take(self.at), &mut io::sink())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
