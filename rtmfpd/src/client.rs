//! One connected client: its control flow, its streams, its groups.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use netgroup::wire::{GroupId, ServerMember, signature};
use rtmfp::{
    FlowOptions, ProtectionRules, SessionMut, StreamFlows,
    crypto::{PeerId, Protection},
    rtmp::{Command, FlowMetadata, FlowSync, MessageType, UserControl, Value},
    wire::{Address, Origin},
};

use crate::{
    MemberHint, replies,
    streams::{MAX_STREAMS, Name},
};

/// Groups that one client may be in.
const MAX_GROUPS: usize = 64;
/// RTMP flows that one client may have open.
const MAX_FLOWS: usize = 256;
/// Addresses taken from setPeerInfo: with the observed one, a redirect stays small.
const MAX_ADDRESSES: usize = 16;
/// Answers that a client has not acknowledged; who lets more pile up takes none.
const MAX_UNSENT: usize = 64 << 10;
/// Media that a player has not acknowledged; what comes then is not sent to it.
const MAX_UNSENT_MEDIA: usize = 4 << 20;
/// As rtmfp-cpp's server has them: what comes later is of no use to a live player.
const VIDEO_LIFETIME: Duration = Duration::from_secs(2);
const AUDIO_LIFETIME: Duration = Duration::from_millis(2200);
/// Cirrus commanded 15 s to keep NATs open.
const KEEPALIVE: UserControl = UserControl::SetKeepalive { server: 15_000, peer: 10_000 };

#[derive(Debug, Default)]
struct GroupChannel {
    group: Option<GroupId>,
    answer: Option<u64>,
}

/// What a client asks of the server's streams.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StreamRequest {
    Publish(u64, Name),
    Play(u64, Name),
    Close(u64),
}

/// What a command led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub has_connected: bool,
    pub is_malformed: bool,
    pub peer_info: Option<Vec<Address>>,
    pub stream: Option<StreamRequest>,
}

#[derive(Debug)]
pub(super) struct Client {
    pub peer: PeerId,
    app: String,
    is_connected: bool,
    is_choked: bool,
    /// The flow that the connection lives and ends with.
    control: Option<u64>,
    /// The client's flows, by the stream they are of.
    flows: HashMap<u64, u64>,
    /// Ours, by stream; 0 is the connection.
    answers: BTreeMap<u64, StreamFlows>,
    channels: HashMap<u64, GroupChannel>,
    streams_created: u32,
    sync: FlowSync,
    /// Barriers that we have made.
    barriers: u32,
}

impl Client {
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            app: String::new(),
            is_connected: false,
            is_choked: false,
            control: None,
            flows: HashMap::new(),
            answers: BTreeMap::new(),
            channels: HashMap::new(),
            streams_created: 0,
            sync: FlowSync::default(),
            barriers: 0,
        }
    }

    /// It does not take its answers.
    pub fn is_choked(&self) -> bool {
        self.is_choked
    }

    /// False if it must be rejected.
    pub fn open_rtmp_flow(&mut self, flow: u64, metadata: FlowMetadata) -> bool {
        let has_room = self.flows.len() < MAX_FLOWS;
        if has_room {
            self.flows.insert(flow, metadata.stream_id);
            if metadata.stream_id == 0 {
                self.control.get_or_insert(flow);
            }
        }
        has_room
    }

    /// False if it must be rejected.
    pub fn open_group_channel(&mut self, flow: u64) -> bool {
        let may_open = self.is_connected && self.channels.len() < MAX_GROUPS;
        if may_open {
            self.channels.insert(flow, GroupChannel::default());
        }
        may_open
    }

    pub fn is_group_channel(&self, flow: u64) -> bool {
        self.channels.contains_key(&flow)
    }

    /// The stream that a flow of the client is of.
    pub fn stream_of(&self, flow: u64) -> Option<u64> {
        self.flows.get(&flow).copied()
    }

    /// The connection ends with this flow.
    pub fn is_control(&self, flow: u64) -> bool {
        self.control == Some(flow)
    }

    /// The stream that one of our flows is of.
    pub fn stream_of_answer(&self, flow: u64) -> Option<u64> {
        let is_it = |flows: &StreamFlows| flows.all().any(|other| other == flow);
        self.answers.iter().find(|(_, flows)| is_it(flows)).map(|(stream, _)| *stream)
    }

    /// Notes that the channel is for this group. False if it has one already.
    pub fn join(&mut self, flow: u64, group: GroupId) -> bool {
        match self.channels.get_mut(&flow) {
            Some(channel) if channel.group.is_none() => {
                channel.group = Some(group);
                true
            }
            _ => false,
        }
    }

    /// The channel is about to end: the group that the client is in no longer, unless it joined
    /// that on another channel too.
    pub fn group_left_with(&mut self, flow: u64) -> Option<GroupId> {
        let group = self.channels.get(&flow)?.group?;
        let is_last =
            self.channels.values().filter(|channel| channel.group == Some(group)).count() == 1;
        is_last.then_some(group)
    }

    /// A flow of the client has ended.
    pub fn on_flow_finished(&mut self, now: Instant, view: &mut SessionMut<'_>, flow: u64) {
        if let Some(answer) = self.channels.remove(&flow).and_then(|channel| channel.answer) {
            view.close_flow(now, answer);
        }
        self.flows.remove(&flow);
    }

    /// Closes the flows on which we answered for a stream.
    pub fn close_answers(&mut self, now: Instant, view: &mut SessionMut<'_>, stream_id: u64) {
        if let Some(flows) = self.answers.remove(&stream_id) {
            flows.all().for_each(|flow| view.close_flow(now, flow));
        }
    }

    /// A message, unless its flow waits at a barrier (RFC 7425 §5.2).
    pub fn passes(&mut self, flow: u64, data: &Bytes) -> bool {
        self.sync.passes(flow, data)
    }

    /// A flow has reached a barrier; flows that go on now, with what they brought.
    pub fn on_barrier(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        flow: u64,
        id: u32,
        count: u32,
    ) -> Vec<(u64, VecDeque<Bytes>)> {
        let released = self.sync.arrive(flow, id, count);
        if self.sync.is_held(flow) {
            view.suspend_flow(now, flow, true);
        }
        released
    }

    /// Names a member of a group to the client, on the channel it joined by.
    pub fn tell_member(&mut self, now: Instant, view: &mut SessionMut<'_>, hint: &MemberHint) {
        let channel =
            self.channels.iter_mut().find(|(_, channel)| channel.group == Some(hint.group));
        let Some((flow, channel)) = channel else { return };
        let answer = *channel.answer.get_or_insert_with(|| {
            view.open_flow(signature::SERVER_CHANNEL, Some(*flow), FlowOptions::CONTROL)
        });
        // Of a client that takes no hints the next ones are no loss.
        if view.buffered_on(answer) < MAX_UNSENT {
            let _ = view.send(now, answer, ServerMember(hint.about).encode().into(), None);
        }
    }

    /// Names the client's new address to it.
    pub fn tell_address(&mut self, now: Instant, view: &mut SessionMut<'_>, address: SocketAddr) {
        self.say(now, view, 0, &replies::address_changed(address));
    }

    /// Acts on a command that came on a flow of `stream_id`.
    pub fn on_command(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        stream_id: u64,
        command: &Command,
        rules: &ProtectionRules,
    ) -> Outcome {
        match command.name.as_str() {
            "connect" => return self.connect(now, view, command, rules),
            _ if !self.is_connected => {
                return Outcome { is_malformed: true, ..Outcome::default() };
            }
            "setPeerInfo" => {
                self.acknowledge(now, view, stream_id, command);
                self.send(now, view, 0, KEEPALIVE.encode());
                let peer_info = Some(read_addresses(&command.arguments));
                return Outcome { peer_info, ..Outcome::default() };
            }
            "createStream" | "initStream" => {
                self.streams_created += 1;
                let number = Value::Number(self.streams_created.into());
                self.say(now, view, stream_id, &replies::result(command, number));
            }
            "play" | "publish" | "deleteStream" | "closeStream" => {
                self.acknowledge(now, view, stream_id, command);
                let stream = self.stream_request(stream_id, command);
                return Outcome { stream, ..Outcome::default() };
            }
            "releaseStream" | "FCPublish" | "FCUnpublish" | "receiveAudio" | "receiveVideo"
            | "pause" | "seek" => self.acknowledge(now, view, stream_id, command),
            _ => self.say(now, view, stream_id, &replies::unknown_call(command)),
        }
        Outcome::default()
    }

    fn connect(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        command: &Command,
        rules: &ProtectionRules,
    ) -> Outcome {
        const MAX_APP: usize = 256;
        let text = |name| command.object.member(name).and_then(Value::as_str).unwrap_or("");
        let app = text("app");
        // What a client says of its URL and what it enters are not bound to agree.
        if ![text("tcUrl"), app].iter().all(|path| is_protected_enough(view, path, rules)) {
            self.say(now, view, 0, &replies::rejected(command));
            return Outcome::default();
        }
        self.app = app.trim_matches('/').chars().take(MAX_APP).collect();
        let has_connected = !std::mem::replace(&mut self.is_connected, true);
        if has_connected {
            log::info!("{} connects from {} to '{}'", self.peer, view.path().remote, self.app);
        }
        self.say(now, view, 0, &replies::connected(command));
        Outcome { has_connected, ..Outcome::default() }
    }

    fn stream_request(&self, stream_id: u64, command: &Command) -> Option<StreamRequest> {
        let first = command.arguments.first();
        let named = || {
            // What follows a question mark is for the application.
            let stream = first.and_then(Value::as_str)?.split('?').next()?.to_owned();
            Some(Name { app: self.app.clone(), stream })
        };
        match command.name.as_str() {
            "publish" if stream_id != 0 => Some(StreamRequest::Publish(stream_id, named()?)),
            "play" if stream_id != 0 => Some(StreamRequest::Play(stream_id, named()?)),
            "deleteStream" => {
                first.and_then(Value::as_number).map(|number| StreamRequest::Close(number as u64))
            }
            "closeStream" => Some(StreamRequest::Close(stream_id)),
            _ => None,
        }
    }

    fn acknowledge(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        stream_id: u64,
        command: &Command,
    ) {
        if command.transaction > 0.0 {
            self.say(now, view, stream_id, &replies::result(command, Value::Undefined));
        }
    }

    /// Sends a command on a stream; 0 is the connection.
    pub fn say(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        stream_id: u64,
        command: &Command,
    ) {
        self.send(now, view, stream_id, command.encode());
    }

    /// Sends a command on a stream that must not overtake the stream's sound and pictures
    /// (RFC 7425 §5.2).
    pub fn say_after_media(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        stream_id: u64,
        command: &Command,
    ) {
        let media = self.answers.get(&stream_id).map(StreamFlows::media).unwrap_or_default();
        if !media.is_empty() {
            self.barriers = self.barriers.wrapping_add(1);
            let barrier =
                UserControl::FlowSync { id: self.barriers, count: media.len() as u32 + 1 }.encode();
            for flow in media {
                let _ = view.send(now, flow, barrier.clone(), None);
            }
            self.send(now, view, stream_id, barrier);
        }
        self.say(now, view, stream_id, command);
    }

    /// Sends a message on a stream, reliably.
    pub fn send(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        stream_id: u64,
        message: Bytes,
    ) {
        let Some(flow) = self.flow_for(view, stream_id, MessageType::COMMAND_AMF0) else { return };
        if view.buffered_on(flow) > MAX_UNSENT {
            self.is_choked = true;
            return;
        }
        let _ = view.send(now, flow, message, None);
    }

    /// Sends what somebody publishes. False if the client is too slow for it.
    pub fn send_media(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        stream_id: u64,
        kind: MessageType,
        message: &Bytes,
    ) -> bool {
        let Some(flow) = self.flow_for(view, stream_id, kind) else { return false };
        let deadline = match kind {
            MessageType::VIDEO => Some(now + VIDEO_LIFETIME),
            MessageType::AUDIO => Some(now + AUDIO_LIFETIME),
            _ => None,
        };
        view.buffered_on(flow) <= MAX_UNSENT_MEDIA
            && view.send(now, flow, message.clone(), deadline).is_ok()
    }

    /// Our flow of a stream; all of them answer the client's control flow (RFC 7425 §5.3.5).
    fn flow_for(
        &mut self,
        view: &mut SessionMut<'_>,
        stream_id: u64,
        kind: MessageType,
    ) -> Option<u64> {
        let control = self.control?;
        if !self.answers.contains_key(&stream_id) && self.answers.len() > MAX_STREAMS {
            return None;
        }
        let flows = self.answers.entry(stream_id).or_insert_with(|| StreamFlows::new(stream_id));
        Some(flows.flow_for(view, kind, Some(control)))
    }

    /// What a player must hear before anything else of its stream. rtmfp-cpp found that Flash
    /// wants to hear of the beginning on the connection's flow.
    pub fn begin_play(&mut self, now: Instant, view: &mut SessionMut<'_>, stream_id: u64) {
        let begin = UserControl::StreamBegin(stream_id as u32).encode();
        self.send(now, view, 0, begin);
        for (code, text) in [
            ("NetStream.Play.Reset", "Playing and resetting"),
            ("NetStream.Play.Start", "Started playing"),
        ] {
            self.say(now, view, stream_id, &replies::status(code, text));
        }
    }
}

impl StreamRequest {
    pub fn stream_id(&self) -> u64 {
        match self {
            Self::Publish(stream_id, _) | Self::Play(stream_id, _) | Self::Close(stream_id) => {
                *stream_id
            }
        }
    }
}

/// Whether the session's packets carry what the path asked for requires.
fn is_protected_enough(view: &mut SessionMut<'_>, uri: &str, rules: &ProtectionRules) -> bool {
    let policy = rules.policy(view.path().socket, Some(uri.as_bytes()));
    let has = view.protection();
    let is_met = |wanted, is_there: bool| wanted != Protection::Require || is_there;
    is_met(policy.hmac, has.receive_hmac.is_some())
        && is_met(policy.sequence_numbers, has.receive_sequence)
}

/// Addresses as presentation text; entries that make no sense are skipped, as some clients send
/// empty ones. Nobody is sent to loopback or link-local addresses on a client's word.
fn read_addresses(arguments: &[Value]) -> Vec<Address> {
    arguments
        .iter()
        .filter_map(|argument| argument.as_str()?.parse::<SocketAddr>().ok())
        .map(|socket| Address::new(socket, Origin::Local))
        .filter(|address| address.is_connectable() && is_sharable(address.socket))
        .take(MAX_ADDRESSES)
        .collect()
}

fn is_sharable(socket: SocketAddr) -> bool {
    match socket.ip() {
        std::net::IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        std::net::IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_addresses_are_skipped_one_by_one() {
        let texts = [
            "",
            "192.0.2.1:5",
            "192.0.2.1",
            "127.0.0.1:5",
            "[2001:db8::1]:6",
            "[fe80::1]:6",
            "0.0.0.0:1",
            "x:1",
        ];
        let addresses = read_addresses(&texts.map(Value::string));
        let expected = ["192.0.2.1:5", "[2001:db8::1]:6"]
            .map(|text| Address::new(text.parse().unwrap(), Origin::Local));
        assert_eq!(addresses, expected);
    }
}
