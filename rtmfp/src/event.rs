//! What an endpoint tells its application.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;

use crate::{
    crypto::PeerId,
    path::Path,
    wire::{Address, Mode, chunk::PacketFragment},
};

/// Names a session of one endpoint, opening or open; not reused soon. It is also the session ID
/// on which the endpoint receives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u32);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.0)
    }
}

/// Something happened. Sessions that are gone have no further events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A session is open, whoever began it.
    SessionOpened {
        /// Its handle.
        session: SessionId,
        /// Who is at the far end.
        peer: PeerId,
        /// True if the far end asked for it.
        is_responder: bool,
    },
    /// A session that we asked for will not open.
    OpenFailed {
        /// The handle that [`crate::Endpoint::open`] gave.
        session: SessionId,
        /// Why.
        reason: OpenFailure,
    },
    /// A session is over; all its flows are gone.
    SessionClosed {
        /// Its handle, now dead.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// The far end has proved to be at another address now.
    AddressChanged {
        /// Its handle.
        session: SessionId,
        /// Where it is.
        path: Path,
    },
    /// Something about one flow.
    Flow {
        /// The flow's session.
        session: SessionId,
        /// What.
        event: FlowEvent,
    },
    /// Somebody without a session looks for an endpoint that is not us: introduce them with
    /// [`crate::Endpoint::redirect`] and [`crate::SessionMut::forward_hello`], or do nothing.
    Wanted {
        /// Where the question came from, for the answer.
        from: Path,
        /// The endpoint looked for.
        peer: PeerId,
        /// To be passed on in both directions.
        tag: Bytes,
    },
}

/// Something happened to a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowEvent {
    /// The far end opened a flow; reject it if its metadata means nothing to you.
    Opened {
        /// The far end's number for it.
        flow: u64,
        /// What it is for.
        metadata: Bytes,
        /// Our flow that it answers.
        association: Option<u64>,
    },
    /// A message arrived on a flow of the far end.
    Message {
        /// The far end's number for the flow.
        flow: u64,
        /// The whole message.
        data: Bytes,
    },
    /// The sender gave something up: messages are missing before the next one that comes.
    Gap {
        /// The far end's number for the flow.
        flow: u64,
    },
    /// The far end ended a flow and everything of it was delivered.
    Finished {
        /// The far end's number for it.
        flow: u64,
    },
    /// The far end refuses one of our flows; it is closed.
    Rejected {
        /// Our number for it.
        flow: u64,
        /// Its reason; 0 says nothing.
        code: u64,
    },
}

/// Why a session did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenFailure {
    /// Nobody answered in 95 s.
    TimedOut,
    /// A session with the same endpoint exists or came about first; that one is used.
    Superseded(SessionId),
    /// The far end's keys are not acceptable.
    Refused,
    /// We gave it up.
    Cancelled,
}

/// Why an open session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// We asked for it.
    Near,
    /// The far end closed it.
    Far,
    /// The far end no longer answers.
    TimedOut,
    /// The far end opened a new session from the same address.
    Replaced,
}

/// Where a session's events go.
pub(crate) struct EventSink<'a> {
    pub session: SessionId,
    pub queue: &'a mut VecDeque<Event>,
}

impl EventSink<'_> {
    pub fn flow(&mut self, event: FlowEvent) {
        self.queue.push_back(Event::Flow { session: self.session, event });
    }
}

/// A chunk in a session's packet that concerns the whole endpoint.
pub(crate) enum Elsewhere<'a> {
    /// FIHello: somebody looks for us.
    Forwarded(ForwardRequest<'a>),
    /// A piece of a packet, in a packet of this mode.
    Piece(Mode, PacketFragment<'a>),
}

/// How a forwarded hello names the initiator.
pub(crate) struct ForwardRequest<'a> {
    pub epd: &'a [u8],
    pub reply_address: Address,
    pub tag: &'a [u8],
}
