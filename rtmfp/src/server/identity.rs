//! A server's identity on disk: 64 random bytes in hex, which are all that makes its fingerprint.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rand::Rng;
use thiserror::Error;

use crate::crypto::Identity;

/// The identity file is of no use.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// It could not be read or made.
    #[error("cannot use identity file {0}: {1}")]
    File(PathBuf, io::Error),
    /// It holds something else.
    #[error("{0} is not an identity file (128 hex digits); move it away and a new one is made")]
    Content(PathBuf),
}

/// The identity of the file, made on first use; or a new one for this run.
pub(super) fn load_or_create(path: Option<&Path>) -> Result<Identity, IdentityError> {
    let Some(path) = path else { return Ok(Identity::server(&random())) };
    let failed = |error| IdentityError::File(path.into(), error);
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let bytes = parse(text.trim()).ok_or_else(|| IdentityError::Content(path.into()))?;
            Ok(Identity::server(&bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = random();
            create(path, &bytes).map_err(failed)?;
            Ok(Identity::server(&bytes))
        }
        Err(error) => Err(failed(error)),
    }
}

fn random() -> [u8; 64] {
    let mut bytes = [0; 64];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn create(path: &Path, bytes: &[u8; 64]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(options.open(path)?, "{text}")
}

fn parse(text: &str) -> Option<[u8; 64]> {
    if text.len() != 128 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 64];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_gives_the_same_fingerprint() {
        let path = std::env::temp_dir().join(format!("rtmfpd-identity-{}", std::process::id()));
        let first = load_or_create(Some(&path)).unwrap().peer_id();
        let second = load_or_create(Some(&path)).unwrap().peer_id();
        std::fs::write(&path, "not hex").unwrap();
        let broken = load_or_create(Some(&path));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(first, second);
        assert!(matches!(broken, Err(IdentityError::Content(_))));
    }
}
