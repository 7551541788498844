//! Endpoints on a simulated network.
#![allow(dead_code, reason = "each test uses some of it")]

use std::{net::SocketAddr, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Endpoint, Event, SessionId,
    crypto::{Discriminator, Group, Identity, KeyPair},
};
use simnet::{Link, rig::Rig};

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn add_peer(rig: &mut Rig<Endpoint>, at: &str, seed: u8) -> usize {
    let identity = Identity::peer(&mut StdRng::seed_from_u64(seed.into()));
    let endpoint = Endpoint::new(Config::default(), identity, rig.now, [seed; 32]);
    rig.add(address(at), endpoint)
}

pub fn add_server(rig: &mut Rig<Endpoint>, at: &str, seed: u8) -> usize {
    let config = Config { introduces: true, ..Config::default() };
    let endpoint = Endpoint::new(config, Identity::server(&[seed; 64]), rig.now, [seed; 32]);
    rig.add(address(at), endpoint)
}

/// Two peers, the first of which opens a session to the second.
pub fn open_pair(seed: u64, link: Link) -> (Rig<Endpoint>, SessionId, SessionId) {
    let mut rig = Rig::new(seed, link);
    let a = add_peer(&mut rig, "192.0.2.1:1000", 1);
    let b = add_peer(&mut rig, "192.0.2.2:1000", 2);
    let wanted = Discriminator::Fingerprint(rig.node(b).peer_id());
    let now = rig.now;
    rig.node(a).open(now, wanted, &[address("192.0.2.2:1000")]).unwrap();
    let (mut near, mut far) = (None, None);
    rig.run_until(Duration::from_secs(95), |rig| {
        near = near.or_else(|| opened(rig.node(a)));
        far = far.or_else(|| opened(rig.node(b)));
        near.is_some() && far.is_some()
    });
    (rig, near.expect("initiator's session opens"), far.expect("responder's session opens"))
}

/// The next `SessionOpened`, dropping what comes before it.
pub fn opened(endpoint: &mut Endpoint) -> Option<SessionId> {
    loop {
        match endpoint.poll_event()? {
            Event::SessionOpened { session, .. } => return Some(session),
            _ => continue,
        }
    }
}

pub fn events(endpoint: &mut Endpoint) -> Vec<Event> {
    std::iter::from_fn(|| endpoint.poll_event()).collect()
}

/// An identity with the certificate of `owner` and another private key: what a thief can make.
pub fn with_foreign_key(owner: &Identity) -> Identity {
    let foreign = KeyPair::generate(Group::Modp1024, &mut StdRng::seed_from_u64(99));
    Identity::with_certificate(owner.certificate().clone(), vec![foreign])
}
