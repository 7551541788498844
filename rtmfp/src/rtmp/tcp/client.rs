//! A connection to a server whose stream is pulled, or that one is pushed to. RTMP 1.0 §7.2.

use std::collections::VecDeque;

use super::{
    StreamMessage, TcpError, kind,
    transport::{Transport, WINDOW, chunk_stream},
};
use crate::rtmp::{Command, Message, MessageType, UserControl, Value};

/// What the server gives, or says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The stream plays, or will once somebody publishes it; or what is published is taken.
    Started,
    /// Sound, picture or data.
    Message(Message),
    /// It is not published any more; it may be again.
    Ended,
    /// The server refuses, in its own words.
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Handshake,
    Connecting,
    Creating,
    Playing,
    /// The server was asked to take what we publish; it does once `is_taken`.
    Publishing {
        stream: u32,
        is_taken: bool,
    },
    Over,
}

/// What the connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Play,
    Publish,
}

const CONNECT: f64 = 1.0;
const CREATE: f64 = 2.0;
const RELEASE: f64 = 3.0;
const ANNOUNCE: f64 = 4.0;
const PUBLISH: f64 = 5.0;
/// What we say that we buffer, in milliseconds.
const BUFFER: u32 = 3000;
/// Live if it is live, else a recording.
const LIVE_OR_RECORDED: f64 = -2000.0;

/// A client's end of a connection.
#[derive(Debug)]
pub struct ClientSession {
    transport: Transport,
    state: State,
    purpose: Purpose,
    app: String,
    url: String,
    name: String,
    messages: VecDeque<StreamMessage>,
    events: VecDeque<ClientEvent>,
}

impl ClientSession {
    /// Plays stream `name` of `app`; `url` is the connection's, without the stream.
    pub fn play(url: &str, app: &str, name: &str, random: [u8; 32]) -> Self {
        Self::new(Purpose::Play, url, app, name, random)
    }

    /// Publishes live under `name` in `app`. Once it has [`ClientEvent::Started`],
    /// [`Self::publish_message`] takes what is to be sent.
    pub fn publish(url: &str, app: &str, name: &str, random: [u8; 32]) -> Self {
        Self::new(Purpose::Publish, url, app, name, random)
    }

    fn new(purpose: Purpose, url: &str, app: &str, name: &str, random: [u8; 32]) -> Self {
        Self {
            transport: Transport::client(random),
            state: State::Handshake,
            purpose,
            app: app.to_owned(),
            url: url.to_owned(),
            name: name.to_owned(),
            messages: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes bytes as they come.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), TcpError> {
        self.transport.handle_bytes(bytes, &mut self.messages)?;
        if self.state == State::Handshake && self.transport.is_open() {
            self.connect();
        }
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
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Sends sound, pictures or data, once what we publish is taken.
    pub fn publish_message(&mut self, message: Message) {
        let State::Publishing { stream, is_taken: true } = self.state else { return };
        let chunk_stream = match message.kind {
            MessageType::AUDIO => chunk_stream::AUDIO,
            MessageType::VIDEO => chunk_stream::VIDEO,
            _ => chunk_stream::STREAM,
        };
        self.transport.send(chunk_stream, StreamMessage { stream, message });
    }

    /// Says that nothing more is published, as encoders do.
    pub fn unpublish(&mut self) {
        let State::Publishing { stream, .. } = self.state else { return };
        self.state = State::Over;
        let arguments = vec![Value::string(&self.name)];
        self.transport.send_command(0, &Command::new("FCUnpublish", 0.0, arguments));
        let arguments = vec![Value::Number(stream.into())];
        self.transport.send_command(0, &Command::new("deleteStream", 0.0, arguments));
    }

    fn connect(&mut self) {
        self.state = State::Connecting;
        if self.purpose == Purpose::Publish {
            self.transport.send_chunk_size();
        }
        let mut connect = Command::new("connect", CONNECT, Vec::new());
        let version = match self.purpose {
            Purpose::Play => "LNX 9,0,124,2",
            Purpose::Publish => "FMLE/3.0 (compatible; flvcast)",
        };
        connect.object = Value::object([
            ("app", Value::string(&self.app)),
            ("flashVer", Value::string(version)),
            ("tcUrl", Value::string(&self.url)),
            ("fpad", Value::Boolean(false)),
            ("capabilities", Value::Number(15.0)),
            ("audioCodecs", Value::Number(4071.0)),
            ("videoCodecs", Value::Number(252.0)),
            ("videoFunction", Value::Number(1.0)),
            ("objectEncoding", Value::Number(0.0)),
            ("fourCcList", Value::StrictArray(vec![Value::string("*")])),
        ]);
        self.transport.send_command(0, &connect);
    }

    fn on_message(&mut self, StreamMessage { message, .. }: StreamMessage) {
        match message.kind {
            MessageType::COMMAND_AMF0 | MessageType::COMMAND_AMF3 => {
                if let Ok(command) = Command::decode(&message) {
                    self.on_command(&command);
                }
            }
            MessageType::USER_CONTROL => {
                if let Ok(UserControl::StreamEnd(_)) = UserControl::decode(&message.payload) {
                    self.events.push_back(ClientEvent::Ended);
                }
            }
            MessageType::AUDIO | MessageType::VIDEO | MessageType::DATA_AMF0 => {
                self.events.push_back(ClientEvent::Message(message));
            }
            MessageType::DATA_AMF3 => {
                let payload = message.payload.slice(message.payload.len().min(1)..);
                let message = Message { kind: MessageType::DATA_AMF0, payload, ..message };
                self.events.push_back(ClientEvent::Message(message));
            }
            _ => {}
        }
    }

    fn on_command(&mut self, command: &Command) {
        let is_answer = |to: f64| command.transaction == to;
        match (command.name.as_str(), self.state) {
            ("_result", State::Connecting) if is_answer(CONNECT) => {
                self.state = State::Creating;
                self.transport.send_control(kind::WINDOW_SIZE, &WINDOW.to_be_bytes());
                self.announce();
                self.transport.send_command(0, &Command::new("createStream", CREATE, Vec::new()));
            }
            ("_result", State::Creating) if is_answer(CREATE) => self.begin(command),
            ("_error", State::Connecting | State::Creating) => self.fail(command),
            ("onStatus", _) => self.on_status(command),
            // Some servers ask how fast the line is, and wait for an answer of any kind.
            ("close", _) => self.fail(command),
            _ => {}
        }
    }

    /// What encoders say first, and some servers wait for.
    fn announce(&mut self) {
        if self.purpose == Purpose::Publish {
            for (name, number) in [("releaseStream", RELEASE), ("FCPublish", ANNOUNCE)] {
                let arguments = vec![Value::string(&self.name)];
                self.transport.send_command(0, &Command::new(name, number, arguments));
            }
        }
    }

    fn begin(&mut self, command: &Command) {
        let number = command.arguments.first().and_then(Value::as_number);
        let stream = number.map_or(1, |number| number as u32);
        if self.purpose == Purpose::Publish {
            self.state = State::Publishing { stream, is_taken: false };
            let arguments = vec![Value::string(&self.name), Value::string("live")];
            return self
                .transport
                .send_command(stream, &Command::new("publish", PUBLISH, arguments));
        }
        self.state = State::Playing;
        let arguments = vec![Value::string(&self.name), Value::Number(LIVE_OR_RECORDED)];
        self.transport.send_command(stream, &Command::new("play", 0.0, arguments));
        let buffer = UserControl::SetBufferLength { stream, length: BUFFER };
        if let Ok(message) = Message::decode(&buffer.encode()) {
            self.transport.send_control(kind::USER_CONTROL, &message.payload);
        }
    }

    fn on_status(&mut self, command: &Command) {
        let code = command.status_code().unwrap_or_default();
        let is_error = command
            .arguments
            .iter()
            .any(|argument| argument.member("level").and_then(Value::as_str) == Some("error"));
        match code {
            "NetStream.Play.Start" => self.events.push_back(ClientEvent::Started),
            "NetStream.Publish.Start" => {
                if let State::Publishing { is_taken, .. } = &mut self.state {
                    *is_taken = true;
                    self.events.push_back(ClientEvent::Started);
                }
            }
            "NetStream.Play.UnpublishNotify"
            | "NetStream.Play.Stop"
            | "NetStream.Play.Complete" => {
                self.events.push_back(ClientEvent::Ended);
            }
            _ if is_error => self.fail(command),
            _ => {}
        }
    }

    fn fail(&mut self, command: &Command) {
        let values = command.arguments.iter().chain([&command.object]);
        let said = values
            .flat_map(|value| [value.member("description"), value.member("code")])
            .flatten()
            .filter_map(Value::as_str)
            .find(|text| !text.is_empty());
        self.state = State::Over;
        self.events.push_back(ClientEvent::Refused(said.unwrap_or("no reason given").to_owned()));
    }
}
