//! Channels: names that people know, and the groups behind them.

use netgroup::{Capabilities, GroupSpec, GroupSpecError};

/// Where BitTube's channels are.
pub const DEFAULT_PREFIX: &str = "bittube.vanderbilt.edu/";
/// What BitTube calls the stream of a channel.
pub const DEFAULT_STREAM: &str = "stream";

/// The group of a channel, as BitTube's clients build it: version 1.
pub fn channel_group(prefix: &str, channel: &str) -> Result<GroupSpec, GroupSpecError> {
    GroupSpec::new(&format!("{prefix}{channel}"), Capabilities::CHANNEL, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cctv_is_bittubes() {
        let spec = channel_group(DEFAULT_PREFIX, "cctv").unwrap();
        assert_eq!(netgroup::hex(&spec.group_id()[..4]), "c74c5f8f");
    }
}
