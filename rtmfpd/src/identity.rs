//! A server's identity on disk. Either 128 hex digits, the randomness that makes the fingerprint
//! of a server with ephemeral keys; or a line `GROUP EXPONENT` for each static key, in hex.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rand::Rng;
use thiserror::Error;

use super::ServerConfig;
use rtmfp::crypto::{Group, Identity, KeyPair, Keys};

/// The identity file is of no use.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// It could not be read or made.
    #[error("cannot use identity file {0}: {1}")]
    File(PathBuf, io::Error),
    /// It holds something else.
    #[error(
        "{0} is not an identity file (128 hex digits, or lines of a group's number and a key); \
         move it away and a new one is made"
    )]
    Content(PathBuf),
    /// It holds a fingerprint that others can copy.
    #[error("{0} holds no static keys; move it away and a new one is made with --static-keys")]
    NotStatic(PathBuf),
    /// Its static keys are of other groups than those asked for.
    #[error(
        "{0} holds static keys of other groups; leave --group out, or move it away and a new one is \
         made, with another fingerprint"
    )]
    OtherGroups(PathBuf),
}

/// Flash Player knows group 2 alone; who can do better gets 14.
const STATIC_GROUPS: [Group; 2] = [Group::Modp1024, Group::Modp2048];
const RANDOMNESS: usize = 64;

/// The identity of the configured file, made on first use; or a new one for this run.
pub(super) fn load_or_create(config: &ServerConfig) -> Result<Identity, IdentityError> {
    let keys = match &config.identity {
        Some(path) => kept_keys(path, config)?,
        None => new_keys(config),
    };
    Ok(Identity::new(config.hostname.as_deref(), true, keys))
}

fn kept_keys(path: &Path, config: &ServerConfig) -> Result<Keys, IdentityError> {
    let failed = |error| IdentityError::File(path.into(), error);
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let keys = parse(&text, config).ok_or_else(|| IdentityError::Content(path.into()))?;
            match keys {
                Keys::Ephemeral { .. } if config.static_keys => {
                    Err(IdentityError::NotStatic(path.into()))
                }
                Keys::Static(pairs) if !are_of_groups(&pairs, config) => {
                    Err(IdentityError::OtherGroups(path.into()))
                }
                keys => Ok(keys),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let keys = new_keys(config);
            create(path, &format(&keys)).map_err(failed)?;
            Ok(keys)
        }
        Err(error) => Err(failed(error)),
    }
}

fn new_keys(config: &ServerConfig) -> Keys {
    let mut rng = rand::rng();
    if config.static_keys {
        let groups = if config.groups.is_empty() { STATIC_GROUPS.to_vec() } else { groups(config) };
        let pair = |group| KeyPair::generate(group, &mut rng);
        return Keys::Static(groups.into_iter().map(pair).collect());
    }
    let mut randomness = vec![0; RANDOMNESS];
    rng.fill_bytes(&mut randomness);
    Keys::Ephemeral { groups: groups(config), randomness }
}

/// Whether keys are of the groups asked for, if any are.
fn are_of_groups(pairs: &[KeyPair], config: &ServerConfig) -> bool {
    let wanted = groups(config);
    config.groups.is_empty()
        || pairs.len() == wanted.len() && pairs.iter().all(|pair| wanted.contains(&pair.group()))
}

fn groups(config: &ServerConfig) -> Vec<Group> {
    if config.groups.is_empty() {
        return Group::ADOBE.to_vec();
    }
    config.groups.iter().map(|group| group.0).collect()
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

fn format(keys: &Keys) -> String {
    match keys {
        Keys::Ephemeral { randomness, .. } => hex(randomness) + "\n",
        Keys::Static(pairs) => {
            let line =
                |pair: &KeyPair| format!("{} {}\n", pair.group().number(), hex(&pair.exponent()));
            pairs.iter().map(line).collect()
        }
    }
}

fn parse(text: &str, config: &ServerConfig) -> Option<Keys> {
    let text = text.trim();
    if !text.contains(' ') {
        let randomness = unhex(text).filter(|bytes| bytes.len() == RANDOMNESS)?;
        return Some(Keys::Ephemeral { groups: groups(config), randomness });
    }
    let pairs = text.lines().map(|line| {
        let (number, exponent) = line.split_once(' ')?;
        let group = Group::from_number(number.parse().ok()?)?;
        KeyPair::from_exponent(group, &unhex(exponent)?).ok()
    });
    pairs.collect::<Option<Vec<_>>>().map(Keys::Static)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_gives_the_same_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        for static_keys in [false, true] {
            let path = dir.path().join(format!("static-{static_keys}"));
            let config =
                ServerConfig { identity: Some(path), static_keys, ..ServerConfig::default() };
            let first = load_or_create(&config).unwrap();
            let second = load_or_create(&config).unwrap();
            assert_eq!(first.peer_id(), second.peer_id());
            assert_eq!(first.is_static(), static_keys);
        }
        let path = dir.path().join("static-false");
        let config = ServerConfig {
            identity: Some(path.clone()),
            static_keys: true,
            ..ServerConfig::default()
        };
        assert!(matches!(load_or_create(&config), Err(IdentityError::NotStatic(_))));
        for broken in ["not hex", "2 11", "99 1234", ""] {
            std::fs::write(&path, broken).unwrap();
            assert!(matches!(load_or_create(&config), Err(IdentityError::Content(_))), "{broken}");
        }
    }
}
