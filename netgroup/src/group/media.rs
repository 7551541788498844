//! Streams among neighbours: who has announced what to whom.

use std::time::Instant;

use bytes::Bytes;
use rtmfp::crypto::PeerId;

use super::{
    Channel, Group, GroupEvent,
    neighbour::{MediaLink, Reports},
};
use crate::{
    multicast::{Misconduct, Output, Stream, new_stream_key},
    wire::{Announcement, MediaControl, StreamKey, StreamParameters},
};

impl Group {
    /// Begins to publish a stream.
    pub fn publish(&mut self, now: Instant, name: &str, parameters: StreamParameters) -> StreamKey {
        let key = new_stream_key(&self.own, &mut self.rng);
        let announcement = Announcement { name: name.to_owned(), key, parameters };
        self.published.get_or_insert(now);
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
        if let Some(stream) = self.streams.get_mut(key) {
            stream.publish(now, kind, timestamp, payload);
            self.settle_stream(now, key);
        }
    }

    /// Ends a stream of ours; neighbours are told.
    pub fn unpublish(&mut self, now: Instant, key: &StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.finish();
            self.settle_stream(now, key);
        }
    }

    /// Wants every publication of this name.
    pub fn subscribe(&mut self, name: &str) {
        self.subscriptions.push(name.to_owned());
    }

    /// Does what a stream wants done.
    pub(super) fn settle_stream(&mut self, now: Instant, key: &StreamKey) {
        while let Some(output) = self.streams.get_mut(key).and_then(|stream| stream.poll_output()) {
            match output {
                Output::Control(peer, message) => {
                    self.send(peer, Channel::MediaControl(*key), message.encode())
                }
                Output::Media(peer, message, deadline) => {
                    self.send_bytes(peer, Channel::Media(*key), message, Some(deadline));
                }
                Output::Event(event) => {
                    self.events.push_back(GroupEvent::Stream { key: *key, event })
                }
                Output::Suspect(peer, of) => self.suspect(now, peer, of),
            }
        }
    }

    pub(super) fn tick_streams(&mut self, now: Instant) {
        let over = self.streams.iter().filter(|(_, stream)| stream.is_over(now));
        for key in over.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.forget_stream(&key);
        }
        self.keep_to_budget();
        let due = self.streams.iter().filter(|(_, stream)| stream.next_timeout() <= now);
        for key in due.map(|(key, _)| *key).collect::<Vec<_>>() {
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.handle_timeout(now, &mut self.rng);
            }
            self.settle_stream(now, &key);
        }
    }

    /// A stream that has something new to offer is offered.
    fn announce_everywhere(&mut self) {
        let ready = self.neighbours.iter().filter(|(_, neighbour)| {
            neighbour.reports().is_some_and(|reports| reports != Reports::None)
        });
        for peer in ready.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.announce_streams_to(peer);
        }
    }

    /// Announces what is to be had here and was not announced yet.
    pub(super) fn announce_streams_to(&mut self, peer: PeerId) {
        let Some(neighbour) = self.neighbours.get(&peer) else { return };
        let is_offered = |stream: &Stream| stream.is_publisher() || stream.has_fragments();
        let due: Vec<StreamKey> = self
            .streams
            .iter()
            .filter(|(key, stream)| is_offered(stream) && !neighbour.media.contains_key(key))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.announce(peer, &key, MediaLink::Offered);
        }
    }

    pub(super) fn announce(&mut self, peer: PeerId, key: &StreamKey, link: MediaLink) {
        let (Some(stream), Some(neighbour)) =
            (self.streams.get(key), self.neighbours.get_mut(&peer))
        else {
            return;
        };
        neighbour.media.insert(*key, link);
        let announcement = stream.announcement();
        // What is to be had, at once: whoever wants it need not ask.
        let is_offer = link == MediaLink::Offered;
        let maps: Vec<Vec<u8>> = stream
            .whole_maps()
            .filter(|_| is_offer)
            .map(|map| MediaControl::Availability(map).encode())
            .collect();
        self.send(peer, Channel::MediaControl(*key), MediaControl::Announce(announcement).encode());
        for map in maps {
            self.send(peer, Channel::MediaControl(*key), map);
        }
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
            self.suspect(now, peer, Misconduct::Malformed);
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
        stream.on_control(now, peer, message, &mut self.rng);
        self.settle_stream(now, &key);
    }

    /// A neighbour has or wants a publication; if we do too, the two of us are linked.
    fn on_announcement(
        &mut self,
        now: Instant,
        peer: PeerId,
        flow: u64,
        announcement: Announcement,
    ) {
        let (key, parameters) = (announcement.key, announcement.parameters);
        let is_member = self.neighbours.get(&peer).is_some_and(|neighbour| neighbour.is_member());
        if !is_member || !self.take_stream(now, peer, announcement) {
            self.reject(peer, flow);
            return;
        }
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let link = MediaLink::Open { control_flow: flow };
        match neighbour.media.insert(key, link) {
            Some(MediaLink::Offered | MediaLink::Open { .. }) => {}
            // It refused us once, and wants it now; or it is news.
            Some(MediaLink::Refused) | None => self.announce(peer, &key, link),
        }
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.add_neighbour(now, peer, parameters);
        }
        self.settle_stream(now, &key);
    }

    pub(super) fn on_media(&mut self, now: Instant, peer: PeerId, key: &StreamKey, message: Bytes) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let had_nothing = !stream.has_fragments();
        stream.on_fragment(now, peer, message, &mut self.rng);
        let has_some = had_nothing && stream.has_fragments();
        self.settle_stream(now, key);
        if has_some {
            self.announce_everywhere();
        }
    }

    /// The neighbour has nothing to do with this stream any more.
    pub(super) fn drop_media(&mut self, now: Instant, peer: &PeerId, key: &StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.remove_neighbour(now, peer, &mut self.rng);
        }
        // Of what we have forgotten nothing is remembered.
        if let Some(link) =
            self.neighbours.get_mut(peer).and_then(|neighbour| neighbour.media.get_mut(key))
        {
            *link = MediaLink::Refused;
        }
        self.settle_stream(now, key);
    }
}
