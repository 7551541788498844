//! A channel's counters, over all its publications.

use netgroup::{StreamStats, wire::StreamKey};

/// Of a channel's publications, of which one plays at a time.
#[derive(Debug, Default)]
pub struct Totals {
    /// Of those that are over.
    before: StreamStats,
    /// The one that plays is the last.
    known: Vec<(StreamKey, StreamStats)>,
}

/// Publications that are told apart; the oldest is over.
const MAX_KNOWN: usize = 32;

impl Totals {
    /// Counters of the one that plays, if there is one; those of all.
    pub fn take(&mut self, latest: Option<(StreamKey, StreamStats)>) -> StreamStats {
        if let Some((key, stream)) = latest {
            match self.known.iter().position(|(known, _)| *known == key) {
                Some(at) => {
                    let (_, known) = self.known.remove(at);
                    // One that was forgotten and found again counts from nothing.
                    if stream.newest < known.newest {
                        self.before = sum(&self.before, &known);
                    }
                }
                None if self.known.len() >= MAX_KNOWN => {
                    let (_, oldest) = self.known.remove(0);
                    self.before = sum(&self.before, &oldest);
                }
                None => {}
            }
            self.known.push((key, stream));
        }
        self.all()
    }

    /// Counters of all of them; what is true now is of the one that plays.
    pub fn all(&self) -> StreamStats {
        let before = StreamStats { neighbours: 0, pushed_to: 0, newest: 0, ..self.before };
        self.known.iter().fold(before, |all, (_, stream)| sum(&all, stream))
    }

    /// What was counted elsewhere comes before.
    pub fn go_on_from(&mut self, before: &StreamStats) {
        self.before = sum(&self.before, before);
    }

    /// Counters of the one that plays, by itself.
    pub fn latest(&self) -> StreamStats {
        self.known.last().map_or(StreamStats::default(), |(_, stream)| *stream)
    }
}

/// Counters added; what is true now is of the latter.
fn sum(before: &StreamStats, latest: &StreamStats) -> StreamStats {
    StreamStats {
        neighbours: latest.neighbours,
        pushed_to: latest.pushed_to,
        newest: latest.newest,
        bytes_from_source: before.bytes_from_source + latest.bytes_from_source,
        bytes_from_peers: before.bytes_from_peers + latest.bytes_from_peers,
        fragments_pulled: before.fragments_pulled + latest.fragments_pulled,
        duplicates: before.duplicates + latest.duplicates,
        fragments_lost: before.fragments_lost + latest.fragments_lost,
        bytes_sent: before.bytes_sent + latest.bytes_sent,
        bytes_published: before.bytes_published + latest.bytes_published,
        pulls_refused: before.pulls_refused + latest.pulls_refused,
        unasked: before.unasked + latest.unasked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_count_each_publication_once() {
        let mut totals = Totals::default();
        let stats = |bytes| StreamStats {
            bytes_from_peers: bytes,
            newest: bytes,
            neighbours: 3,
            ..StreamStats::default()
        };
        let [one, other] = [1, 2].map(|number| StreamKey([number; 32]));
        let mut take = |key, bytes| totals.take(Some((key, stats(bytes)))).bytes_from_peers;
        assert_eq!((take(one, 100), take(other, 10), take(one, 150)), (100, 110, 160));
        assert_eq!(take(one, 5), 165, "it was forgotten and found again");
        let many = (3..90).map(|number| take(StreamKey([number; 32]), 1)).last();
        assert_eq!(many, Some(165 + 87));
        assert_eq!(totals.take(None).bytes_from_peers, 165 + 87);
        assert_eq!(totals.take(None).neighbours, 3);
        totals.go_on_from(&stats(1000));
        assert_eq!(totals.take(None).bytes_from_peers, 1165 + 87);
        assert_eq!(totals.latest().bytes_from_peers, 1);
    }
}
