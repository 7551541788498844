//! One connected client: its control flow, its streams, its groups.

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use super::{
    control_options,
    group_channel::{GROUP_SIGNATURE, MemberHint},
    registry::GroupId,
};
use crate::{
    Endpoint, ProtectionRules, SessionId, SessionMut,
    crypto::{PeerId, Protection},
    rtmp::{Command, FlowMetadata, Message, MessageType, UserControl, Value},
    wire::{Address, Origin},
};

/// Groups that one client may be in.
const MAX_GROUPS: usize = 64;
/// RTMP flows that one client may have open.
const MAX_FLOWS: usize = 256;
/// Addresses taken from setPeerInfo: with the observed one, a redirect stays small.
const MAX_ADDRESSES: usize = 16;
/// Cirrus commanded 15 s to keep NATs open.
const KEEPALIVE: UserControl = UserControl::SetKeepalive { server: 15_000, peer: 10_000 };

#[derive(Debug)]
struct RtmpFlow {
    stream_id: u64,
    /// Our flow that answers it, once there was something to say.
    answer: Option<u64>,
}

#[derive(Debug, Default)]
struct GroupChannel {
    group: Option<GroupId>,
    answer: Option<u64>,
}

/// What a message led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub has_connected: bool,
    pub is_malformed: bool,
    pub peer_info: Option<Vec<Address>>,
}

#[derive(Debug)]
pub(super) struct Client {
    pub peer: PeerId,
    is_connected: bool,
    flows: HashMap<u64, RtmpFlow>,
    channels: HashMap<u64, GroupChannel>,
    streams_created: u32,
}

impl Client {
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            is_connected: false,
            flows: HashMap::new(),
            channels: HashMap::new(),
            streams_created: 0,
        }
    }

    /// False if it must be rejected.
    pub fn open_rtmp_flow(&mut self, flow: u64, metadata: FlowMetadata) -> bool {
        let has_room = self.flows.len() < MAX_FLOWS;
        if has_room {
            self.flows.insert(flow, RtmpFlow { stream_id: metadata.stream_id, answer: None });
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

    /// The channel has ended: the group that the client is no longer in, unless it joined twice.
    pub fn leave(&mut self, flow: u64) -> Option<GroupId> {
        let group = self.channels.get(&flow)?.group?;
        let is_last =
            self.channels.values().filter(|channel| channel.group == Some(group)).count() == 1;
        is_last.then_some(group)
    }

    /// A flow of the client has ended: so does our answer to it.
    pub fn close_flow(&mut self, now: Instant, view: &mut SessionMut<'_>, flow: u64) {
        let channel = self.channels.remove(&flow).and_then(|channel| channel.answer);
        let rtmp = self.flows.remove(&flow).and_then(|flow| flow.answer);
        for answer in channel.into_iter().chain(rtmp) {
            view.close_flow(now, answer);
        }
    }

    /// Names a member of a group to the client, on the channel it joined by.
    pub fn tell_member(&mut self, now: Instant, view: &mut SessionMut<'_>, hint: &MemberHint) {
        let channel =
            self.channels.iter_mut().find(|(_, channel)| channel.group == Some(hint.group));
        let Some((flow, channel)) = channel else { return };
        let answer = *channel
            .answer
            .get_or_insert_with(|| view.open_flow(GROUP_SIGNATURE, Some(*flow), control_options()));
        let _ = view.send(now, answer, hint.encode().into(), None);
    }

    /// Names the client's new address to it, as rtmfp-cpp's server does.
    pub fn tell_address(&mut self, now: Instant, view: &mut SessionMut<'_>, address: SocketAddr) {
        let control = self.flows.iter().find(|(_, flow)| flow.stream_id == 0);
        let Some(flow) = control.map(|(flow, _)| *flow) else { return };
        let info = Value::object([
            ("level", Value::string("status")),
            ("code", Value::string("NetConnection.AddressChange.Notify")),
            ("description", Value::string("Your address has changed")),
            ("publicAddress", Value::string(address.to_string())),
        ]);
        self.answer(now, view, flow, &Command::new("onStatus", 0.0, vec![info]));
    }

    pub fn on_message(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        flow: u64,
        message: &Message,
        rules: &ProtectionRules,
    ) -> Outcome {
        let is_command =
            matches!(message.kind, MessageType::COMMAND_AMF0 | MessageType::COMMAND_AMF3);
        if !is_command || !self.flows.contains_key(&flow) {
            return Outcome::default();
        }
        let Ok(command) = Command::decode(message) else {
            return Outcome { is_malformed: true, ..Outcome::default() };
        };
        let Some(mut view) = endpoint.session(session) else { return Outcome::default() };
        self.on_command(now, &mut view, flow, &command, rules)
    }

    fn on_command(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        flow: u64,
        command: &Command,
        rules: &ProtectionRules,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        match command.name.as_str() {
            "connect" if !is_protected_enough(view, command, rules) => {
                self.answer(now, view, flow, &rejected(command));
            }
            "connect" => {
                outcome.has_connected = !std::mem::replace(&mut self.is_connected, true);
                let app = command.object.member("app").and_then(Value::as_str).unwrap_or("");
                log::info!("{:?} connects from {} to '{app}'", self.peer, view.path().remote);
                self.answer(now, view, flow, &connect_result(command));
            }
            _ if !self.is_connected => outcome.is_malformed = true,
            "setPeerInfo" => {
                outcome.peer_info = Some(read_addresses(&command.arguments));
                self.acknowledge(now, view, flow, command);
                self.send(now, view, flow, KEEPALIVE.encode());
            }
            "createStream" | "initStream" => {
                self.streams_created += 1;
                let stream = Value::Number(self.streams_created.into());
                self.answer(
                    now,
                    view,
                    flow,
                    &Command::new("_result", command.transaction, vec![stream]),
                );
            }
            "play" | "publish" => self.answer(now, view, flow, &no_streams_here()),
            "deleteStream" | "closeStream" | "releaseStream" | "FCPublish" | "FCUnpublish"
            | "receiveAudio" | "receiveVideo" | "pause" | "seek" => {
                self.acknowledge(now, view, flow, command)
            }
            _ => self.answer(now, view, flow, &unknown_call(command)),
        }
        outcome
    }

    fn acknowledge(
        &mut self,
        now: Instant,
        view: &mut SessionMut<'_>,
        flow: u64,
        command: &Command,
    ) {
        if command.transaction > 0.0 {
            self.answer(
                now,
                view,
                flow,
                &Command::new("_result", command.transaction, vec![Value::Undefined]),
            );
        }
    }

    fn answer(&mut self, now: Instant, view: &mut SessionMut<'_>, flow: u64, command: &Command) {
        self.send(now, view, flow, command.encode());
    }

    fn send(&mut self, now: Instant, view: &mut SessionMut<'_>, flow: u64, message: bytes::Bytes) {
        let Some(open) = self.flows.get_mut(&flow) else { return };
        let metadata = FlowMetadata { stream_id: open.stream_id, network_order: false };
        let answer = *open.answer.get_or_insert_with(|| {
            view.open_flow(&metadata.encode(), Some(flow), control_options())
        });
        let _ = view.send(now, answer, message, None);
    }
}

/// Whether the session's packets carry what the path asked for requires.
fn is_protected_enough(
    view: &mut SessionMut<'_>,
    command: &Command,
    rules: &ProtectionRules,
) -> bool {
    let uri = command.object.member("tcUrl").and_then(Value::as_str).unwrap_or("");
    let policy = rules.policy(view.path().socket, Some(uri.as_bytes()));
    let has = view.protection();
    let is_met = |wanted, is_there: bool| wanted != Protection::Require || is_there;
    is_met(policy.hmac, has.receive_hmac.is_some())
        && is_met(policy.sequence_numbers, has.receive_sequence)
}

fn rejected(command: &Command) -> Command {
    let info = Value::object([
        ("level", Value::string("error")),
        ("code", Value::string("NetConnection.Connect.Rejected")),
        ("description", Value::string("this path requires HMACs and sequence numbers")),
    ]);
    Command::new("_error", command.transaction, vec![info])
}

/// What Flash needs to see; the encoding is the one it asked for.
fn connect_result(command: &Command) -> Command {
    let encoding =
        command.object.member("objectEncoding").and_then(Value::as_number).unwrap_or(3.0);
    let info = Value::object([
        ("level", Value::string("status")),
        ("code", Value::string("NetConnection.Connect.Success")),
        ("description", Value::string("Connection succeeded")),
        ("objectEncoding", Value::Number(encoding)),
    ]);
    Command::new("_result", command.transaction, vec![info])
}

fn unknown_call(command: &Command) -> Command {
    let info = Value::object([
        ("level", Value::string("error")),
        ("code", Value::string("NetConnection.Call.Failed")),
        ("description", Value::string(format!("Method not found ({})", command.name))),
    ]);
    let name = if command.transaction > 0.0 { "_error" } else { "onStatus" };
    Command::new(name, command.transaction, vec![info])
}

fn no_streams_here() -> Command {
    let info = Value::object([
        ("level", Value::string("error")),
        ("code", Value::string("NetStream.Failed")),
        ("description", Value::string("this server introduces peers; it carries no streams")),
    ]);
    Command::new("onStatus", 0.0, vec![info])
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
