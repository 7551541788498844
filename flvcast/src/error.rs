//! What can go wrong for a person: one line that says what, why and what to do.

use std::{io, net::SocketAddr, path::PathBuf};

use rtmfp::crypto::PeerId;
use thiserror::Error;

/// A command failed.
#[derive(Debug, Error)]
pub enum Error {
    /// What was written makes no sense.
    #[error("{0}")]
    Usage(String),
    /// There is nothing to cast, in words of the source.
    #[error("{0}")]
    Source(String),
    /// The server's name is unknown.
    #[error("cannot resolve the server '{0}': {1}; check the name, or use an address")]
    Resolve(String, io::Error),
    /// The server does not take us.
    #[error("no connection to {0}: {1}; is rtmfpd running there, and UDP let through?")]
    Server(String, String),
    /// It refuses us.
    #[error("{0} refuses: {1}; check the URL, or ask whoever runs the server")]
    Refused(String, String),
    /// It is not the one that was pinned.
    #[error(
        "{0} is not the server that was asked for: its fingerprint is {1}; take that into the URL \
         if you trust it"
    )]
    OtherServer(String, PeerId),
    /// A group can be joined once.
    #[error("this process is in the group already: {0}; give each channel a group of its own")]
    SameGroup(String),
    /// No socket.
    #[error("the network failed: {0}")]
    Network(#[from] io::Error),
    /// A thread that must not end has ended.
    #[error("the network thread has died; please report this, with what RUST_LOG=debug says")]
    NetworkThread,
    /// The web address is taken.
    #[error(
        "cannot serve HTTP on {0}: {1}; choose another (--http, or http and console in a file), or stop what uses it"
    )]
    Http(SocketAddr, io::Error),
    /// The demonstration's own server.
    #[cfg(feature = "demo")]
    #[error(transparent)]
    Rendezvous(#[from] rtmfpd::ServerError),
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
    /// The output is there already.
    #[error("{0} exists; choose another name, or replace it with --overwrite")]
    OutputExists(PathBuf),
    /// Whoever reads standard output does not.
    #[error("nobody reads the standard output; the rest was left out")]
    NobodyReads,
    /// Nothing came.
    #[error("nobody cast '{0}' in {1}; check the channel's name and that its caster runs")]
    NobodyCasts(String, humantime::FormattedDuration),
    /// Something came, but never a picture.
    #[error(
        "'{0}' is cast, but nothing that came of it can be played: neither a key frame with its codec's \
         parameters nor sound; wait longer, or check the source"
    )]
    NoPicture(String),
    /// The group cannot be named.
    #[error(transparent)]
    GroupSpec(#[from] netgroup::GroupSpecError),
    /// The demonstration found a viewer short.
    #[cfg(feature = "demo")]
    #[error("{0}")]
    Incomplete(String),
}

fn saved(kept: u64) -> String {
    match kept {
        0 => "nothing was kept; check the folder, its rights and its free space".into(),
        kept => format!("the first {kept} bytes were kept and can be played"),
    }
}
