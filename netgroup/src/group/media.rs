//! Streams among neighbours: who has announced what to whom.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtmfp::crypto::PeerId;

use super::{Channel, Group, GroupEvent, neighbour::Reports};
use crate::{
    multicast::{Output, Stream, StreamEvent, new_stream_key},
    wire::{Announcement, MediaControl, StreamKey, StreamParameters},
};

/// Publications known at once; the longest idle makes room.
const MAX_STREAMS: usize = 8;
/// Only one that has been still for this long makes room.
const IDLE: Duration = Duration::from_secs(10);

impl Group {
    /// Begins to publish a stream.
    pub fn publish(&mut self, now: Instant, name: &str, parameters: StreamParameters) -> StreamKey {
        let key = new_stream_key(&self.own, &mut self.rng);
        let announcement = Announcement { name: name.to_owned(), key, parameters };
        self.streams.insert(key, Stream::published(now, announcement));
        self.announce_everywhere();
        key
    }

    /// Publishes a message of a stream of ours.
    pub fn publish_message(
        &mut self,
        now: Instant,
        key: &StreamKey,
        kind: u8,
        timestamp: u32,
        payload: &Bytes,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let mut out = Vec::new();
        stream.publish(now, kind, timestamp, payload, &mut out);
        self.send_outputs(key, out);
    }

    /// Ends a stream of ours; neighbours are told.
    pub fn unpublish(&mut self, key: &StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let mut out = Vec::new();
        stream.finish(&mut out);
        self.send_outputs(key, out);
    }

    /// Wants every publication of this name.
    pub fn subscribe(&mut self, name: &str) {
        self.subscriptions.push(name.to_owned());
    }

    fn send_outputs(&mut self, key: &StreamKey, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Control(peer, message) => {
                    self.send(peer, Channel::MediaControl(*key), message.encode())
                }
                Output::Media(peer, message, deadline) => {
                    self.send_bytes(peer, Channel::Media(*key), message, Some(deadline));
                }
            }
        }
    }

    fn report_events(&mut self, key: &StreamKey, events: Vec<StreamEvent>) {
        self.events.extend(events.into_iter().map(|event| GroupEvent::Stream { key: *key, event }));
    }

    pub(super) fn tick_streams(&mut self, now: Instant) {
        self.streams.retain(|_, stream| !stream.is_over(now));
        for key in self.streams.keys().copied().collect::<Vec<_>>() {
            let Some(stream) = self.streams.get_mut(&key) else { continue };
            let (mut out, mut events) = (Vec::new(), Vec::new());
            stream.handle_timeout(now, &mut self.rng, &mut out, &mut events);
            self.send_outputs(&key, out);
            self.report_events(&key, events);
        }
        self.announce_everywhere();
    }

    fn announce_everywhere(&mut self) {
        let ready =
            self.neighbours.iter().filter(|(_, neighbour)| neighbour.reports != Reports::None);
        for peer in ready.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.announce_streams_to(peer);
        }
    }

    /// Announces what is to be had here and was not announced yet.
    pub(super) fn announce_streams_to(&mut self, peer: PeerId) {
        let Some(neighbour) = self.neighbours.get(&peer).filter(|neighbour| neighbour.is_announced)
        else {
            return;
        };
        let is_new = |key: &StreamKey| neighbour.media.get(key).is_none_or(|link| !link.announced);
        let due: Vec<StreamKey> = self
            .streams
            .iter()
            .filter(|(key, stream)| {
                (stream.is_publisher() || stream.has_fragments()) && is_new(key)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.announce(peer, &key);
        }
    }

    fn announce(&mut self, peer: PeerId, key: &StreamKey) {
        let (Some(stream), Some(neighbour)) =
            (self.streams.get(key), self.neighbours.get_mut(&peer))
        else {
            return;
        };
        let link = neighbour.media.entry(*key).or_default();
        if link.announced || link.is_refused {
            return;
        }
        link.announced = true;
        let message = MediaControl::Announce(stream.announcement.clone()).encode();
        self.send(peer, Channel::MediaControl(*key), message);
    }

    pub(super) fn on_media_control(
        &mut self,
        now: Instant,
        peer: PeerId,
        flow: u64,
        message: &[u8],
    ) {
        let Some(message) = MediaControl::decode(message) else {
            self.stats.malformed += 1;
            return;
        };
        if let MediaControl::Announce(announcement) = message {
            self.on_announcement(now, peer, flow, announcement);
            return;
        }
        let Some(key) = self.neighbours.get(&peer).and_then(|neighbour| neighbour.stream_of(flow))
        else {
            return;
        };
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let (mut out, mut events) = (Vec::new(), Vec::new());
        stream.on_control(now, peer, message, &mut self.rng, &mut out, &mut events);
        self.send_outputs(&key, out);
        self.report_events(&key, events);
    }

    /// A neighbour has or wants a publication; if we do too, the two of us are linked.
    fn on_announcement(
        &mut self,
        now: Instant,
        peer: PeerId,
        flow: u64,
        announcement: Announcement,
    ) {
        let key = announcement.key;
        let is_member = self.neighbours.get(&peer).is_some_and(|neighbour| neighbour.is_member());
        if !is_member || !self.take_stream(now, announcement) {
            self.reject(peer, flow);
            return;
        }
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            let link = neighbour.media.entry(key).or_default();
            link.control_flow = Some(flow);
            // It refused us once, and wants it now.
            link.announced &= !std::mem::take(&mut link.is_refused);
        }
        self.announce(peer, &key);
        let mut out = Vec::new();
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.add_neighbour(peer, &mut out);
        }
        self.send_outputs(&key, out);
    }

    /// True if the stream is known, or wanted and now known.
    fn take_stream(&mut self, now: Instant, announcement: Announcement) -> bool {
        let key = announcement.key;
        if self.streams.contains_key(&key) {
            return true;
        }
        let publishes_it = |stream: &Stream| {
            stream.is_publisher() && stream.announcement.name == announcement.name
        };
        if self.streams.values().any(publishes_it) {
            self.note_contest(key);
            return false;
        }
        if !self.subscriptions.contains(&announcement.name) || !self.make_room(now) {
            return false;
        }
        let name = announcement.name.clone();
        self.streams.insert(key, Stream::subscribed(now, announcement));
        self.events.push_back(GroupEvent::StreamFound { key, name });
        true
    }

    /// Tells once of each.
    fn note_contest(&mut self, key: StreamKey) {
        if self.contested.contains(&key) {
            return;
        }
        if self.contested.len() >= MAX_STREAMS {
            self.contested.pop_front();
        }
        self.contested.push_back(key);
        self.events.push_back(GroupEvent::StreamContested { key });
    }

    fn make_room(&mut self, now: Instant) -> bool {
        if self.streams.len() < MAX_STREAMS {
            return true;
        }
        let idle = self
            .streams
            .iter()
            .filter(|(_, stream)| !stream.is_publisher() && stream.idle(now) > IDLE);
        let longest = idle.max_by_key(|(_, stream)| stream.idle(now)).map(|(key, _)| *key);
        longest.is_some_and(|key| self.streams.remove(&key).is_some())
    }

    pub(super) fn on_media(&mut self, now: Instant, peer: PeerId, key: &StreamKey, message: Bytes) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (mut out, mut events) = (Vec::new(), Vec::new());
        stream.on_fragment(now, peer, message, &mut out, &mut events);
        self.send_outputs(key, out);
        self.report_events(key, events);
    }

    /// The neighbour has nothing to do with this stream any more.
    pub(super) fn drop_media(&mut self, peer: &PeerId, key: &StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.remove_neighbour(peer);
        }
        if let Some(link) =
            self.neighbours.get_mut(peer).and_then(|neighbour| neighbour.media.get_mut(key))
        {
            link.is_refused = true;
            link.control_flow = None;
        }
    }
}
