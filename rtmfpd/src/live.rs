//! What the server does with its live streams.

use std::time::Instant;

use super::{
    Server,
    client::StreamRequest,
    replies,
    streams::{Name, Refused, StreamEnd},
};
use rtmfp::{
    Endpoint, SessionId,
    rtmp::{Command, Message, MessageType, Value, amf0},
};

impl Server {
    pub(super) fn on_stream_request(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        session: SessionId,
        request: StreamRequest,
    ) {
        let end = StreamEnd { session, stream_id: request.stream_id() };
        if self.streams.is_none() && !matches!(request, StreamRequest::Close(_)) {
            let text = "this server introduces peers; it carries no streams";
            return self.say(now, endpoint, end, &replies::failure("NetStream.Failed", text));
        }
        match request {
            StreamRequest::Publish(_, name) => self.publish(now, endpoint, end, name),
            StreamRequest::Play(_, name) => self.play(now, endpoint, end, name),
            StreamRequest::Close(stream_id) => {
                self.detach(now, endpoint, end);
                if let (Some(client), Some(mut view)) =
                    (self.clients.get_mut(&session), endpoint.session(session))
                {
                    client.close_answers(now, &mut view, stream_id);
                }
            }
        }
    }

    fn publish(&mut self, now: Instant, endpoint: &mut Endpoint, end: StreamEnd, name: Name) {
        self.detach(now, endpoint, end);
        let Some(streams) = &mut self.streams else { return };
        let stream = name.stream.clone();
        let players = match streams.publish(name, end) {
            Ok(players) => players,
            Err(why) => {
                let text = match why {
                    Refused::Taken => format!("{stream} is published by another client"),
                    Refused::TooMany => "there are too many streams".to_owned(),
                };
                let refused = replies::failure("NetStream.Publish.BadName", &text);
                return self.say(now, endpoint, end, &refused);
            }
        };
        log::info!("'{stream}' is published, {} wait for it", players.len());
        let text = format!("{stream} is now published");
        self.say(now, endpoint, end, &replies::status("NetStream.Publish.Start", &text));
        let notify = replies::status("NetStream.Play.PublishNotify", &text);
        players.into_iter().for_each(|player| self.say(now, endpoint, player, &notify));
    }

    fn play(&mut self, now: Instant, endpoint: &mut Endpoint, end: StreamEnd, name: Name) {
        self.detach(now, endpoint, end);
        let Some(streams) = &mut self.streams else { return };
        let Ok(first) = streams.play(name, end) else {
            let refused = replies::failure("NetStream.Play.Failed", "too many streams");
            return self.say(now, endpoint, end, &refused);
        };
        let (Some(client), Some(mut view)) =
            (self.clients.get_mut(&end.session), endpoint.session(end.session))
        else {
            return;
        };
        client.begin_play(now, &mut view, end.stream_id);
        client.send(now, &mut view, end.stream_id, sample_access());
        let Some(first) = first else { return };
        let notify = replies::status("NetStream.Play.PublishNotify", "it is published");
        client.say(now, &mut view, end.stream_id, &notify);
        for message in first {
            client.send_media(now, &mut view, end.stream_id, message.kind, &message.to_bytes());
        }
    }

    /// Passes on what a client publishes.
    pub(super) fn relay(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        end: StreamEnd,
        message: Message,
    ) {
        let Some(streams) = &mut self.streams else { return };
        let Some((message, players)) = streams.relay(end, message) else { return };
        let bytes = message.to_bytes();
        for player in players {
            let is_sent =
                match (self.clients.get_mut(&player.session), endpoint.session(player.session)) {
                    (Some(client), Some(mut view)) => {
                        client.send_media(now, &mut view, player.stream_id, message.kind, &bytes)
                    }
                    _ => false,
                };
            self.stats.relayed += u64::from(is_sent);
            if !is_sent {
                self.stats.withheld += 1;
                streams.skip_to_key_frame(player);
            }
        }
    }

    /// A client no longer publishes or plays one of its streams; players hear of it.
    pub(super) fn detach(&mut self, now: Instant, endpoint: &mut Endpoint, end: StreamEnd) {
        let players = self.streams.as_mut().map(|streams| streams.detach(end));
        let over = replies::status("NetStream.Play.UnpublishNotify", "it is no longer published");
        for player in players.unwrap_or_default() {
            if let (Some(client), Some(mut view)) =
                (self.clients.get_mut(&player.session), endpoint.session(player.session))
            {
                client.say_after_media(now, &mut view, player.stream_id, &over);
            }
        }
    }

    /// As [`Self::detach`], with all that a client has.
    pub(super) fn detach_all(&mut self, now: Instant, endpoint: &mut Endpoint, session: SessionId) {
        let ends = self.streams.as_ref().map(|streams| streams.of_client(session));
        for end in ends.unwrap_or_default() {
            self.detach(now, endpoint, end);
        }
    }

    fn say(&mut self, now: Instant, endpoint: &mut Endpoint, to: StreamEnd, command: &Command) {
        if let (Some(client), Some(mut view)) =
            (self.clients.get_mut(&to.session), endpoint.session(to.session))
        {
            client.say(now, &mut view, to.stream_id, command);
        }
    }
}

/// Flash's scripts may look at sound and pictures.
fn sample_access() -> bytes::Bytes {
    let mut payload = Vec::new();
    let allowed = Value::Boolean(true);
    for value in [&Value::string("|RtmpSampleAccess"), &allowed, &allowed] {
        amf0::encode(&mut payload, value);
    }
    Message::encode(MessageType::DATA_AMF0, 0, &payload)
}
