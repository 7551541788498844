//! Members of a group: how they prove themselves, what they report, how they ask for a stream.
//! Adobe never wrote this down; `docs/protocol-notes.md` says what is known, and whence.

use netgroup::wire::{
    Announcement, Availability, Fragment, FragmentStart, Join, MediaControl, Report, StreamKey,
    StreamParameters, control,
};
use rtmfp::crypto::PeerId;

use super::cases;
use crate::judge::{
    CaseResult, Context, Failure, check, failed,
    member::{Joining, Neighbour},
    probe::hex,
};

const KEY: StreamKey = StreamKey([0x5a; 32]);

/// Whoever comes with this instead of a join is told nothing.
fn not_believed(context: &Context, make: impl FnOnce(Join) -> Join, what: &str) -> CaseResult {
    let mut neighbour = Neighbour::meet(context)?;
    neighbour.expect_join()?;
    let join = make(neighbour.join());
    neighbour.say(&join.encode());
    neighbour.say(&[control::HELLO]);
    neighbour.say(&[control::READY_EXACT]);
    neighbour.say(&Report::default().encode());
    match neighbour.expect_report() {
        Ok(_) => Err(failed(format!("no report after {what}"), "a report")),
        Err(_) => is_there(&mut neighbour),
    }
}

/// The member is still running, in a session or not: one that does not believe us may leave.
fn is_there(neighbour: &mut Neighbour) -> CaseResult {
    let server = neighbour.server();
    server.ping(b"still there?").map(|_| ())
}

/// A neighbour that still reports after it was told this.
fn still_reports_after(context: &Context, messages: &[&[u8]]) -> CaseResult {
    let mut neighbour = Neighbour::meet(context)?;
    neighbour.expect_join()?;
    let join = neighbour.join().encode();
    neighbour.say(&join);
    messages.iter().for_each(|message| neighbour.say(message));
    neighbour.say(&[control::READY_EXACT]);
    neighbour.say(&Report::default().encode());
    neighbour.expect_report().map(|_| ())
}

/// A neighbour to which we have announced the stream that it plays, and that answered.
fn answered(context: &Context) -> Result<Neighbour, Failure> {
    let mut neighbour = Neighbour::meet(context)?.become_neighbours()?;
    let parameters = StreamParameters::default();
    let announcement = Announcement { name: "stream".into(), key: KEY, parameters };
    neighbour.say_of_stream(&MediaControl::Announce(announcement));
    neighbour.expect_media_control("an announcement in return", |message| match message {
        MediaControl::Announce(announcement) if announcement.key == KEY => Some(()),
        _ => None,
    })?;
    Ok(neighbour)
}

/// The same, where answering as such is not in question.
fn playing(context: &Context) -> Result<Neighbour, Failure> {
    answered(context)
        .map_err(|_| Failure::NotApplicable("the member plays no stream named \"stream\"".into()))
}

/// That has been told that we hold these fragments.
fn offered(context: &Context, last: u64) -> Result<Neighbour, Failure> {
    let mut neighbour = playing(context)?;
    neighbour.say_of_stream(&MediaControl::Availability(Availability::of(1, last, |_| u64::MAX)));
    Ok(neighbour)
}

/// It has asked for some of what it was offered.
fn asked_for(context: &Context, last: u64) -> Result<Neighbour, Failure> {
    let mut neighbour = offered(context, last)?;
    neighbour.expect_media_control("a push mask or a pull", |message| match message {
        MediaControl::PushMask(mask) => (mask != 0).then_some(()),
        MediaControl::Pull(fragment) => (1..=last).contains(&fragment).then_some(()),
        _ => None,
    })?;
    Ok(neighbour)
}

fn script(id: u64) -> Vec<u8> {
    let start = FragmentStart { kind: 0x12, timestamp: 40 * id as u32 };
    Fragment::encode(id, Some(start), 0, b"\x02\x00\x01x").to_vec()
}

cases! {
    "member.joins-at-server", "notes §Joining at the server", "a client names its group on a GC flow", |context| {
        let joining = Joining::await_join(context)?;
        let wanted = context.group()?.group_id();
        check(joining.group == wanted, &hex(&wanted), hex(&joining.group))
    };
    "member.looks-for-members", "notes §Joining at the server", "a client that is told of a member looks for it by its fingerprint", |context| {
        Neighbour::meet(context).map(|_| ())
    };
    "member.join", "notes §Groups", "the one that opened the session joins first, for us, in our group", |context| {
        let mut neighbour = Neighbour::meet(context)?;
        let join = neighbour.expect_join()?;
        let wanted = neighbour.join();
        check(join.group == wanted.group && join.to == neighbour.session.peer_id, "our group and our peer ID", (hex(&join.group), join.to))
    };
    "member.proof", "notes §Groups", "the join proves that its sender knows the groupspec", |context| {
        let mut neighbour = Neighbour::meet(context)?;
        let join = neighbour.expect_join()?;
        check(neighbour.is_proof(&join), "HMAC-SHA256 of our near nonce under the canonical groupspec", hex(&join.proof))
    };
    "member.reports", "notes §Groups", "a member that proved itself is sent a report", |context| Neighbour::meet(context)?.become_neighbours().map(|_| ());
    "member.report-observed", "notes §Groups", "a report says where its receiver was seen", |context| {
        let mut neighbour = Neighbour::meet(context)?;
        neighbour.expect_join()?;
        let join = neighbour.join().encode();
        for message in [&join[..], &[control::HELLO], &[control::READY_EXACT]] {
            neighbour.say(message);
        }
        neighbour.say(&Report::default().encode());
        let report = neighbour.expect_report()?;
        let ours = neighbour.session.probe.address();
        check(report.observed.map(|address| address.socket) == Some(ours), &ours.to_string(), report.observed)
    };
    "member.wrong-proof", "notes §Groups", "who proves nothing is told nothing", |context| not_believed(context, |join| Join { proof: [7; 32], ..join }, "a wrong proof");
    "member.wrong-group", "notes §Groups", "who names another group is told nothing", |context| not_believed(context, |join| Join { group: [7; 32], ..join }, "another group");
    "member.wrong-receiver", "notes §Groups", "a join for somebody else is not believed", |context| not_believed(context, |join| Join { to: PeerId([7; 32]), ..join }, "a join for somebody else");
    "member.no-join", "notes §Groups", "who does not join is told nothing", |context| {
        let mut neighbour = Neighbour::meet(context)?;
        neighbour.expect_join()?;
        neighbour.say(&Report::default().encode());
        match neighbour.expect_report() {
            Ok(_) => Err(failed("no report to who did not join", "a report")),
            Err(_) => is_there(&mut neighbour),
        }
    };
    "member.unknown-message", "notes §Groups", "a message of an unknown type is ignored", |context| still_reports_after(context, &[&[0x6e, 1, 2, 3]]);
    "member.empty-message", "notes §Groups", "an empty message is ignored", |context| still_reports_after(context, &[&[]]);
    "member.malformed-report", "notes §Groups", "a report that does not parse is ignored", |context| still_reports_after(context, &[&[control::REPORT, 0x7f, 0x0d]]);
    "member.absurd-report", "notes §Groups", "a report of members that cannot be does no harm", |context| {
        let mut bytes = Report::default().encode();
        for _ in 0..40 {
            bytes.extend([0x22, 0x21, 0x0f]);
            bytes.extend([0xee; 32]);
            bytes.extend([0xff, 0xff, 0xff, 0xff, 0x7f, 0x00]);
        }
        still_reports_after(context, &[&bytes])
    };
    "member.answers-announcement", "notes §Multicast", "who plays a stream answers its announcement with one", |context| answered(context).map(|_| ());
    "member.refuses-unwanted", "notes §Multicast", "a stream that nobody wants is not asked for", |context| {
        let mut neighbour = Neighbour::meet(context)?.become_neighbours()?;
        let parameters = StreamParameters::default();
        let announcement = Announcement { name: "nobody plays this".into(), key: KEY, parameters };
        neighbour.say_of_stream(&MediaControl::Announce(announcement));
        neighbour.say_of_stream(&MediaControl::Availability(Availability::of(1, 64, |_| u64::MAX)));
        let asked = neighbour.expect_media_control("a request", |message| match message {
            MediaControl::PushMask(mask) if mask != 0 => Some(()),
            MediaControl::Pull(_) => Some(()),
            _ => None,
        });
        match asked {
            Ok(()) => Err(failed("no request", "a push mask or a pull")),
            Err(_) => is_there(&mut neighbour),
        }
    };
    "member.asks", "notes §Multicast", "who is offered fragments asks for them, by push or by pull", |context| {
        asked_for(context, 64).map(|_| ())
    };
    "member.maps", "notes §Multicast", "fragments that arrived show in the availability map", |context| {
        let mut neighbour = asked_for(context, 40)?;
        for id in 1..=40 {
            neighbour.send_fragment(&script(id));
        }
        neighbour.expect_media_control("a map with fragment 40", |message| match message {
            MediaControl::Availability(map) => map.has(40).then_some(()),
            _ => None,
        })
    };
    "member.nonsense-fragments", "notes §Multicast", "fragments of nonsense do no harm", |context| {
        let mut neighbour = offered(context, 40)?;
        for bytes in [&[][..], &[0x20], &[0x20, 0, 9, 0, 0, 0, 0], &[0xff; 40], &[0x30, 5, 1, 9]] {
            neighbour.send_fragment(bytes);
        }
        neighbour.session.prove()
    };
    "member.absurd-map", "notes §Multicast", "a map of fragments up to the end of numbers does no harm", |context| {
        let mut neighbour = playing(context)?;
        neighbour.say_of_stream(&MediaControl::Availability(Availability::of(u64::MAX >> 1, (u64::MAX >> 1) + 64, |_| u64::MAX)));
        neighbour.session.prove()
    };
}
