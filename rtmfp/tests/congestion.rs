//! Congestion told by marks and by delay, before anything is lost.

mod common;

use std::time::Duration;

use common::{address, events};
use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, CongestionSignals, Endpoint, Event, FlowEvent, FlowOptions,
    crypto::{Discriminator, Identity},
};
use simnet::{Link, NetworkStats, rig::Rig};

const RATE: u64 = 250_000;
const BYTES: usize = 4_000_000;

/// Sends 4 MB through a link of 250 kB/s with half a second of queue. How long it took, what the
/// network saw, and the round trip at the end.
fn transfer(
    congestion: CongestionSignals,
    mark_above: Option<Duration>,
) -> (Duration, NetworkStats, Duration) {
    let link = Link {
        delay: Duration::from_millis(20),
        rate: Some(RATE),
        queue: Duration::from_millis(500),
        mark_above,
        ..Link::default()
    };
    let mut rig = Rig::new(3, link);
    let config = Config { congestion, ..Config::default() };
    for seed in [1, 2] {
        let identity = Identity::peer(&mut StdRng::seed_from_u64(seed.into()));
        let endpoint = Endpoint::new(config.clone(), identity, rig.now, [seed; 32]);
        rig.add(address(&format!("192.0.2.{seed}:1000")), endpoint);
    }
    let (now, far) = (rig.now, rig.node(1).peer_id());
    rig.node(0).open(now, Discriminator::Fingerprint(far), &[address("192.0.2.2:1000")]).unwrap();
    rig.run_for(Duration::from_secs(1));
    let session = rig.node(0).session_with(&far).expect("a session");
    let begin = rig.now;
    let mut view = rig.node(0).session(session).unwrap();
    let flow = view.open_flow(b"test", None, FlowOptions::default());
    view.send(begin, flow, vec![7; BYTES].into(), None).unwrap();
    let is_done = rig.run_until(Duration::from_secs(60), |rig| {
        events(rig.node(1))
            .iter()
            .any(|event| matches!(event, Event::Flow { event: FlowEvent::Message { .. }, .. }))
    });
    assert!(is_done);
    let took = rig.now - begin;
    let rtt = rig.node(0).session(session).unwrap().rtt().unwrap();
    (took, rig.network.stats(), rtt)
}

/// As long as the link needs and a little.
fn assert_well_used(took: Duration) {
    let ideal = Duration::from_secs_f64(BYTES as f64 / RATE as f64);
    assert!(took < ideal.mul_f64(1.25), "{took:?} of {ideal:?}");
}

#[test]
fn marks_keep_the_queue_from_overflowing() {
    let signals = CongestionSignals { ecn: true, delay: None };
    let (took, stats, _) = transfer(signals, Some(Duration::from_millis(60)));
    assert!(stats.marked > 0);
    assert_eq!(stats.lost, 0, "{stats:?}");
    assert_well_used(took);
}

#[test]
fn without_marks_the_queue_overflows() {
    let signals = CongestionSignals { ecn: false, delay: None };
    let (_, stats, _) = transfer(signals, Some(Duration::from_millis(60)));
    assert!(stats.marked == 0 && stats.lost > 0, "{stats:?}");
}

#[test]
fn delay_keeps_the_queue_short() {
    let delay = Some(Duration::from_millis(100));
    let (took, stats, rtt) = transfer(CongestionSignals { ecn: false, delay }, None);
    assert_eq!(stats.lost, 0, "{stats:?}");
    assert!(rtt < Duration::from_millis(250), "{rtt:?}");
    assert_well_used(took);
}
