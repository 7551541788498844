use std::time::Duration;

use super::*;
use crate::wire::{Chunk, Chunks, Reader};

fn flow() -> SendFlow {
    SendFlow::new(2, b"GC", None, FlowOptions::default())
}

fn ack(bytes: &[u8]) -> DataAck<'_> {
    DataAck::decode_ranges(bytes).unwrap()
}

fn arrival() -> Arrival {
    Arrival { now: Instant::now(), rtt: Duration::from_millis(100) }
}

fn send(flow: &mut SendFlow, now: Instant, tsn: u64) -> Option<(u64, Vec<u8>)> {
    let sequence = flow.next_sendable(now)?;
    let mut out = Vec::new();
    flow.write(&mut out, 1200, sequence, Place::First, (tsn, now)).unwrap();
    Some((sequence, out))
}

fn decode(bytes: &[u8]) -> crate::wire::chunk::UserData<'_> {
    match Chunks::new(Reader::new(bytes)).next() {
        Some(Chunk::UserData(data)) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn options_ride_along_until_the_first_ack() {
    let now = Instant::now();
    let mut flow = flow();
    for text in ["a", "b", "c"] {
        flow.queue(Bytes::from_static(text.as_bytes()), None, 1177);
    }
    let (_, first) = send(&mut flow, now, 1).unwrap();
    let (_, second) = send(&mut flow, now, 2).unwrap();
    assert!(decode(&first).body.options.is_some() && decode(&second).body.options.is_some());
    flow.on_ack(&ack(&[2, 64, 2]), arrival());
    let (_, third) = send(&mut flow, now, 3).unwrap();
    assert!(decode(&third).body.options.is_none());
}

#[test]
fn options_go_once_in_a_packet() {
    let now = Instant::now();
    let mut flow = flow();
    for text in ["a", "b", "c"] {
        flow.queue(Bytes::from_static(text.as_bytes()), None, 1177);
    }
    let mut out = Vec::new();
    assert!(flow.write(&mut out, 1200, 1, Place::First, (1, now)).is_some());
    assert!(flow.write(&mut out, 1200, 3, Place::Behind, (2, now)).is_none());
    assert!(flow.write(&mut out, 1200, 2, Place::Next, (2, now)).is_some());
    flow.on_ack(&ack(&[2, 64, 1]), arrival());
    assert!(flow.write(&mut out, 1200, 3, Place::Behind, (3, now)).is_some());
    assert_eq!(flow.next_sendable(now), None);
}

#[test]
fn an_expired_last_message_is_followed_by_an_end_of_its_own() {
    let now = Instant::now();
    let mut flow = flow();
    flow.queue(Bytes::from_static(b"x"), Some(now + Duration::from_secs(1)), 1177);
    flow.close();
    assert_eq!(flow.final_sequence, Some(2));
}

#[test]
fn no_more_is_sent_than_a_receiver_may_be_asked_to_remember() {
    let now = Instant::now();
    let mut flow = flow();
    for _ in 0..MAX_SPAN + 10 {
        flow.queue(Bytes::from_static(b"x"), None, 1177);
    }
    flow.on_ack(&ack(&[2, 0xff, 0x7f, 0]), arrival());
    let mut last = 0;
    while let Some((sequence, _)) = send(&mut flow, now, last + 1) {
        last = sequence;
        // All but the first are acknowledged.
        let mut bytes = vec![2, 0xff, 0x7f, 0, 0];
        put_vlu(&mut bytes, sequence.saturating_sub(2));
        if sequence > 1 {
            flow.on_ack(&ack(&bytes), arrival());
        }
    }
    assert_eq!(last, MAX_SPAN);
}

#[test]
fn large_messages_are_cut_into_marked_fragments() {
    let mut flow = flow();
    flow.queue(Bytes::from(vec![0; 3000]), None, 1177);
    let controls: Vec<_> = flow.queue.iter().map(|entry| entry.fragment).collect();
    assert_eq!(controls, [FragmentControl::Begin, FragmentControl::Middle, FragmentControl::End]);
}

#[test]
fn an_expired_message_is_abandoned_whole_and_the_receiver_is_told() {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let mut flow = flow();
    flow.queue(Bytes::from(vec![0; 3000]), Some(later), 1177);
    let (first, _) = send(&mut flow, now, 1).unwrap();
    assert!(flow.on_timeout(first, 1).is_some());
    let (sequence, bytes) = send(&mut flow, later, 2).unwrap();
    let update = decode(&bytes);
    assert_eq!((sequence, update.forward_sequence), (3, 3));
    assert!(update.body.abandoned && update.body.data.is_empty());
    flow.on_ack(&ack(&[2, 64, 3]), arrival());
    assert_eq!((flow.next_sendable(later), flow.buffered()), (None, 0));
}

#[test]
fn three_naks_make_a_loss_and_a_late_ack_undoes_it() {
    let now = Instant::now();
    let mut flow = flow();
    for _ in 0..2 {
        flow.queue(Bytes::from_static(b"x"), None, 1177);
    }
    send(&mut flow, now, 1);
    send(&mut flow, now, 2);
    assert_eq!(flow.on_nak(1, 1, 3, None), NakOutcome::StillInFlight(1));
    assert_eq!(flow.on_nak(1, 1, 3, None), NakOutcome::StillInFlight(2));
    assert!(matches!(flow.on_nak(1, 1, 3, None), NakOutcome::Lost(_)));
    assert_eq!(flow.next_sendable(now), Some(1));
    flow.on_ack(&ack(&[2, 64, 2]), arrival());
    assert_eq!(flow.next_sendable(now), None);
}

#[test]
fn what_is_overtaken_and_overdue_is_lost_at_once() {
    let now = Instant::now();
    let mut flow = flow();
    for _ in 0..2 {
        flow.queue(Bytes::from_static(b"x"), None, 1177);
    }
    send(&mut flow, now, 1);
    send(&mut flow, now, 2);
    assert_eq!(flow.on_nak(1, 1, 3, Some(now)), NakOutcome::StillInFlight(1));
    let later = now + Duration::from_millis(1);
    assert!(matches!(flow.on_nak(1, 1, 3, Some(later)), NakOutcome::Lost(_)));
}

#[test]
fn a_closed_flow_completes_when_its_final_fragment_is_acked() {
    let now = Instant::now();
    let mut flow = flow();
    flow.queue(Bytes::from_static(b"x"), None, 1177);
    send(&mut flow, now, 1);
    flow.close();
    assert!(!flow.queue(Bytes::from_static(b"late"), None, 1177));
    let (sequence, bytes) = send(&mut flow, now, 2).unwrap();
    assert!(sequence == 2 && decode(&bytes).body.is_final && decode(&bytes).body.abandoned);
    flow.on_ack(&ack(&[2, 64, 2]), arrival());
    assert!(flow.is_complete());
}

#[test]
fn an_ack_of_what_was_never_sent_frees_nothing() {
    let mut flow = flow();
    flow.queue(Bytes::from_static(b"x"), None, 1177);
    let acked = flow.on_ack(&ack(&[2, 64, 0x83, 0xff, 0x7f, 5, 5]), arrival());
    assert_eq!((acked.bytes, flow.buffered()), (0, 1));
}

#[test]
fn a_full_receiver_stops_the_flow() {
    let now = Instant::now();
    let mut flow = flow();
    flow.queue(Bytes::from_static(b"x"), None, 1177);
    flow.on_ack(&ack(&[2, 0, 0]), arrival());
    assert_eq!(flow.next_sendable(now), None);
    assert!(flow.is_suspended());
}
