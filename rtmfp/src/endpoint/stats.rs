//! Counters of an endpoint.

/// Plain numbers; text and charts are made from them at the edge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Sessions now, opening and closing ones included.
    pub sessions: usize,
    /// Sessions that opened.
    pub sessions_opened: u64,
    /// All datagrams that came in.
    pub datagrams_received: u64,
    /// All datagrams that went out.
    pub datagrams_sent: u64,
    /// UDP payload bytes that went out.
    pub bytes_sent: u64,
    /// Too short, or no valid header.
    pub dropped_malformed: u64,
    /// For a session that does not exist.
    pub dropped_unknown_session: u64,
    /// Checksum wrong, or forged.
    pub dropped_unverified: u64,
    /// Received before, by their session sequence number.
    pub dropped_replayed: u64,
    /// Fragments of packets that were not wanted, not consistent or one too many.
    pub dropped_fragments: u64,
    /// Sessions whose far end moved to another address.
    pub sessions_moved: u64,
    /// Hellos answered with a cookie.
    pub hellos_answered: u64,
    /// Hellos and keyings beyond what one address may ask for.
    pub refused_busy: u64,
    /// Keyings with a cookie that was not ours, too old or not from there.
    pub cookies_refused: u64,
    /// Keyings whose keys or certificates were not acceptable.
    pub keyings_refused: u64,
}
