//! What is known of one member.

use std::time::{Duration, Instant};

use rtmfp::{
    crypto::PeerId,
    wire::{Address, Origin},
};

/// Addresses kept of one member, its relay apart.
const MAX_ADDRESSES: usize = 7;
/// A member that could not be reached is tried again after this; each time later.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(120);
/// After so many failures a member is forgotten.
const HOPELESS: u32 = 6;
/// Who left is not looked for before this.
const ABSENCE: Duration = Duration::from_secs(60);

/// Who told us of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Informant {
    /// The member itself.
    Itself,
    /// Our server, which has a session with it.
    Server,
    /// Another member.
    Peer(PeerId),
}

/// An address, and who told us of it.
#[derive(Debug, Clone, Copy)]
struct Told {
    address: Address,
    by: Informant,
    /// The member itself, or two others.
    is_confirmed: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub peer: PeerId,
    addresses: Vec<Told>,
    pub at: Instant,
    informant: Informant,
    /// It once showed that it belongs to the group.
    pub is_proven: bool,
    /// It is our neighbour now.
    pub is_connected: bool,
    /// How often in a row it could not be reached.
    pub failures: u32,
    /// Not to be tried before.
    retry_at: Option<Instant>,
    has_left: bool,
}

impl Heard {
    pub fn new(at: Instant, peer: PeerId, informant: Informant) -> Self {
        Self {
            peer,
            addresses: Vec::new(),
            at,
            informant,
            is_proven: false,
            is_connected: false,
            failures: 0,
            retry_at: None,
            has_left: false,
        }
    }

    /// News of it. The server and the member itself know best: what we thought of it is void.
    pub fn learn(&mut self, at: Instant, addresses: &[Address], informant: Informant) {
        let is_certain = !matches!(informant, Informant::Peer(_));
        if is_certain || (self.has_left && at > self.at) {
            self.has_left = false;
            self.retry_at = if is_certain { None } else { self.retry_at };
        }
        if is_certain {
            self.failures = 0;
        }
        self.at = self.at.max(at);
        for address in addresses.iter().filter(|address| address.is_connectable()) {
            self.learn_address(*address, informant);
        }
    }

    fn learn_address(&mut self, address: Address, by: Informant) {
        let is_confirmed = !matches!(by, Informant::Peer(_));
        if let Some(told) = self.addresses.iter_mut().find(|told| told.address == address) {
            told.is_confirmed |= is_confirmed || told.by != by;
            return;
        }
        let told = Told { address, by, is_confirmed };
        if address.origin == Origin::Relay {
            let yields = |old: &Told| is_confirmed || !old.is_confirmed;
            let replaces = |old: &Told| old.address.origin == Origin::Relay && yields(old);
            self.addresses.retain(|old| !replaces(old));
            self.addresses.insert(0, told);
        } else if self.addresses.len() <= MAX_ADDRESSES {
            self.addresses.push(told);
        } else if let Some(doubtful) = self.addresses.iter_mut().find(|told| !told.is_confirmed) {
            *doubtful = told;
        }
    }

    /// Those that others are told of: one member's word does not become two by being passed on.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.trusted_addresses(false)
    }

    /// Those at which we may knock: nobody can send us to a stranger by a word of his own.
    pub fn trusted_addresses(&self, trusts_hearsay: bool) -> impl Iterator<Item = Address> + '_ {
        let is_trusted = move |told: &&Told| told.is_confirmed || trusts_hearsay;
        self.addresses.iter().filter(is_trusted).map(|told| told.address)
    }

    /// Nobody but this informant vouches for it.
    pub fn is_hearsay_of(&self, informant: Informant) -> bool {
        self.informant == informant && !self.is_proven && !self.is_connected
    }

    /// It could not be reached, or fell silent.
    pub fn fail(&mut self, now: Instant) {
        self.is_connected = false;
        let pause = FIRST_RETRY * 2u32.saturating_pow(self.failures.min(8));
        self.retry_at = Some(now + pause.min(LAST_RETRY));
        self.failures += 1;
    }

    /// It said goodbye.
    pub fn leave(&mut self, now: Instant) {
        self.is_connected = false;
        self.has_left = true;
        self.at = now;
        self.retry_at = Some(now + ABSENCE);
    }

    /// We and it agreed to part; it is still a member.
    pub fn part(&mut self, now: Instant) {
        self.is_connected = false;
        self.at = now;
        self.retry_at = Some(now + ABSENCE);
    }

    /// It is our neighbour.
    pub fn connect(&mut self, now: Instant) {
        self.is_connected = true;
        self.is_proven = true;
        self.has_left = false;
        (self.failures, self.retry_at, self.at) = (0, None, now);
    }

    /// As far as we know it is there.
    pub fn is_alive(&self) -> bool {
        self.is_connected || (!self.has_left && self.failures == 0)
    }

    pub fn is_hopeless(&self) -> bool {
        self.failures >= HOPELESS
    }

    /// Whether to try to reach it.
    pub fn may_try(&self, now: Instant) -> bool {
        !self.is_connected && self.retry_at.is_none_or(|at| at <= now)
    }
}
