//! One file of a recording while it is written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::PathBuf,
    time::SystemTime,
};

use super::{index::Entry, shelf::Shelf};
use crate::{
    flv::{Tag, TagKind, Tracks, file_header, metadata, put_tag_at},
    headers::StreamHeaders,
    programme::Shown,
};

/// Written to the file when so much waits.
const CHUNK: usize = 1 << 20;

/// A file and its index.
#[derive(Debug)]
pub struct Segment {
    name: String,
    film: File,
    index: File,
    /// The programme's time at its beginning.
    zero: u64,
    last: u64,
    /// Of whole tags in the file.
    written: u64,
    waiting: Vec<u8>,
    lines: String,
    tracks: Tracks,
    /// What decoders must know for all of it.
    headers: StreamHeaders,
    /// Sound or a picture is in the file.
    has_media: bool,
    paths: [PathBuf; 2],
    /// Where the metadata says how long it is.
    duration_at: u64,
}

impl Segment {
    /// Begins a file with an opening of the programme.
    pub fn create(
        shelf: &Shelf,
        now: SystemTime,
        zero: u64,
        headers: &StreamHeaders,
    ) -> io::Result<Self> {
        let (name, film_path, index_path) = shelf.next(now)?;
        let create = |path: &PathBuf| OpenOptions::new().write(true).create_new(true).open(path);
        let (film, index) = (create(&film_path)?, create(&index_path)?);
        let (said, number_at) = metadata::with_duration(headers.metadata());
        let said = Tag { kind: TagKind::Script, timestamp: 0, payload: said };
        let mut waiting = file_header(Tracks::BOTH).to_vec();
        let duration_at = (waiting.len() + crate::flv::TAG_HEADER_LEN + number_at) as u64;
        put_tag_at(&mut waiting, &said, 0);
        for header in headers.tags().filter(|header| header.kind != TagKind::Script) {
            put_tag_at(&mut waiting, header, 0);
        }
        let lines = String::new();
        let tracks = Tracks::default();
        Ok(Self {
            name,
            film,
            index,
            zero,
            last: 0,
            written: 0,
            waiting,
            lines,
            tracks,
            headers: headers.clone(),
            has_media: false,
            paths: [film_path, index_path],
            duration_at,
        })
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// The programme's time at its beginning.
    pub fn zero(&self) -> u64 {
        self.zero
    }

    /// Whether a file that began with these parameters can go on with those.
    pub fn can_go_on_with(&self, headers: &StreamHeaders) -> bool {
        self.headers.has_same_parameters(headers)
    }

    /// Whether sound or a picture is in the file.
    pub fn has_media(&self) -> bool {
        self.has_media
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.written + self.waiting.len() as u64
    }

    /// Takes the next tag.
    pub fn write(&mut self, shown: &Shown) -> io::Result<()> {
        let time = shown.time.saturating_sub(self.zero);
        match shown.tag.kind {
            TagKind::Audio => self.tracks.audio = true,
            TagKind::Video => self.tracks.video = true,
            TagKind::Script => {}
        }
        if shown.opening.is_some() {
            self.lines += &Entry { time, offset: self.bytes() }.line();
        }
        self.last = self.last.max(time);
        put_tag_at(&mut self.waiting, &shown.tag, time as u32);
        if self.waiting.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Puts everything into the file. After an error it ends with a whole tag.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.film.write_all(&self.waiting) {
            let _ = self.film.set_len(self.written);
            self.waiting.clear();
            self.lines.clear();
            return Err(error);
        }
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        self.has_media |= !self.lines.is_empty();
        self.index.write_all(self.lines.as_bytes())?;
        self.lines.clear();
        Ok(())
    }

    /// The header promises what turned out to be there, and says how long it is.
    pub fn close(mut self) {
        if !self.has_media && self.lines.is_empty() {
            // Nobody misses a file with nothing in it.
            self.paths.iter().for_each(|path| drop(std::fs::remove_file(path)));
            return;
        }
        // Of what cannot be written any more the rest is whole.
        let _ = self.flush().and_then(|()| {
            self.film.seek(SeekFrom::Start(0))?;
            self.film.write_all(&file_header(self.tracks))?;
            self.film.seek(SeekFrom::Start(self.duration_at))?;
            self.film.write_all(&(self.last as f64 / 1000.0).to_be_bytes())
        });
    }
}
