//! What can go wrong for a person: one line that says what, why and what to do.

use std::{io, net::SocketAddr, path::PathBuf};

use thiserror::Error;

use crate::flv::NotFlv;

/// A command failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The source file cannot be opened or read.
    #[error("cannot read {0}: {1}; check the path")]
    Source(PathBuf, io::Error),
    /// The source is something else.
    #[error(
        "{0}: {1}; convert it first, for example: ffmpeg -i INPUT -c:v libx264 -c:a aac out.flv"
    )]
    NotFlv(PathBuf, NotFlv),
    /// The source has no tags.
    #[error("{0} holds no whole FLV tag; there is nothing to cast")]
    Empty(PathBuf),
    /// The server's name is unknown.
    #[error("cannot resolve the server '{0}': {1}; check the name, or use an address")]
    Resolve(String, io::Error),
    /// The server does not take us.
    #[error("no connection to {0}: {1}; is rtmfpd running there, and UDP let through?")]
    Server(String, String),
    /// No socket.
    #[error("the network failed: {0}")]
    Network(#[from] io::Error),
    /// The web address is taken.
    #[error(
        "cannot serve HTTP on {0}: {1}; choose another with --http ADDR:PORT, or stop what uses it"
    )]
    Http(SocketAddr, io::Error),
    /// The embedded server.
    #[error(transparent)]
    Rendezvous(#[from] rtmfp::server::ServerError),
    /// The output cannot be written.
    #[error("cannot write {path}: {error}; {}", saved(*.kept))]
    Output {
        /// Where to.
        path: PathBuf,
        /// Why not.
        error: io::Error,
        /// Bytes that were kept, all of whole tags.
        kept: u64,
    },
    /// Nothing came.
    #[error("nobody cast '{0}' in {1}; check the channel's name and that its caster runs")]
    NobodyCasts(String, humantime::FormattedDuration),
    /// Something came, but never a picture.
    #[error("'{0}' is cast, but no key frame came; wait longer, or check the source")]
    NoPicture(String),
    /// The group cannot be named.
    #[error(transparent)]
    GroupSpec(#[from] netgroup::GroupSpecError),
    /// The demonstration found a viewer short.
    #[error("{0}")]
    Incomplete(String),
}

fn saved(kept: u64) -> String {
    match kept {
        0 => "nothing was kept; check the folder, its rights and its free space".into(),
        kept => format!("the first {kept} bytes were kept and can be played"),
    }
}
