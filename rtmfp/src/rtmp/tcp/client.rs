//! A connection to a server whose stream is pulled. RTMP 1.0 §7.2.

use std::collections::VecDeque;

use super::{
    StreamMessage, TcpError, kind,
    transport::{Transport, WINDOW},
};
use crate::rtmp::{Command, Message, MessageType, UserControl, Value};

/// What the server gives, or says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The stream plays, or will once somebody publishes it.
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
    Playing { stream: u32 },
    Over,
}

const CONNECT: f64 = 1.0;
const CREATE: f64 = 2.0;
/// What we say that we buffer, in milliseconds.
const BUFFER: u32 = 3000;
/// Live if it is live, else a recording.
const LIVE_OR_RECORDED: f64 = -2000.0;

/// A client's end of a connection.
#[derive(Debug)]
pub struct ClientSession {
    transport: Transport,
    state: State,
    app: String,
    url: String,
    name: String,
    messages: VecDeque<StreamMessage>,
    events: VecDeque<ClientEvent>,
}

impl ClientSession {
    /// Plays stream `name` of `app`; `url` is the connection's, without the stream.
    pub fn play(url: &str, app: &str, name: &str, random: [u8; 32]) -> Self {
        Self {
            transport: Transport::client(random),
            state: State::Handshake,
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

    fn connect(&mut self) {
        self.state = State::Connecting;
        let mut connect = Command::new("connect", CONNECT, Vec::new());
        connect.object = Value::object([
            ("app", Value::string(&self.app)),
            ("flashVer", Value::string("LNX 9,0,124,2")),
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

    fn begin(&mut self, command: &Command) {
        let number = command.arguments.first().and_then(Value::as_number);
        let stream = number.map_or(1, |number| number as u32);
        self.state = State::Playing { stream };
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
