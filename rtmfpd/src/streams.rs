//! Live streams of the server: who publishes under which name, and who plays it.
//!
//! One publisher a name, any number of players. Nothing is kept of a stream but what a decoder
//! must have before its first frame.

use std::collections::{BTreeMap, HashMap};

use rtmfp::{
    SessionId,
    rtmp::{Message, MessageType},
};

/// Streams that one client may publish or play.
pub(super) const MAX_STREAMS: usize = 64;
/// Names that may be published or waited for at a time; more are refused.
const MAX_NAMES: usize = 65_536;

/// An application's stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub app: String,
    pub stream: String,
}

/// One end of a stream: a client and its number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamEnd {
    pub session: SessionId,
    pub stream_id: u64,
}

/// A player, and whether it waits for a frame to begin with.
#[derive(Debug, Default)]
struct Player {
    has_picture: bool,
}

/// What a decoder needs first: `onMetaData` and the codecs' headers.
#[derive(Debug, Default)]
struct Preamble {
    metadata: Option<Message>,
    audio: Option<Message>,
    video: Option<Message>,
}

impl Preamble {
    fn note(&mut self, message: &Message) {
        let slot = match message.kind {
            MessageType::AUDIO if is_audio_header(&message.payload) => &mut self.audio,
            MessageType::VIDEO if is_video_header(&message.payload) => &mut self.video,
            MessageType::DATA_AMF0 if is_metadata(&message.payload) => &mut self.metadata,
            _ => return,
        };
        *slot = Some(message.clone());
    }

    fn messages(&self) -> Vec<Message> {
        [&self.metadata, &self.audio, &self.video].into_iter().flatten().cloned().collect()
    }
}

#[derive(Debug, Default)]
struct Live {
    publisher: Option<StreamEnd>,
    players: BTreeMap<StreamEnd, Player>,
    preamble: Preamble,
}

/// All streams by name.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_name: HashMap<Name, Live>,
    /// What each end publishes or plays.
    ends: BTreeMap<StreamEnd, Name>,
}

/// Why a client cannot have a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Somebody publishes under the name already.
    Taken,
    /// Of the client, or in all.
    TooMany,
}

impl Streams {
    /// Begins to publish. The players that wait for it.
    pub fn publish(&mut self, name: Name, end: StreamEnd) -> Result<Vec<StreamEnd>, Refused> {
        let taken = self.by_name.get(&name).and_then(|live| live.publisher);
        if taken.is_some_and(|publisher| publisher != end) {
            return Err(Refused::Taken);
        }
        self.detach(end);
        let live = self.by_name_mut(name.clone(), end)?;
        live.publisher = Some(end);
        let players = live.players.keys().copied().collect();
        self.ends.insert(end, name);
        Ok(players)
    }

    /// Begins to play: what to send first if somebody publishes.
    pub fn play(&mut self, name: Name, end: StreamEnd) -> Result<Option<Vec<Message>>, Refused> {
        self.detach(end);
        let live = self.by_name_mut(name.clone(), end)?;
        live.players.insert(end, Player::default());
        let first = live.publisher.map(|_| live.preamble.messages());
        self.ends.insert(end, name);
        Ok(first)
    }

    fn by_name_mut(&mut self, name: Name, end: StreamEnd) -> Result<&mut Live, Refused> {
        let is_full = self.by_name.len() >= MAX_NAMES && !self.by_name.contains_key(&name);
        if is_full || self.of_client(end.session).len() >= MAX_STREAMS {
            return Err(Refused::TooMany);
        }
        Ok(self.by_name.entry(name).or_default())
    }

    /// An end no longer publishes or plays. The players of what it published.
    pub fn detach(&mut self, end: StreamEnd) -> Vec<StreamEnd> {
        let Some(name) = self.ends.remove(&end) else { return Vec::new() };
        let Some(live) = self.by_name.get_mut(&name) else { return Vec::new() };
        live.players.remove(&end);
        let mut left = Vec::new();
        if live.publisher == Some(end) {
            live.publisher = None;
            live.preamble = Preamble::default();
            live.players.values_mut().for_each(|player| player.has_picture = false);
            left = live.players.keys().copied().collect();
        }
        if live.publisher.is_none() && live.players.is_empty() {
            self.by_name.remove(&name);
        }
        left
    }

    /// The ends that a client has.
    pub fn of_client(&self, session: SessionId) -> Vec<StreamEnd> {
        let end = |stream_id| StreamEnd { session, stream_id };
        self.ends.range(end(0)..=end(u64::MAX)).map(|(end, _)| *end).collect()
    }

    /// Something that `end` publishes, as players are to have it, and who those are. A player's
    /// pictures begin with a key frame.
    pub fn relay(&mut self, end: StreamEnd, message: Message) -> Option<(Message, Vec<StreamEnd>)> {
        let live = self.by_name.get_mut(self.ends.get(&end)?)?;
        if live.publisher != Some(end) {
            return None;
        }
        let message = as_played(message);
        live.preamble.note(&message);
        let mut to = Vec::with_capacity(live.players.len());
        for (end, player) in &mut live.players {
            let is_picture =
                message.kind == MessageType::VIDEO && !is_video_header(&message.payload);
            player.has_picture |= is_picture && is_key_frame(&message.payload);
            if !is_picture || player.has_picture {
                to.push(*end);
            }
        }
        Some((message, to))
    }

    /// A player could not take a frame; the next one it gets is a key frame.
    pub fn skip_to_key_frame(&mut self, end: StreamEnd) {
        let live = self.ends.get(&end).and_then(|name| self.by_name.get_mut(name));
        if let Some(player) = live.and_then(|live| live.players.get_mut(&end)) {
            player.has_picture = false;
        }
    }
}

/// `@setDataFrame` is what a publisher says to keep its metadata; players get what follows.
fn as_played(message: Message) -> Message {
    const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
    if message.kind == MessageType::DATA_AMF0 && message.payload.starts_with(SET_DATA_FRAME) {
        let payload = message.payload.slice(SET_DATA_FRAME.len()..);
        return Message { payload, ..message };
    }
    message
}

fn is_metadata(payload: &[u8]) -> bool {
    payload.starts_with(b"\x02\x00\x0aonMetaData")
}

/// AAC's configuration: format 10, then 0.
fn is_audio_header(payload: &[u8]) -> bool {
    matches!(payload, [format, 0, ..] if format >> 4 == 10)
}

/// AVC's configuration: codec 7, then 0.
fn is_video_header(payload: &[u8]) -> bool {
    matches!(payload, [frame, 0, ..] if frame & 0x0f == 7)
}

fn is_key_frame(payload: &[u8]) -> bool {
    payload.first().is_some_and(|frame| frame >> 4 & 7 == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use rand::{SeedableRng, rngs::StdRng};
    use rtmfp::{
        Config, Endpoint,
        crypto::{Discriminator, Identity, PeerId},
    };

    /// The first stream of the session with this number, from 1.
    fn end(session: usize) -> StreamEnd {
        let identity = Identity::peer(&mut StdRng::seed_from_u64(1));
        let mut endpoint = Endpoint::new(Config::default(), identity, Instant::now(), [1; 32]);
        let mut open = |peer| {
            let peer = Discriminator::Fingerprint(PeerId([peer; 32]));
            endpoint.open(Instant::now(), peer, &[]).expect("there is room")
        };
        let session = (1..9).map(&mut open).nth(session - 1).expect("there are eight");
        StreamEnd { session, stream_id: 1 }
    }

    fn name() -> Name {
        Name { app: "live".into(), stream: "film".into() }
    }

    fn message(kind: MessageType, payload: &'static [u8]) -> Message {
        Message { kind, timestamp: 0, payload: payload.into() }
    }

    const HEADER: &[u8] = &[0x17, 0, 1];
    const KEY: &[u8] = &[0x17, 1, 2];
    const FRAME: &[u8] = &[0x27, 1, 3];

    fn played(streams: &mut Streams, payload: &'static [u8]) -> usize {
        streams.relay(end(1), message(MessageType::VIDEO, payload)).unwrap().1.len()
    }

    #[test]
    fn pictures_begin_with_a_key_frame_and_headers_come_first() {
        let mut streams = Streams::default();
        assert_eq!(streams.publish(name(), end(1)), Ok(vec![]));
        assert_eq!(played(&mut streams, HEADER), 0);
        let first = streams.play(name(), end(2)).unwrap().unwrap();
        assert_eq!(first, [message(MessageType::VIDEO, HEADER)]);
        assert_eq!(played(&mut streams, FRAME), 0);
        assert_eq!((played(&mut streams, KEY), played(&mut streams, FRAME)), (1, 1));
        streams.skip_to_key_frame(end(2));
        assert_eq!((played(&mut streams, FRAME), played(&mut streams, KEY)), (0, 1));
    }

    #[test]
    fn a_name_has_one_publisher_and_outlives_it_while_somebody_plays() {
        let mut streams = Streams::default();
        assert_eq!(streams.play(name(), end(2)), Ok(None));
        assert_eq!(streams.publish(name(), end(1)), Ok(vec![end(2)]));
        assert_eq!(streams.publish(name(), end(3)), Err(Refused::Taken));
        assert_eq!(streams.detach(end(1)), [end(2)]);
        assert_eq!(streams.publish(name(), end(3)), Ok(vec![end(2)]));
        streams.detach(end(3));
        streams.detach(end(2));
        assert!(streams.by_name.is_empty() && streams.ends.is_empty());
    }

    #[test]
    fn nobody_has_more_than_a_share_of_streams() {
        let mut streams = Streams::default();
        let mine = |stream_id| StreamEnd { session: end(1).session, stream_id };
        for stream_id in 0..MAX_STREAMS as u64 {
            assert_eq!(streams.play(name(), mine(stream_id)), Ok(None));
        }
        assert_eq!(streams.play(name(), mine(999)), Err(Refused::TooMany));
        assert_eq!(streams.play(name(), mine(0)), Ok(None), "in place of what it had");
        assert_eq!(streams.publish(name(), end(2)).map(|players| players.len()), Ok(MAX_STREAMS));
    }

    #[test]
    fn players_get_the_metadata_that_a_publisher_sets() {
        let mut streams = Streams::default();
        streams.publish(name(), end(1)).unwrap();
        let set = b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x08";
        let (kept, _) = streams.relay(end(1), message(MessageType::DATA_AMF0, set)).unwrap();
        assert_eq!(kept.payload, b"\x02\x00\x0aonMetaData\x08".as_slice());
        assert_eq!(streams.play(name(), end(2)), Ok(Some(vec![kept])));
    }
}
