use super::*;

fn body(fragment: FragmentControl, data: &[u8]) -> NextUserData<'_> {
    NextUserData { fragment, abandoned: false, is_final: false, options: None, data }
}

fn whole(data: &[u8]) -> NextUserData<'_> {
    body(FragmentControl::Whole, data)
}

const LIMITS: ReceiveLimits = ReceiveLimits { buffer: 8192, message: 4096, session: 1 << 20 };

struct Rig {
    flow: RecvFlow,
    delivered: Vec<Vec<u8>>,
    gaps: usize,
}

impl Rig {
    fn new(limits: ReceiveLimits) -> Self {
        Self { flow: RecvFlow::new(3, limits), delivered: Vec::new(), gaps: 0 }
    }

    fn take(&mut self, sequence: u64, forward: u64, body: NextUserData<'_>) {
        let (delivered, gaps) = (&mut self.delivered, &mut self.gaps);
        self.flow.on_fragment(sequence, forward, &body, 512, |what| match what {
            Delivered::Message(message) => delivered.push(message.to_vec()),
            Delivered::Gap => *gaps += 1,
        });
    }
}

#[test]
fn original_order_waits_for_the_gap() {
    let mut rig = Rig::new(ReceiveLimits::default());
    rig.take(2, 0, whole(b"b"));
    rig.take(3, 0, whole(b"c"));
    assert!(rig.delivered.is_empty());
    rig.take(1, 0, whole(b"a"));
    assert_eq!(rig.delivered, [b"a", b"b", b"c"]);
}

#[test]
fn network_order_does_not_wait() {
    let mut rig = Rig::new(ReceiveLimits::default());
    rig.flow.set_order(ReceiveOrder::Network);
    rig.take(2, 0, whole(b"b"));
    rig.take(1, 0, whole(b"a"));
    rig.take(2, 0, whole(b"b"));
    rig.take(3, 0, whole(b"c"));
    assert_eq!(rig.delivered, [b"b", b"a", b"c"]);
}

#[test]
fn fragments_make_a_message_and_abandoned_ones_drop_it() {
    use FragmentControl::{Begin, End, Middle};
    let mut rig = Rig::new(ReceiveLimits::default());
    rig.take(1, 0, body(Begin, b"x"));
    rig.take(3, 0, body(End, b"z"));
    rig.take(2, 0, body(Middle, b"y"));
    assert_eq!(rig.delivered, [b"xyz"]);
    rig.take(4, 0, body(Begin, b"never"));
    rig.take(6, 0, whole(b"after"));
    rig.take(7, 5, whole(b"more"));
    assert_eq!(rig.delivered[1..], [b"after".to_vec(), b"more".to_vec()]);
}

#[test]
fn the_final_fragment_finishes_the_flow_even_when_it_comes_early() {
    let mut rig = Rig::new(ReceiveLimits::default());
    let last = NextUserData { abandoned: true, is_final: true, ..whole(b"") };
    rig.take(2, 0, last);
    assert!(!rig.flow.is_finished());
    rig.take(1, 0, whole(b"a"));
    assert!(rig.flow.is_finished());
    assert_eq!(rig.delivered, [b"a"]);
}

#[test]
fn what_is_held_is_bounded() {
    let mut rig = Rig::new(LIMITS);
    for sequence in (3..2000).rev() {
        rig.take(sequence, 0, whole(&[0; 1000]));
    }
    rig.take(1 << 40, 0, whole(b"far ahead"));
    assert!(rig.flow.buffered <= 8192);
    let mut ack = Vec::new();
    rig.flow.write_ack(&mut ack, 1000);
    rig.take(1, 0, whole(b"a"));
    rig.take(2, 0, whole(b"b"));
    assert!(rig.delivered.len() >= 2);
}

#[test]
fn an_endless_message_gets_its_flow_rejected() {
    let mut rig = Rig::new(LIMITS);
    rig.take(1, 0, body(FragmentControl::Begin, &[0; 1000]));
    for sequence in 2..10 {
        rig.take(sequence, 0, body(FragmentControl::Middle, &[0; 1000]));
    }
    assert!(!rig.flow.is_open() && rig.delivered.is_empty());
    let mut ack = Vec::new();
    rig.flow.write_ack(&mut ack, 1000);
    assert_eq!(ack[0], 0x5e);
}

fn given_up(is_final: bool) -> NextUserData<'static> {
    NextUserData { abandoned: true, is_final, ..whole(b"") }
}

#[test]
fn what_the_sender_gave_up_shows_as_a_gap_where_it_was() {
    let mut rig = Rig::new(ReceiveLimits::default());
    rig.take(1, 0, whole(b"a"));
    rig.take(3, 0, whole(b"c"));
    assert_eq!((rig.delivered.len(), rig.gaps), (1, 0));
    rig.take(4, 2, whole(b"d"));
    assert_eq!((rig.delivered.len(), rig.gaps), (3, 1));
    rig.take(5, 4, given_up(true));
    assert_eq!((rig.gaps, rig.flow.is_finished()), (1, true), "an empty end is no loss");
}

#[test]
fn in_network_order_a_gap_shows_at_once() {
    let mut rig = Rig::new(ReceiveLimits::default());
    rig.flow.set_order(ReceiveOrder::Network);
    rig.take(3, 0, whole(b"c"));
    rig.take(4, 1, whole(b"d"));
    assert_eq!((rig.delivered.len(), rig.gaps), (2, 1), "1 is lost, 2 may come");
    rig.take(2, 1, whole(b"b"));
    rig.take(5, 4, whole(b"e"));
    assert_eq!((rig.delivered.len(), rig.gaps), (4, 1));
    rig.take(6, 5, given_up(false));
    assert_eq!(rig.gaps, 2);
}

#[test]
fn nothing_comes_behind_the_end() {
    let mut rig = Rig::new(ReceiveLimits::default());
    rig.take(1, 0, NextUserData { is_final: true, ..whole(b"last") });
    assert!(rig.flow.is_finished() && !rig.flow.is_open());
    rig.take(2, 0, whole(b"more"));
    rig.take(4, 0, whole(b"and more"));
    assert_eq!((rig.delivered.len(), rig.flow.held()), (1, 0));
}

#[test]
fn separate_runs_are_remembered_as_far_as_there_is_room() {
    let mut flow = RecvFlow::new(3, ReceiveLimits::default());
    for sequence in (3..100).step_by(2) {
        flow.on_fragment(sequence, 0, &whole(b"x"), 8, |_| {});
    }
    assert_eq!(flow.beyond.len(), 8);
    flow.on_fragment(1, 0, &whole(b"x"), 8, |_| {});
    flow.on_fragment(2, 0, &whole(b"x"), 8, |_| {});
    assert_eq!(flow.cumulative, 3, "what closes the first gap is always taken");
}
