//! Goodput and delivery over bad networks, in virtual time, as a table kept in the repository.
//!
//! The same seeds give the same table; `UPDATE_TABLES=1 cargo test -p interop --test loss_matrix`
//! writes it anew after a change that means to change it.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use rtmfp::{
    Config, Endpoint, Event, FlowEvent, FlowOptions, SessionId,
    crypto::{Discriminator, Identity},
};
use simnet::{Link, rig::Rig};

const RATE: u64 = 1_000_000;
const LOSSES: [f64; 4] = [0.0, 0.01, 0.05, 0.20];
const DELAYS: [u64; 3] = [1, 40, 200];
const KINDS: [Kind; 3] = [Kind::Reorder, Kind::Duplicate, Kind::Bufferbloat];
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/loss-matrix.md");

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Half the delay, and five milliseconds, of jitter.
    Reorder,
    /// A tenth of all datagrams arrives twice.
    Duplicate,
    /// Two seconds of queue.
    Bufferbloat,
}

fn link(loss: f64, delay: u64, kind: Kind) -> Link {
    let delay = Duration::from_millis(delay);
    let plain = Link { delay, loss, rate: Some(RATE), ..Link::default() };
    match kind {
        Kind::Reorder => Link { jitter: delay / 2 + Duration::from_millis(5), ..plain },
        Kind::Duplicate => Link { duplicates: 0.1, ..plain },
        Kind::Bufferbloat => Link { queue: Duration::from_secs(2), ..plain },
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Two endpoints with an open session, the first one's handle, and a flow of it.
fn pair(link: Link) -> (Rig<Endpoint>, SessionId, u64) {
    let mut rig = Rig::new(11, link);
    for seed in [1, 2] {
        let identity = Identity::peer(&mut StdRng::seed_from_u64(seed.into()));
        let endpoint = Endpoint::new(Config::default(), identity, rig.now, [seed; 32]);
        rig.add(address(&format!("192.0.2.{seed}:1000")), endpoint);
    }
    let (now, far) = (rig.now, rig.node(1).peer_id());
    rig.node(0).open(now, Discriminator::Fingerprint(far), &[address("192.0.2.2:1000")]).unwrap();
    let is_open = |rig: &mut Rig<Endpoint>| rig.node(0).session_with(&far).is_some();
    assert!(rig.run_until(Duration::from_secs(90), is_open));
    let session = rig.node(0).session_with(&far).unwrap();
    let flow = rig.node(0).session(session).unwrap().open_flow(b"t", None, FlowOptions::default());
    (rig, session, flow)
}

fn messages(endpoint: &mut Endpoint) -> Vec<bytes::Bytes> {
    let message = |event| match event {
        Event::Flow { event: FlowEvent::Message { data, .. }, .. } => Some(data),
        _ => None,
    };
    std::iter::from_fn(|| endpoint.poll_event()).filter_map(message).collect()
}

/// Every byte of a message says which one it is and where in it.
fn content(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((4..length).map(|at| (number as usize * 31 + at) as u8));
    bytes
}

fn number_of(message: &[u8]) -> u32 {
    let number = u32::from_be_bytes(message[..4].try_into().unwrap());
    assert!(message == content(number, message.len()), "wrong bytes in message {number}");
    number
}

/// Kilobytes a second of half a megabyte, reliably and in order.
fn reliable(link: Link) -> f64 {
    const COUNT: u32 = 50;
    const LENGTH: usize = 10_000;
    let (mut rig, session, flow) = pair(link);
    let begin = rig.now;
    let mut view = rig.node(0).session(session).unwrap();
    for number in 0..COUNT {
        view.send(begin, flow, content(number, LENGTH).into(), None).unwrap();
    }
    let mut expected = 0;
    let is_done = rig.run_until(Duration::from_secs(600), |rig| {
        for message in messages(rig.node(1)) {
            assert_eq!(number_of(&message), expected, "in order");
            expected += 1;
        }
        expected == COUNT
    });
    assert!(is_done, "stalled at message {expected} of {COUNT}");
    f64::from(COUNT) * LENGTH as f64 / 1000.0 / (rig.now - begin).as_secs_f64()
}

/// Percent of messages that arrive when each is worth sending for a second only: 100 kB/s for 20 s.
fn expiring(link: Link) -> f64 {
    const COUNT: u32 = 2000;
    const LENGTH: usize = 1000;
    let (mut rig, session, flow) = pair(link);
    let mut arrived = 0u32;
    let mut last = None;
    for number in 0..COUNT {
        let now = rig.now;
        let mut view = rig.node(0).session(session).unwrap();
        let deadline = Some(now + Duration::from_secs(1));
        view.send(now, flow, content(number, LENGTH).into(), deadline).unwrap();
        rig.run_for(Duration::from_millis(10));
        for message in messages(rig.node(1)) {
            let number = number_of(&message);
            assert!(last.is_none_or(|last| number > last), "in order and once");
            (last, arrived) = (Some(number), arrived + 1);
        }
    }
    // What is said last, reliably, must still get through.
    let now = rig.now;
    rig.node(0)
        .session(session)
        .unwrap()
        .send(now, flow, content(COUNT, LENGTH).into(), None)
        .unwrap();
    let mut is_over = false;
    let has_ended = rig.run_until(Duration::from_secs(120), |rig| {
        for message in messages(rig.node(1)) {
            let number = number_of(&message);
            is_over |= number == COUNT;
            arrived += u32::from(number < COUNT);
        }
        is_over
    });
    assert!(has_ended, "stalled: {link:?}");
    f64::from(arrived) * 100.0 / f64::from(COUNT)
}

fn table() -> String {
    let mut out = String::from(
        "# Over bad networks\n\nMade by `interop/tests/loss_matrix.rs` in virtual time, with fixed \
         seeds; the test fails if the code\nmakes another table. A link of 1000 kB/s each way, one \
         session with HMACs and sequence numbers. No cell may\nstall, and every byte delivered is \
         checked.\n\n- *reliable*: kB/s of half a megabyte in messages of 10 kB, slow start \
         included.\n- *expiring*: percent of messages of 1 kB, 100 a second, that arrive in \
         order when each is given up after a second.\n- *reorder*: jitter of half the delay and \
         5 ms; *duplicate*: a tenth twice; *bufferbloat*: a queue of two seconds.\n\n",
    );
    out += "| loss | delay | reorder: reliable | expiring | duplicate: reliable | expiring | bufferbloat: reliable | expiring |\n";
    out += "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for loss in LOSSES {
        for delay in DELAYS {
            write!(out, "| {:.0} % | {delay} ms |", loss * 100.0).unwrap();
            for kind in KINDS {
                let link = link(loss, delay, kind);
                write!(out, " {:.0} | {:.1} |", reliable(link), expiring(link)).unwrap();
            }
            out += "\n";
        }
    }
    out
}

#[test]
fn no_cell_stalls_and_the_table_is_the_one_that_is_kept() {
    let made = table();
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(TABLE, &made).unwrap();
    }
    let kept = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(
        made == kept,
        "the table has changed; look at the difference and keep it with UPDATE_TABLES=1:\n{made}"
    );
}

#[test]
fn losses_in_bursts_stall_nothing() {
    for burst in [2.0, 8.0, 30.0] {
        let link = Link { loss_burst: Some(burst), ..link(0.05, 40, Kind::Bufferbloat) };
        assert!(reliable(link) > 50.0, "kB/s in bursts of {burst}");
        assert!(expiring(link) > 50.0, "percent in bursts of {burst}");
    }
}
