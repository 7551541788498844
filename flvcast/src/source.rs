//! Where tags come from: a file each. What a source is, is told from what people write
//! ([`SourceSpec`]); a [`Feed`] has the crew run it, opens it again when it dies, and hands over its
//! tags.

mod bytes;
mod cancel;
mod feed;
mod ffmpeg;
mod film;
mod follow;
pub mod hls;
pub mod http;
mod queue;
mod recording;
mod remote;
pub mod rtmp;
mod shown;
mod spec;

use std::time::Duration;

use thiserror::Error;

use crate::{crew::Readable, flv::Tag};
pub use cancel::Cancel;
pub use feed::{Fed, Feed, Plan, Wake};
pub use recording::{From as ReplayFrom, Recording};
pub use shown::{Shown, shown_name, without_secrets};
pub use spec::{Quality, SourceSpec};

/// The next thing of a source.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A tag, with the source's own stamp.
    Tag(Tag),
    /// What comes next has stamps of its own.
    Restart,
    /// Something that a person should know.
    Notice(String),
    /// Nothing yet; asked again at once.
    Nothing,
    /// Nothing before so much time has passed, or its [`Cancel`] was nudged.
    Rest(Duration),
    /// The same, or when that can be read.
    Read(Readable, Duration),
    /// There is no more.
    End,
}

/// Something that gives tags.
pub trait Source: Send {
    /// The next piece.
    fn next(&mut self) -> Result<Piece, SourceError>;

    /// Whether that may take long. While it does, the source looks at its [`Cancel`].
    fn blocks(&self) -> bool {
        true
    }
}

/// How a source keeps time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// All of it is there: read as it is needed.
    Recorded,
    /// It comes when it comes. Up to `cushion` of it may wait here.
    Live {
        /// The most that comes at once.
        cushion: Duration,
    },
}

/// A source that gives tags now.
pub struct Opened {
    /// Gives them.
    pub source: Box<dyn Source>,
    /// How it keeps time.
    pub nature: Nature,
    /// Something that a person should know about how it was opened.
    pub notice: Option<String>,
}

impl Opened {
    fn new(source: impl Source + 'static, nature: Nature) -> Self {
        Self { source: Box::new(source), nature, notice: None }
    }
}

/// Why a source gives nothing, in a line for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Trying again is of no use.
    #[error("{0}")]
    Final(String),
    /// It may be over soon.
    #[error("{0}")]
    Passing(String),
}
