//! HMACs, sequence numbers, passwords and names: who is let in, and on what terms.

mod common;

use std::time::Duration;

use common::{address, events};
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Ecn, Endpoint, Event, FlowOptions, Passwords, Path, ProtectionRule, ProtectionRules,
    SessionId,
    crypto::{Credential, Discriminator, Group, Identity, Keys, Policy, Protection},
};
use simnet::{Link, rig::Rig};

fn protected(wanted: Protection) -> Config {
    let protection = ProtectionRules { default: Policy::both(wanted), rules: Vec::new() };
    Config { protection, ..Config::default() }
}

fn rig_of(near: Config, far: Config, server: Identity) -> Rig<Endpoint> {
    let mut rig = Rig::new(7, Link::default());
    let peer = Identity::peer(&mut StdRng::seed_from_u64(1));
    let near = Endpoint::new(near, peer, rig.now, [1; 32]);
    let far = Endpoint::new(far, server, rig.now, [2; 32]);
    rig.add(address("192.0.2.1:1000"), near);
    rig.add(address("192.0.2.2:1935"), far);
    rig
}

/// Asks the second node for `uri`; the sessions that open in 5 s, near and far.
fn open(rig: &mut Rig<Endpoint>, wanted: Discriminator) -> Option<(SessionId, SessionId)> {
    let now = rig.now;
    rig.node(0).open(now, wanted, &[address("192.0.2.2:1935")]).unwrap();
    rig.run_for(Duration::from_secs(5));
    let mut opened = |node: usize| {
        events(rig.node(node)).into_iter().find_map(|event| match event {
            Event::SessionOpened { session, .. } => Some(session),
            _ => None,
        })
    };
    let (near, far) = (opened(0), opened(1));
    Some((near?, far?))
}

fn uri(text: &str) -> Discriminator {
    Discriminator::AncillaryData(text.into())
}

#[test]
fn two_of_ours_protect_their_packets_without_being_told() {
    let mut rig = rig_of(Config::default(), Config::default(), Identity::server(&[3; 64]));
    let (near, far) = open(&mut rig, uri("rtmfp://h/app")).expect("a session");
    for (node, session) in [(0, near), (1, far)] {
        let protection = rig.node(node).session(session).unwrap().protection();
        assert!(protection.is_authentic() && protection.reversed().is_authentic());
    }
}

#[test]
fn a_listener_and_a_path_have_policies_of_their_own() {
    let rule = |socket, path: Option<&str>, wanted| ProtectionRule {
        socket,
        path: path.map(str::to_owned),
        policy: Policy::both(wanted),
    };
    let server = || {
        let rules = vec![
            rule(None, Some("bank"), Protection::Require),
            rule(Some(0), None, Protection::Off),
        ];
        let protection = ProtectionRules { default: Policy::default(), rules };
        Config { protection, ..Config::default() }
    };
    for (client, path, expected) in [
        (Protection::Off, "rtmfp://h/park", Some(false)),
        (Protection::Match, "rtmfp://h/park", Some(false)),
        (Protection::Match, "rtmfp://h/bank/1", Some(true)),
        (Protection::Off, "rtmfp://h/bank", None),
    ] {
        let mut rig = rig_of(protected(client), server(), Identity::server(&[3; 64]));
        let opened = open(&mut rig, uri(path));
        let is_authentic =
            opened.map(|(_, far)| rig.node(1).session(far).unwrap().protection().is_authentic());
        assert_eq!(is_authentic, expected, "{client:?} {path}");
    }
}

#[test]
fn a_replayed_packet_is_dropped() {
    let mut rig = rig_of(Config::default(), Config::default(), Identity::server(&[3; 64]));
    let (near, _) = open(&mut rig, uri("rtmfp://h/app")).expect("a session");
    let (now, from) = (rig.now, Path { socket: 0, remote: rig.nodes[0].0 });
    let mut view = rig.node(0).session(near).unwrap();
    let flow = view.open_flow(b"test", None, FlowOptions::default());
    view.send(now, flow, (&b"once"[..]).into(), None).unwrap();
    let mut datagram = Vec::new();
    rig.node(0).poll_transmit(now, &mut datagram).expect("a packet");
    for _ in 0..3 {
        rig.node(1).handle_datagram(now, from, Ecn::NotCapable, &mut datagram.clone());
    }
    assert_eq!(rig.node(1).stats().dropped_replayed, 2);
}

#[test]
fn a_password_opens_and_a_wrong_one_does_not() {
    let door = Config {
        passwords: Passwords {
            known: vec![Credential::new("alice", "secret")],
            is_required: true,
            ..Passwords::default()
        },
        ..Config::default()
    };
    for (ours, expected) in [
        (Some(Credential::new("alice", "secret")), Some("alice")),
        (Some(Credential::new("alice", "guess")), None),
        (Some(Credential::new("bob", "secret")), None),
        (None, None),
    ] {
        let near =
            Config { passwords: Passwords { ours, ..Passwords::default() }, ..Config::default() };
        let mut rig = rig_of(near, door.clone(), Identity::server(&[3; 64]));
        let opened = open(&mut rig, uri("rtmfp://h/app"));
        let signer = opened.map(|(_, far)| {
            String::from_utf8_lossy(rig.node(1).session(far).unwrap().signer().unwrap())
                .into_owned()
        });
        assert_eq!(signer.as_deref(), expected);
    }
}

#[test]
fn a_server_proves_itself_by_password_too() {
    let near = || Config {
        passwords: Passwords {
            known: vec![Credential::new("server", "secret")],
            is_required: true,
            ..Passwords::default()
        },
        ..Config::default()
    };
    for (password, opens) in [("secret", true), ("guess", false)] {
        let ours = Some(Credential::new("server", password));
        let far =
            Config { passwords: Passwords { ours, ..Passwords::default() }, ..Config::default() };
        let mut rig = rig_of(near(), far, Identity::server(&[3; 64]));
        assert_eq!(open(&mut rig, uri("rtmfp://h/app")).is_some(), opens, "{password}");
    }
}

#[test]
fn a_server_is_found_by_fingerprint_by_name_and_in_any_group() {
    for group in [Group::Modp1024, Group::Modp2048, Group::Modp4096] {
        let keys = Keys::Ephemeral { groups: vec![group], randomness: vec![5; 64] };
        let server = Identity::new(Some("example.com"), true, keys);
        let by_fingerprint = Discriminator::Fingerprint(server.peer_id());
        let by_name =
            Discriminator::Hostname { name: b"example.com".to_vec(), ancillary_data: None };
        let other_name =
            Discriminator::Hostname { name: b"example.org".to_vec(), ancillary_data: None };
        for (wanted, opens) in [(by_fingerprint, true), (by_name, true), (other_name, false)] {
            let mut rig = Rig::new(7, Link::default());
            // A client without keys of its own can key in any group.
            let client = Keys::Ephemeral { groups: vec![group], randomness: vec![6; 64] };
            let client = Identity::new(None, false, client);
            let near = Endpoint::new(Config::default(), client, rig.now, [1; 32]);
            let far = Endpoint::new(Config::default(), server.clone(), rig.now, [2; 32]);
            rig.add(address("192.0.2.1:1000"), near);
            rig.add(address("192.0.2.2:1935"), far);
            assert_eq!(open(&mut rig, wanted.clone()).is_some(), opens, "{group:?} {wanted:?}");
        }
    }
}

#[test]
fn a_copied_certificate_ends_nobodys_session() {
    let mut rig = rig_of(Config::default(), Config::default(), Identity::server(&[3; 64]));
    let (_, far) = open(&mut rig, uri("rtmfp://h/app")).expect("a session");
    let victim = rig.node(0).peer_id();
    // The same certificate at another address, behind another private key.
    let copied = common::with_foreign_key(&Identity::peer(&mut StdRng::seed_from_u64(1)));
    assert_eq!(copied.peer_id(), victim);
    let impostor = Endpoint::new(Config::default(), copied, rig.now, [9; 32]);
    let impostor = rig.add(address("192.0.2.66:1000"), impostor);
    rig.run_for(Duration::from_secs(3));
    let now = rig.now;
    rig.node(impostor).open(now, uri("rtmfp://h/app"), &[address("192.0.2.2:1935")]).unwrap();
    rig.run_for(Duration::from_secs(60));
    let heard = events(rig.node(1));
    assert_eq!(heard, [], "neither an end nor a beginning");
    assert_eq!(rig.node(1).session_with(&victim), Some(far));
}

#[test]
fn a_copied_certificate_that_comes_first_is_in_nobodys_way() {
    let mut rig = rig_of(Config::default(), Config::default(), Identity::server(&[3; 64]));
    let owner = rig.node(0).peer_id();
    let copied = common::with_foreign_key(&Identity::peer(&mut StdRng::seed_from_u64(1)));
    let impostor = Endpoint::new(Config::default(), copied, rig.now, [9; 32]);
    let impostor = rig.add(address("192.0.2.66:1000"), impostor);
    let now = rig.now;
    rig.node(impostor).open(now, uri("rtmfp://h/app"), &[address("192.0.2.2:1935")]).unwrap();
    rig.run_for(Duration::from_secs(3));
    assert_eq!((events(rig.node(1)), rig.node(1).session_with(&owner)), (vec![], None));
    let (_, far) = open(&mut rig, uri("rtmfp://h/app")).expect("the owner's session");
    assert_eq!(rig.node(1).session_with(&owner), Some(far));
}
