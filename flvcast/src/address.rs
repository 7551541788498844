//! Addresses to listen on, as people write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// `ADDR:PORT`, `HOST:PORT`, `:PORT` (all addresses of this machine), `ADDR` or `HOST` (the default
/// port). All that the name means; the first one that is free is taken.
pub fn listen_addresses(text: &str, default_port: u16) -> Result<Vec<SocketAddr>, String> {
    let wrong = |why: &str| format!("'{text}' is no address to listen on: {why}");
    if text.parse::<u64>().is_ok() {
        return Err(format!(
            "'{text}' is a port alone; write :{text} for all addresses of this machine, or localhost:{text}"
        ));
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![(address, default_port).into()]);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => {
            let port =
                port.parse::<u16>().map_err(|_| wrong("its port is no number up to 65535"))?;
            (host, port)
        }
        None => (text, default_port),
    };
    if host.is_empty() {
        return Ok(vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]);
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, port).to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
    let mut found: Vec<SocketAddr> = found.collect();
    // Who opens a browser on "localhost" is better served by what all programs try.
    found.sort_by_key(SocketAddr::is_ipv6);
    if found.is_empty() { Err(wrong("the name has no address")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_people_write() {
        let listen = |text| listen_addresses(text, 80).map(|found| found[0].to_string());
        assert_eq!(listen("127.0.0.1:8081").as_deref(), Ok("127.0.0.1:8081"));
        assert_eq!(listen("localhost:8081").as_deref(), Ok("127.0.0.1:8081"));
        assert_eq!(listen(":8081").as_deref(), Ok("[::]:8081"));
        assert_eq!(listen("[::1]:8081").as_deref(), Ok("[::1]:8081"));
        assert_eq!(listen("::1").as_deref(), Ok("[::1]:80"));
        assert_eq!(listen("127.0.0.1").as_deref(), Ok("127.0.0.1:80"));
        for wrong in ["8081", "127.0.0.1:x", "127.0.0.1:99999", "no.such.host.invalid:80"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
