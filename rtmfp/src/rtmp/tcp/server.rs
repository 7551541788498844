//! One connection of an encoder that publishes. RTMP 1.0 §7.2, and what encoders make of it.

use std::collections::{BTreeSet, VecDeque};

use super::{
    StreamMessage, TcpError, kind,
    transport::{Transport, WINDOW},
};
use crate::rtmp::{Command, Message, MessageType, Value};

/// Message streams of one connection.
const MAX_STREAMS: usize = 16;

/// What an encoder wants, or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// It wants to publish: [`ServerSession::accept`] or [`ServerSession::refuse`].
    Publish {
        /// Its message stream.
        stream: u32,
        /// The application, as the URL has it.
        app: String,
        /// The stream's name, which mostly is a secret key.
        name: String,
    },
    /// Sound, picture or data of a stream.
    Message {
        /// The message stream.
        stream: u32,
        /// As published: payloads are those of FLV tags, data in AMF0.
        message: Message,
    },
    /// It publishes no more.
    Unpublished {
        /// The message stream.
        stream: u32,
    },
}

/// A server's end of a connection.
#[derive(Debug)]
pub struct ServerSession {
    transport: Transport,
    app: String,
    next_stream: u32,
    publishing: BTreeSet<u32>,
    messages: VecDeque<StreamMessage>,
    events: VecDeque<ServerEvent>,
    is_over: bool,
}

impl ServerSession {
    /// `random` is for the handshake.
    pub fn new(random: [u8; 32]) -> Self {
        Self {
            transport: Transport::server(random),
            app: String::new(),
            next_stream: 1,
            publishing: BTreeSet::new(),
            messages: VecDeque::new(),
            events: VecDeque::new(),
            is_over: false,
        }
    }

    /// Takes bytes as they come.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), TcpError> {
        self.transport.handle_bytes(bytes, &mut self.messages)?;
        while let Some(message) = self.messages.pop_front() {
            self.on_message(message);
        }
        Ok(())
    }

    /// Bytes to send, if any.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transport.poll_transmit()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Whether the connection is to be closed once everything was sent.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Lets a stream be published.
    pub fn accept(&mut self, stream: u32) {
        self.transport.trust();
        const STREAM_BEGIN: u16 = 0;
        let begin = [&STREAM_BEGIN.to_be_bytes()[..], &stream.to_be_bytes()].concat();
        self.transport.send_control(kind::USER_CONTROL, &begin);
        self.publishing.insert(stream);
        self.status(stream, "status", "NetStream.Publish.Start", "publishing");
    }

    /// Refuses it in words, and the connection with it: OBS minds no other sign.
    pub fn refuse(&mut self, stream: u32, why: &str) {
        self.status(stream, "error", "NetStream.Publish.Denied", why);
        self.is_over = true;
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        let info = Value::object([
            ("level", Value::string(level)),
            ("code", Value::string(code)),
            ("description", Value::string(description)),
        ]);
        self.transport.send_command(stream, &Command::new("onStatus", 0.0, vec![info]));
    }

    fn on_message(&mut self, StreamMessage { stream, message }: StreamMessage) {
        match message.kind {
            MessageType::COMMAND_AMF0 | MessageType::COMMAND_AMF3 => {
                if let Ok(command) = Command::decode(&message) {
                    self.on_command(stream, &command);
                }
            }
            MessageType::AUDIO | MessageType::VIDEO | MessageType::DATA_AMF0 => {
                self.on_media(stream, message);
            }
            MessageType::DATA_AMF3 => {
                // A format byte, then AMF0.
                let payload = message.payload.slice(message.payload.len().min(1)..);
                self.on_media(stream, Message { kind: MessageType::DATA_AMF0, payload, ..message });
            }
            _ => {}
        }
    }

    fn on_media(&mut self, stream: u32, message: Message) {
        if self.publishing.contains(&stream) {
            self.events.push_back(ServerEvent::Message { stream, message });
        }
    }

    fn on_command(&mut self, stream: u32, command: &Command) {
        match command.name.as_str() {
            "connect" => self.connect(command),
            "createStream" => self.create_stream(command),
            "publish" => self.publish(stream, command),
            "play" | "play2" => self.refuse_play(stream),
            "FCPublish" => {
                self.answer(command, Value::Undefined);
                self.transport.send_command(0, &Command::new("onFCPublish", 0.0, Vec::new()));
            }
            "FCUnpublish" | "closeStream" | "deleteStream" => self.unpublish(stream, command),
            "_result" | "_error" | "onStatus" => {}
            _ if command.transaction != 0.0 => self.answer(command, Value::Undefined),
            _ => {}
        }
    }

    fn answer(&mut self, command: &Command, value: Value) {
        if command.transaction != 0.0 {
            let answer = Command::new("_result", command.transaction, vec![value]);
            self.transport.send_command(0, &answer);
        }
    }

    fn connect(&mut self, command: &Command) {
        let said = |name| command.object.member(name);
        let app = said("app").and_then(Value::as_str).unwrap_or_default();
        self.app = app.trim_matches('/').to_owned();
        let encoding = said("objectEncoding").cloned().unwrap_or(Value::Number(0.0));
        self.transport.send_control(kind::WINDOW_SIZE, &WINDOW.to_be_bytes());
        const DYNAMIC: u8 = 2;
        let bandwidth = [&WINDOW.to_be_bytes()[..], &[DYNAMIC]].concat();
        self.transport.send_control(kind::PEER_BANDWIDTH, &bandwidth);
        self.transport.send_chunk_size();
        let mut result = Command::new("_result", command.transaction, Vec::new());
        result.object = Value::object([
            ("fmsVer", Value::string("FMS/3,5,7,7009")),
            ("capabilities", Value::Number(31.0)),
        ]);
        result.arguments.push(Value::object([
            ("level", Value::string("status")),
            ("code", Value::string("NetConnection.Connect.Success")),
            ("description", Value::string("connected")),
            ("objectEncoding", encoding),
            // Enhanced RTMP: whatever codec it is, it goes through.
            ("fourCcList", Value::StrictArray(vec![Value::string("*")])),
        ]));
        self.transport.send_command(0, &result);
    }

    fn create_stream(&mut self, command: &Command) {
        let stream = self.next_stream;
        self.next_stream = self.next_stream % (MAX_STREAMS as u32) + 1;
        self.answer(command, Value::Number(stream.into()));
    }

    fn publish(&mut self, stream: u32, command: &Command) {
        let name = command.arguments.first().and_then(Value::as_str).unwrap_or_default();
        if self.publishing.contains(&stream) || self.publishing.len() >= MAX_STREAMS {
            return;
        }
        let (app, name) = (self.app.clone(), name.to_owned());
        self.events.push_back(ServerEvent::Publish { stream, app, name });
    }

    fn refuse_play(&mut self, stream: u32) {
        let why = "nothing is played here; watch the channel by RTMFP or HTTP";
        self.status(stream, "error", "NetStream.Play.StreamNotFound", why);
        self.is_over = true;
    }

    /// GStreamer names the stream, others its number, or neither: what is published ends.
    fn unpublish(&mut self, stream: u32, command: &Command) {
        let named =
            command.arguments.first().and_then(Value::as_number).map(|number| number as u32);
        let is_one = |candidate: &u32| self.publishing.contains(candidate);
        let one = named.filter(is_one).or(Some(stream).filter(is_one));
        let ended = one.or_else(|| self.publishing.first().copied());
        if let Some(stream) = ended.filter(|stream| self.publishing.remove(stream)) {
            self.status(stream, "status", "NetStream.Unpublish.Success", "done");
            self.events.push_back(ServerEvent::Unpublished { stream });
        }
        self.answer(command, Value::Undefined);
    }
}
