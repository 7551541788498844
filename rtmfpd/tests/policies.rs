//! What a real server demands of real clients, and they of it.

use std::net::{Ipv4Addr, SocketAddr};

use rtmfp::{
    Endpoint, FlowOptions, NetConnection, NetEvent,
    net::Client,
    rtmp::{Command, FlowMetadata, Value},
};
use rtmfpd::{PathPolicy, RunningServer, ServerConfig, Want, start};

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

/// Says `connect` once more: the name of the server's answer.
fn enter(client: &Client, url: &'static str, app: &'static str) -> String {
    const TRANSACTION: u64 = 77;
    let connect = move |now, endpoint: &mut Endpoint, net: &mut NetConnection| {
        let mut view = endpoint.session(net.session().unwrap()).unwrap();
        let flow = view.open_flow(&FlowMetadata::CONTROL.encode(), None, FlowOptions::default());
        let mut command = Command::new("connect", TRANSACTION as f64, Vec::new());
        command.object =
            Value::object([("tcUrl", Value::string(url)), ("app", Value::string(app))]);
        view.send(now, flow, command.encode(), None).unwrap();
    };
    client.with(connect).unwrap();
    loop {
        match client.next_event().expect("the connection goes on") {
            NetEvent::Answered { transaction: TRANSACTION, answer } => return answer.name,
            _ => continue,
        }
    }
}

/// Nothing is protected but the path `bank`, which must be.
fn with_a_bank() -> RunningServer {
    let (wanted, off) = (Some(Want::Require), Some(Want::Off));
    let bank = PathPolicy { path: "bank".into(), hmac: wanted, sequence_numbers: wanted };
    server(ServerConfig {
        path: vec![bank],
        hmac: off,
        sequence_numbers: off,
        ..ServerConfig::default()
    })
}

#[test]
fn a_path_is_protected_however_it_is_written() {
    let server = with_a_bank();
    for path in ["/bank", "//bank", "/bank/", "/bank//vault", "/bank?x"] {
        let client = Client::connect(&(server.url() + path)).unwrap();
        assert!(is_protected(&client), "{path}");
    }
    assert!(!is_protected(&Client::connect(&(server.url() + "/other")).unwrap()));
}

#[test]
fn neither_the_url_nor_the_application_evades_a_policy() {
    let server = with_a_bank();
    let client = Client::connect(&(server.url() + "/other")).unwrap();
    assert_eq!(enter(&client, "rtmfp://h/other", "other"), "_result");
    assert_eq!(enter(&client, "rtmfp://h/other", "bank"), "_error");
    assert_eq!(enter(&client, "rtmfp://h//bank", "other"), "_error");
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
