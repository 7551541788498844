//! One sending flow: its queue of fragments and what became of each. RFC 7016 §3.6.2.

mod entry;
mod window;

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

pub(crate) use entry::Arrival;
use entry::{Delivery, Entry, Flight};
use window::FarWindow;

use super::{
    flow_options::{Deadline, FlowOptions},
    ranges::RangeSet,
};
use crate::wire::{
    chunk::{DataAck, FragmentControl, UserDataHeader, flow_option, put_next_user_data_header},
    put_marker, put_option, put_vlu,
};

/// Fragments kept behind one that is not acknowledged; nothing new is sent beyond.
const MAX_SPAN: u64 = 1 << 16;
/// The longest header a User Data chunk has in practice, options apart.
pub(crate) const MAX_DATA_HEADER: usize = 24;

/// What a negative acknowledgement did to a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NakOutcome {
    /// It was acknowledged or sent again meanwhile.
    Stale,
    /// How often later ones have overtaken it.
    StillInFlight(u8),
    /// The bytes it had in flight.
    Lost(usize),
}

/// Where in a packet a fragment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the first of its flow there.
    First,
    /// The chunk before it is the fragment before it.
    Next,
    /// Another fragment of its flow is there.
    Behind,
}

/// What an acknowledgement freed.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Acked {
    pub bytes: usize,
    pub max_tsn: u64,
    /// Something that counted as lost had only been overtaken.
    pub was_overtaken: bool,
}

/// A flow that we send.
#[derive(Debug)]
pub(crate) struct SendFlow {
    pub id: u64,
    pub options: FlowOptions,
    /// Encoded option list, sent until the flow is first acknowledged.
    startup_options: Vec<u8>,
    queue: VecDeque<Entry>,
    /// Sequence number of the queue's front.
    head: u64,
    /// First number never sent.
    next_unsent: u64,
    lost: BTreeSet<u64>,
    /// What is acknowledged behind the front.
    acked: RangeSet,
    final_sequence: Option<u64>,
    window: FarWindow,
    /// The receiver has all up to here, or knows that it will not come.
    far_cumulative: u64,
    buffered: usize,
    rejected: bool,
}

impl SendFlow {
    pub fn new(id: u64, metadata: &[u8], association: Option<u64>, options: FlowOptions) -> Self {
        let mut startup_options = Vec::new();
        // librtmfp wants the metadata first and the association second.
        put_option(&mut startup_options, flow_option::METADATA, metadata);
        if let Some(flow) = association {
            let mut value = Vec::new();
            put_vlu(&mut value, flow);
            put_option(&mut startup_options, flow_option::RETURN_ASSOCIATION, &value);
        }
        put_marker(&mut startup_options);
        Self {
            id,
            options,
            startup_options,
            queue: VecDeque::new(),
            head: 1,
            next_unsent: 1,
            lost: BTreeSet::new(),
            acked: RangeSet::default(),
            final_sequence: None,
            window: FarWindow::default(),
            far_cumulative: 0,
            buffered: 0,
            rejected: false,
        }
    }

    /// Queues a message, cut so that each fragment fits a packet with `packet_space` bytes for
    /// chunks. False when the flow is closed.
    pub fn queue(&mut self, message: Bytes, deadline: Deadline, packet_space: usize) -> bool {
        if self.final_sequence.is_some() {
            return false;
        }
        self.buffered += message.len();
        let room = packet_space - MAX_DATA_HEADER - self.startup_options.len();
        let mut rest = message;
        let mut is_first = true;
        loop {
            let data = rest.split_to(rest.len().min(room));
            let fragment = match (is_first, rest.is_empty()) {
                (true, true) => FragmentControl::Whole,
                (true, false) => FragmentControl::Begin,
                (false, true) => FragmentControl::End,
                (false, false) => FragmentControl::Middle,
            };
            self.push(data, fragment, deadline, false);
            is_first = false;
            if rest.is_empty() {
                return true;
            }
        }
    }

    fn push(
        &mut self,
        data: Bytes,
        fragment: FragmentControl,
        deadline: Deadline,
        abandoned: bool,
    ) {
        self.queue.push_back(Entry {
            data,
            fragment,
            deadline,
            abandoned,
            is_overtaken: false,
            delivery: Delivery::Queued,
        });
    }

    fn end(&self) -> u64 {
        self.head + self.queue.len() as u64
    }

    fn entry(&mut self, sequence: u64) -> Option<&mut Entry> {
        let index = sequence.checked_sub(self.head)?;
        self.queue.get_mut(usize::try_from(index).ok()?)
    }

    /// Bytes queued or in flight.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Of that, what is not in flight.
    pub fn waiting(&self) -> usize {
        self.buffered.saturating_sub(self.window.in_flight())
    }

    pub fn is_open(&self) -> bool {
        self.final_sequence.is_none()
    }

    /// Everything was sent, acknowledged and closed.
    pub fn is_complete(&self) -> bool {
        self.final_sequence.is_some() && self.queue.is_empty()
    }

    /// RFC 7016 §3.6.2.9.1: the receiver takes nothing, though there is something for it.
    pub fn is_suspended(&self) -> bool {
        !self.rejected && self.window.is_closed() && !self.queue.is_empty()
    }

    /// To be called whenever the queue or the far end's window may have changed.
    pub fn schedule_probe(&mut self, now: Instant, erto: Duration) {
        match self.is_suspended() {
            true => self.window.schedule_probe(now, erto),
            false => self.window.cancel_probe(),
        }
    }

    /// When a Buffer Probe is due.
    pub fn probe_at(&self) -> Option<Instant> {
        self.window.probe_at()
    }

    /// A Buffer Probe was sent; the next one waits longer.
    pub fn on_probed(&mut self, now: Instant, erto: Duration) {
        self.window.on_probed(now, erto);
    }

    /// RFC 7016 §3.6.2.11: an unsent last entry becomes final, else an empty one is added.
    pub fn close(&mut self) {
        if self.final_sequence.is_some() {
            return;
        }
        // One that may expire must not be the end: its receiver could not tell its loss from an
        // empty end.
        let ends_with = |tail: &Entry| !tail.abandoned && tail.deadline.is_none();
        if self.end() == self.next_unsent || !self.queue.back().is_some_and(ends_with) {
            self.push(Bytes::new(), FragmentControl::Whole, None, true);
        }
        self.final_sequence = Some(self.end() - 1);
    }

    /// RFC 7016 §3.6.2.10: the receiver rejected the flow. False when it did so before.
    pub fn on_exception(&mut self) -> bool {
        let is_news = !std::mem::replace(&mut self.rejected, true);
        if is_news {
            for sequence in self.head..self.end() {
                self.abandon(sequence);
            }
            self.close();
        }
        is_news
    }

    fn abandon(&mut self, sequence: u64) {
        let Some(entry) = self.entry(sequence) else { return };
        if entry.delivery == Delivery::Acked {
            return;
        }
        let freed = std::mem::take(&mut entry.data).len();
        entry.abandoned = true;
        self.buffered -= freed;
        self.lost.remove(&sequence);
    }

    /// Abandons all fragments of the message that `sequence` belongs to.
    fn abandon_message(&mut self, sequence: u64) {
        use FragmentControl::{Begin, End, Whole};
        let control = |flow: &mut Self, at: u64| flow.entry(at).map(|entry| entry.fragment);
        let (mut first, mut last) = (sequence, sequence);
        while first > self.head && !matches!(control(self, first), Some(Begin | Whole)) {
            first -= 1;
        }
        while last + 1 < self.end() && !matches!(control(self, last), Some(End | Whole)) {
            last += 1;
        }
        for at in first..=last {
            self.abandon(at);
        }
    }

    /// Discards what nobody waits for at the front.
    fn trim(&mut self) {
        while let Some(front) = self.queue.front() {
            let is_gone = front.delivery == Delivery::Acked
                || (front.abandoned && front.delivery == Delivery::Queued && self.queue.len() >= 2);
            if !is_gone {
                break;
            }
            if self.queue.len() == 1 && self.far_cumulative < self.head {
                self.keep_for_forward_update();
                break;
            }
            self.lost.remove(&self.head);
            self.queue.pop_front();
            self.head += 1;
        }
        self.acked.advance(self.head - 1);
        self.next_unsent = self.next_unsent.max(self.head);
    }

    /// RFC 7016 §3.6.2.7.1: the receiver has the last fragment but waits for others that were given
    /// up. The last one stays, abandoned, to carry the forward sequence number over the gap.
    fn keep_for_forward_update(&mut self) {
        if let Some(last) = self.queue.front_mut() {
            last.abandoned = true;
            last.delivery = Delivery::Queued;
        }
        self.acked = RangeSet::default();
    }

    /// The next fragment to send, having given up those past their deadline.
    pub fn next_sendable(&mut self, now: Instant) -> Option<u64> {
        self.trim();
        if self.window.is_full() && !self.rejected {
            return None;
        }
        loop {
            let may_begin =
                self.next_unsent < self.end() && self.next_unsent - self.head < MAX_SPAN;
            let unsent = may_begin.then_some(self.next_unsent);
            let Some(sequence) = self.lost.first().copied().into_iter().chain(unsent).min() else {
                return self.forward_update();
            };
            let entry = self.entry(sequence)?;
            if !entry.abandoned {
                if entry.deadline.is_none_or(|deadline| deadline > now) {
                    return Some(sequence);
                }
                self.abandon_message(sequence);
            }
            if unsent == Some(sequence) {
                self.next_unsent += 1;
            }
            self.trim();
        }
    }

    /// RFC 7016 §3.6.2.7.1: abandoned data that must still be spoken of, being alone or final.
    fn forward_update(&mut self) -> Option<u64> {
        let is_due = |entry: &Entry| entry.abandoned && entry.delivery == Delivery::Queued;
        if self.queue.len() == 1 && is_due(&self.queue[0]) {
            return Some(self.head);
        }
        let last = self.final_sequence?;
        self.entry(last).is_some_and(|entry| is_due(entry)).then_some(last)
    }

    /// RFC 7016 §3.6.2.3: nothing up to this number will be sent again.
    fn forward_sequence(&self) -> u64 {
        match self.queue.front() {
            Some(front) if front.abandoned => match front.delivery {
                Delivery::InFlight(flight) if !flight.sent_abandoned => self.head - 1,
                _ => self.head,
            },
            _ => self.head - 1,
        }
    }

    /// Appends the fragment as a chunk, short if it follows the one before in the packet.
    /// Returns its size, or nothing when it would take `out` past `limit`, or need the flow's
    /// options a second time in a packet.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        limit: usize,
        sequence: u64,
        place: Place,
        (tsn, at): (u64, Instant),
    ) -> Option<usize> {
        if place == Place::Behind && !self.startup_options.is_empty() {
            return None;
        }
        let forward_sequence = self.forward_sequence();
        let is_final = self.final_sequence == Some(sequence);
        let flow = self.id;
        let startup_options = std::mem::take(&mut self.startup_options);
        let entry = self.entry(sequence)?;
        let (fragment, abandoned) = (entry.fragment, entry.abandoned);
        let start = out.len();
        if place == Place::Next {
            put_next_user_data_header(out, fragment, abandoned, is_final);
        } else {
            let header =
                UserDataHeader { flow, sequence, forward_sequence, fragment, abandoned, is_final };
            header.put(out, &startup_options);
        }
        let fits = out.len() + entry.data.len() <= limit;
        let mut size = None;
        if fits {
            out.extend_from_slice(&entry.data);
            let written = out.len() - start;
            let payload = u16::try_from(written - 3).expect("a packet is far smaller");
            out[start + 1..start + 3].copy_from_slice(&payload.to_be_bytes());
            entry.delivery = Delivery::InFlight(Flight {
                tsn,
                at,
                naks: 0,
                size: written,
                sent_abandoned: abandoned,
            });
            size = Some(written);
        } else {
            out.truncate(start);
        }
        self.startup_options = startup_options;
        if let Some(written) = size {
            self.window.on_sent(written);
            self.lost.remove(&sequence);
            self.next_unsent = self.next_unsent.max(sequence + 1);
        }
        size
    }

    /// Takes in an acknowledgement: what it freed.
    pub fn on_ack(&mut self, ack: &DataAck<'_>, arrival: Arrival) -> Acked {
        self.startup_options.clear();
        self.window.on_ack(ack.buffer_blocks);
        self.far_cumulative = self.far_cumulative.max(ack.cumulative);
        let mut acked = Acked::default();
        self.ack_range(self.head, ack.cumulative, arrival, &mut acked);
        for (first, last) in ack.ranges() {
            if first >= self.next_unsent {
                break;
            }
            self.ack_range(first, last, arrival, &mut acked);
        }
        self.trim();
        acked
    }

    fn ack_range(&mut self, first: u64, last: u64, arrival: Arrival, acked: &mut Acked) {
        let last = last.min(self.next_unsent.saturating_sub(1));
        let first = first.max(self.head);
        if first > last {
            return;
        }
        let news: Vec<_> = self.acked.missing(first, last).collect();
        self.acked.insert_run(first, last);
        for sequence in news.into_iter().flat_map(|(first, last)| first..=last) {
            let Some(entry) = self.entry(sequence) else { return };
            acked.was_overtaken |= entry.is_overtaken && entry.was_acked_before_it_could(arrival);
            let flight = match std::mem::replace(&mut entry.delivery, Delivery::Acked) {
                Delivery::InFlight(flight) => Some(flight),
                Delivery::Queued => None,
                Delivery::Acked => continue,
            };
            let freed = std::mem::take(&mut entry.data).len();
            self.buffered -= freed;
            self.lost.remove(&sequence);
            if let Some(flight) = flight {
                self.window.on_freed(flight.size);
                acked.bytes += flight.size;
                acked.max_tsn = acked.max_tsn.max(flight.tsn);
            }
        }
    }

    /// A later transmission was acknowledged before this one; after `limit` of those it is lost, and
    /// at once if it was sent before `overdue_since`.
    pub fn on_nak(
        &mut self,
        sequence: u64,
        tsn: u64,
        limit: u8,
        overdue_since: Option<Instant>,
    ) -> NakOutcome {
        let Some(entry) = self.entry(sequence) else { return NakOutcome::Stale };
        let Delivery::InFlight(flight) = &mut entry.delivery else { return NakOutcome::Stale };
        if flight.tsn != tsn {
            return NakOutcome::Stale;
        }
        flight.naks += 1;
        let is_overdue = overdue_since.is_some_and(|since| flight.at < since);
        if flight.naks < limit && !is_overdue {
            return NakOutcome::StillInFlight(flight.naks);
        }
        entry.is_overtaken = true;
        NakOutcome::Lost(self.lose(sequence).unwrap_or(0))
    }

    /// The fragment is no longer in flight; returns the bytes it had there.
    pub fn on_timeout(&mut self, sequence: u64, tsn: u64) -> Option<usize> {
        match self.entry(sequence)?.delivery {
            Delivery::InFlight(flight) if flight.tsn == tsn => self.lose(sequence),
            _ => None,
        }
    }

    fn lose(&mut self, sequence: u64) -> Option<usize> {
        let entry = self.entry(sequence)?;
        let Delivery::InFlight(flight) = entry.delivery else { return None };
        entry.delivery = Delivery::Queued;
        let is_wanted = !entry.abandoned;
        self.window.on_freed(flight.size);
        if is_wanted {
            self.lost.insert(sequence);
        }
        Some(flight.size)
    }
}

#[cfg(test)]
mod tests;
