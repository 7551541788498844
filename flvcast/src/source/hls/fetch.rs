//! Getting playlists, segments and keys: over HTTP, or from files if the playlist is one.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use aes::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use bytes::Bytes;
use ureq::Agent;
use url::Url;

use super::playlist::Part;
use crate::source::{Shown, SourceError, http};

/// A playlist, segment or key that is not there by then is given up.
const WHOLE: Duration = Duration::from_secs(20);

/// What a playlist may lead to.
#[derive(Debug, Clone)]
pub struct Fetcher {
    agent: Agent,
    /// A playlist from elsewhere must not name files of this machine.
    may_read_files: bool,
}

impl Fetcher {
    /// Files only if the playlist is one.
    pub fn new(agent: Agent, may_read_files: bool) -> Self {
        Self { agent, may_read_files }
    }

    /// All of a resource, or a part, and where it came from. It may have `limit` bytes.
    pub fn get(&self, url: &Url, part: Part, limit: usize) -> Result<(Url, Bytes), SourceError> {
        match url.scheme() {
            "http" | "https" => {
                let answer = http::get(&self.agent, url, part, Some(WHOLE))?;
                let is_part = answer.is_part;
                let bytes = http::read_all(answer.body, Vec::new(), limit)
                    .map_err(|error| passing(url, &error))?;
                // A server that does not know parts gives all.
                let bytes = if is_part { bytes.into() } else { cut(bytes.into(), part) };
                Ok((answer.url, bytes))
            }
            "file" if self.may_read_files => Ok((url.clone(), read_file(url, part, limit)?)),
            scheme => {
                Err(SourceError::Final(format!("{}: {scheme} cannot be in a playlist", Shown(url))))
            }
        }
    }
}

fn passing(url: &Url, error: &dyn std::fmt::Display) -> SourceError {
    SourceError::Passing(format!("cannot get {}: {error}", Shown(url)))
}

fn cut(bytes: Bytes, part: Part) -> Bytes {
    let Some((from, length)) = part else { return bytes };
    let end = bytes.len() as u64;
    let (from, to) = (from.min(end), from.saturating_add(length).min(end));
    bytes.slice(from as usize..to as usize)
}

fn read_file(url: &Url, part: Part, limit: usize) -> Result<Bytes, SourceError> {
    let path = url.to_file_path().map_err(|()| passing(url, &"it names no file"))?;
    let mut file = File::open(path).map_err(|error| passing(url, &error))?;
    let (from, length) = part.unwrap_or((0, u64::MAX));
    file.seek(SeekFrom::Start(from)).map_err(|error| passing(url, &error))?;
    let read = http::read_all(file.take(length), Vec::new(), limit);
    Ok(read.map_err(|error| passing(url, &error))?.into())
}

/// Takes AES-128 in CBC off a segment, RFC 8216 §5.2.
pub fn decrypt(url: &Url, bytes: &Bytes, key: &[u8], iv: u128) -> Result<Bytes, SourceError> {
    let iv = iv.to_be_bytes();
    let cipher = cbc::Decryptor::<aes::Aes128>::new_from_slices(key, &iv)
        .map_err(|_| passing(url, &"its key does not have 16 bytes"))?;
    let mut bytes = bytes.to_vec();
    let plain = cipher.decrypt_padded::<Pkcs7>(&mut bytes);
    let length = plain.map_err(|_| passing(url, &"it does not decrypt"))?.len();
    bytes.truncate(length);
    Ok(bytes.into())
}
