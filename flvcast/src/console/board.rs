//! What is true of everything now, made once a second by who has the channels, and read by all who
//! ask.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::sync::watch;

use super::{History, Places};
use crate::{
    peer::{MemberStats, SharedStats},
    push::PushState,
    record::RecordState,
    web::Shown,
};

/// Everything.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// The rendezvous server.
    pub server: ServerView,
    /// All channels, those that do not run too.
    pub channels: Vec<ChannelView>,
    /// What is wrong right now.
    pub troubles: Vec<Trouble>,
}

/// The connection to the rendezvous server.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ServerView {
    /// Its URL.
    pub url: String,
    /// Whether it has us.
    pub connected: bool,
    /// For how long that is so.
    pub for_ms: u64,
}

/// Something to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Of which channel, if of one.
    pub channel: Option<String>,
    /// In words.
    pub text: String,
}

/// What a channel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It was stopped.
    Stopped,
    /// It runs.
    Running,
    /// All was cast.
    Over,
    /// It failed, and is tried again.
    Failed,
}

/// A channel.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelView {
    /// In URLs.
    pub name: String,
    /// For people, if it is not the name.
    pub title: Option<String>,
    /// Whether it is cast from here, or watched.
    pub casts: bool,
    /// What it does.
    pub phase: Phase,
    /// Where it comes from.
    pub sources: Vec<String>,
    /// Its group's ID, in hexadecimal.
    pub group: String,
    /// What its players see.
    pub shown: Option<Shown>,
    /// From the caster to here, if it is watched and the clocks agree.
    pub delay_ms: Option<u64>,
    /// From joining to the first picture or sound.
    pub startup_ms: Option<u64>,
    /// How often it fell silent without having ended.
    pub interruptions: u64,
    /// How far viewers can go back.
    pub kept_ms: u64,
    /// Browsers and players that have it from here by HTTP.
    pub http_viewers: usize,
    /// What its group knows.
    pub group_stats: GroupView,
    /// Over the last seconds.
    pub rates: Rates,
    /// What is kept of it.
    pub record: Option<RecordState>,
    /// Where else it is pushed to.
    pub pushes: Vec<PushState>,
}

/// Counters of a channel's group and stream, from the start.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct GroupView {
    /// Members, ourselves included.
    pub members: u64,
    /// There are too many to be counted: `members` is a likely number.
    pub members_estimated: bool,
    /// Members but ourselves and others who cast what we cast.
    pub users: u64,
    /// Connected members.
    pub neighbours: usize,
    /// Who casts, ourselves not counted.
    pub other_casters: usize,
    /// Bytes of the stream published here.
    pub bytes_published: u64,
    /// Bytes of the stream sent to neighbours.
    pub bytes_sent: u64,
    /// Bytes of the stream from its caster.
    pub bytes_from_source: u64,
    /// Bytes of the stream from other members.
    pub bytes_from_peers: u64,
    /// Fragments that never came.
    pub fragments_lost: u64,
    /// Neighbours dropped for what they did.
    pub neighbours_banned: u64,
}

impl From<MemberStats> for GroupView {
    fn from(stats: MemberStats) -> Self {
        let MemberStats { group, stream, casters } = stats;
        let others = group.members.saturating_sub(1);
        Self {
            members: group.members,
            users: others.saturating_sub(group.contenders as u64),
            members_estimated: group.is_estimate,
            neighbours: group.neighbours,
            other_casters: casters,
            bytes_published: stream.bytes_published,
            bytes_sent: stream.bytes_sent,
            bytes_from_source: stream.bytes_from_source,
            bytes_from_peers: stream.bytes_from_peers,
            fragments_lost: stream.fragments_lost,
            neighbours_banned: group.neighbours_banned,
        }
    }
}

/// What changes, over the last seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Bits a second of the stream, cast or received.
    pub bitrate: f64,
    /// Bits a second sent to neighbours.
    pub upload: f64,
    /// The part that members have from each other, 0 to 1.
    pub peer_share: Option<f64>,
}

impl Rates {
    /// Between two looks.
    pub fn between(before: &GroupView, now: &GroupView, seconds: f64) -> Self {
        let rate = |of: fn(&GroupView) -> u64| {
            of(now).saturating_sub(of(before)) as f64 * 8.0 / seconds.max(0.001)
        };
        let (published, upload) = (rate(|view| view.bytes_published), rate(|view| view.bytes_sent));
        let (source, peers) =
            (rate(|view| view.bytes_from_source), rate(|view| view.bytes_from_peers));
        let users = now.users as f64;
        let peer_share = if published > 0.0 {
            (users > 0.0).then(|| (1.0 - upload / (published * users)).max(0.0))
        } else {
            (source + peers > 0.0).then(|| peers / (source + peers))
        };
        Self { bitrate: published + source + peers, upload, peer_share }
    }
}

/// Where it hangs.
#[derive(Clone)]
pub struct Board {
    latest: Arc<watch::Sender<Arc<Snapshot>>>,
    shared: Arc<Mutex<Behind>>,
}

/// What is asked for now and then.
#[derive(Debug, Default)]
pub struct Behind {
    /// The charts.
    pub history: History,
    /// Each channel's group, and our own place in it.
    pub groups: Vec<(String, SharedStats)>,
    /// Our fingerprint.
    pub own: Option<rtmfp::crypto::PeerId>,
    /// Where addresses are.
    pub places: Option<Places>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Board")
    }
}

impl Board {
    /// With nothing on it.
    pub fn new(history: History, places: Option<Places>) -> Self {
        let behind = Behind { history, places, ..Behind::default() };
        Self {
            latest: Arc::new(watch::Sender::new(Arc::default())),
            shared: Arc::new(Mutex::new(behind)),
        }
    }

    /// Hangs up something new.
    pub fn set(&self, snapshot: Snapshot) {
        self.latest.send_replace(Arc::new(snapshot));
    }

    /// The latest.
    pub fn get(&self) -> Arc<Snapshot> {
        self.latest.borrow().clone()
    }

    /// Tells when there is something new.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.latest.subscribe()
    }

    /// The rest.
    pub fn behind(&self) -> MutexGuard<'_, Behind> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caster_knows_what_members_have_from_each_other() {
        let before = GroupView::default();
        let now = GroupView {
            members: 11,
            users: 10,
            bytes_published: 100_000,
            bytes_sent: 400_000,
            ..GroupView::default()
        };
        let rates = Rates::between(&before, &now, 2.0);
        assert_eq!((rates.bitrate, rates.upload), (400_000.0, 1_600_000.0));
        assert_eq!(rates.peer_share, Some(0.6));
        let alone = GroupView { members: 1, users: 0, ..now };
        assert_eq!(Rates::between(&before, &alone, 2.0).peer_share, None);
    }

    #[test]
    fn a_viewer_counts_what_it_got() {
        let now = GroupView { bytes_from_source: 100, bytes_from_peers: 300, ..Default::default() };
        assert_eq!(Rates::between(&GroupView::default(), &now, 1.0).peer_share, Some(0.75));
    }
}
