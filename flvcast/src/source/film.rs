//! A film: a file that is there, a pipe, or standard input.

use std::{fs::File, io, path::Path};

use super::{
    Cancel, Nature, Opened, SourceError,
    bytes::{FlvReader, Kind, kind, sniff},
    ffmpeg, hls,
};

/// Opens FLV, or whatever ffmpeg makes FLV of.
pub struct Film;

impl Film {
    /// A file by its name; devices and pipes are opened once, for what was read of them is gone.
    pub fn open(path: &Path, cancel: &Cancel) -> Result<Opened, SourceError> {
        let name = path.display().to_string();
        let failed = |error: io::Error| {
            SourceError::Final(format!("cannot read {name}: {error}; check the path"))
        };
        let mut file = File::open(path).map_err(failed)?;
        let head = sniff(&mut file).map_err(failed)?;
        match kind(&head) {
            Kind::Flv => Ok(Opened::new(
                FlvReader::new(name, &head, file, Nature::Recorded),
                Nature::Recorded,
            )),
            Kind::Playlist => hls::open_file(path),
            Kind::Empty => Err(nothing(&name)),
            Kind::Other if path.metadata().is_ok_and(|metadata| metadata.is_file()) => {
                ffmpeg::open(&name, cancel)
            }
            Kind::Other => ffmpeg::open_pipe(&name, head, file, cancel),
        }
    }

    /// Standard input.
    pub fn standard_input(cancel: &Cancel) -> Result<Opened, SourceError> {
        let name = "the standard input".to_owned();
        let mut input = io::stdin();
        let head = sniff(&mut input)
            .map_err(|error| SourceError::Final(format!("cannot read {name}: {error}")))?;
        match kind(&head) {
            Kind::Empty => Err(nothing(&name)),
            Kind::Flv => Ok(Opened::new(
                FlvReader::new(name, &head, input, Nature::Recorded),
                Nature::Recorded,
            )),
            Kind::Playlist | Kind::Other => ffmpeg::open_pipe(&name, head, input, cancel),
        }
    }

    /// What is in memory.
    pub fn memory(name: &str, bytes: &'static [u8]) -> Opened {
        let reader = FlvReader::new(name.to_owned(), &[], bytes, Nature::Recorded);
        Opened::new(reader, Nature::Recorded)
    }
}

fn nothing(name: &str) -> SourceError {
    SourceError::Final(format!("{name} holds no whole FLV tag; there is nothing to cast"))
}
