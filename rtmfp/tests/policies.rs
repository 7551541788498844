//! What a real server demands of real clients, and they of it.

use std::net::{Ipv4Addr, SocketAddr};

use rtmfp::{
    net::Client,
    server::{PathPolicy, RunningServer, ServerConfig, Want, start},
};

fn server(config: ServerConfig) -> RunningServer {
    let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()];
    start(&ServerConfig { listen, ..config }).unwrap()
}

/// Whether packets to the server have HMACs and sequence numbers.
fn is_protected(client: &Client) -> bool {
    let protection = client.with(|_, endpoint, net| {
        let session = net.session().expect("it is connected");
        endpoint.session(session).expect("it is open").protection()
    });
    let protection = protection.unwrap();
    protection.send_hmac.is_some() && protection.send_sequence
}

#[test]
fn a_path_is_protected_however_it_is_written() {
    let (wanted, off) = (Some(Want::Require), Some(Want::Off));
    let bank = PathPolicy { path: "bank".into(), hmac: wanted, sequence_numbers: wanted };
    let server = server(ServerConfig {
        path: vec![bank],
        hmac: off,
        sequence_numbers: off,
        ..ServerConfig::default()
    });
    for path in ["/bank", "//bank", "/bank/", "/bank//vault", "/bank?x"] {
        let client = Client::connect(&(server.url() + path)).unwrap();
        assert!(is_protected(&client), "{path}");
    }
    assert!(!is_protected(&Client::connect(&(server.url() + "/other")).unwrap()));
}

#[test]
fn a_pin_holds_only_with_static_keys() {
    let is_accepted = |static_keys| {
        let server = server(ServerConfig { static_keys, ..ServerConfig::default() });
        Client::connect(&format!("{}/x#fingerprint={}", server.url(), server.fingerprint()))
    };
    assert!(is_accepted(true).is_ok());
    let refused = is_accepted(false).unwrap_err().to_string();
    assert!(refused.contains("--static-keys"), "{refused}");
}
