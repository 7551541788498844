//! In which country an address is, by a file as MaxMind and others make it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use serde::Deserialize;

use crate::Error;

/// The file.
pub struct Places(maxminddb::Reader<Vec<u8>>);

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

/// What is read of an entry.
#[derive(Deserialize)]
struct Found {
    country: Option<Country>,
}

#[derive(Deserialize)]
struct Country {
    iso_code: Option<String>,
}

impl Places {
    /// Reads the file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |error: &dyn fmt::Display| {
            Error::Usage(format!("cannot read places from {}: {error}", path.display()))
        };
        let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
        maxminddb::Reader::from_source(bytes).map(Self).map_err(|error| wrong(&error))
    }

    fn country(&self, address: IpAddr) -> Option<String> {
        let found: Found = self.0.lookup(address).ok()?.decode().ok()??;
        found.country?.iso_code
    }

    /// How many addresses are in each country; "local" is our own network, "unknown" the rest.
    pub fn count(
        places: Option<&Self>,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for address in addresses.map(|address| address.ip().to_canonical()) {
            let name = match places.and_then(|places| places.country(address)) {
                Some(country) => country,
                None if is_local(address) => "local".into(),
                None => "unknown".into(),
            };
            *counts.entry(name).or_insert(0) += 1;
        }
        counts
    }
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_there_are_local_and_unknown_ones() {
        let addresses =
            ["127.0.0.1:1", "192.0.2.1:2", "[fd00::1]:3"].map(|text| text.parse().unwrap());
        let counts = Places::count(None, addresses.into_iter());
        assert_eq!(counts, BTreeMap::from([("local".into(), 2), ("unknown".into(), 1)]));
    }
}
