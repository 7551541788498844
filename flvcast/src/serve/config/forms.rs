//! The forms that values of the file have.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::record::size;

/// What is listened on if nothing is said of a port.
const CONSOLE_PORT: u16 = 8090;
const HTTP_PORT: u16 = 8080;

/// A string that means something.
pub fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr>(from: D) -> Result<T, D::Error>
where
    T::Err: std::fmt::Display,
{
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// The same, where it may be missing.
pub fn maybe_parsed<'de, D: Deserializer<'de>, T: std::str::FromStr>(
    from: D,
) -> Result<Option<T>, D::Error>
where
    T::Err: std::fmt::Display,
{
    parsed(from).map(Some)
}

/// A time, as people write it.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text)
        .map_err(|_| D::Error::custom(format!("'{text}' is no time; write 3s, 10m or 1h")))
}

/// Bytes, as people write them.
pub fn a_size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    size(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// The same, where it may be missing.
pub fn maybe_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

/// Where viewers come to.
pub fn http_addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    crate::listen_addresses(&text, HTTP_PORT).map_err(D::Error::custom)
}

/// Where the operator comes to.
pub fn console_addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    crate::listen_addresses(&text, CONSOLE_PORT).map_err(D::Error::custom)
}

/// One string, or a list of some.
pub fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "\"ONE\" or [\"SEVERAL\", …]")]
    enum Form {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Form::deserialize(from)? {
        Form::One(text) => vec![text],
        Form::Many(list) if list.is_empty() => {
            return Err(D::Error::custom("name at least one, or leave it out"));
        }
        Form::Many(list) => list,
    })
}
