//! What members may do that no honest one does.

use std::fmt;

/// A kind of lie or flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misconduct {
    /// A map of fragments far beyond what anybody else has.
    FarMap,
    /// A fragment far beyond what anybody else has.
    FarFragment,
    /// A fragment long gone, which nobody asked for.
    LowFragment,
    /// The end of a stream that goes on.
    FalseEnd,
    /// More streams than one member needs.
    TooManyStreams,
    /// More messages or flows than one member needs.
    Flood,
    /// Messages that make no sense.
    Malformed,
}

impl Misconduct {
    /// How many times are too many.
    pub(crate) fn tolerance(self) -> u32 {
        match self {
            Self::FarMap | Self::FarFragment | Self::FalseEnd => 3,
            Self::LowFragment => 64,
            Self::TooManyStreams => 8,
            Self::Flood => 4,
            Self::Malformed => 16,
        }
    }
}

impl fmt::Display for Misconduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FarMap => "it claims fragments that cannot exist yet",
            Self::FarFragment => "it sends fragments that cannot exist yet",
            Self::LowFragment => "it sends fragments of long ago",
            Self::FalseEnd => "it ends a stream that goes on",
            Self::TooManyStreams => "it announces one stream after the other",
            Self::Flood => "it floods us",
            Self::Malformed => "its messages make no sense",
        })
    }
}
