//! Groupspecs: the strings that name groups and say what they may do.
//!
//! `G:` and lowercase hex of options: the canonical part, whose text is hashed to the group's ID,
//! a `00`, and what is not part of the identity. The layout is that of AS3's GroupSpecifier.

use std::{fmt, str::FromStr};

use rtmfp::{
    crypto::{hmac_sha256, sha256},
    wire::{OptionItem, Options, Reader, put_marker, put_option},
};
use thiserror::Error;

mod option {
    pub const ROUTING: u64 = 0x00;
    pub const MULTICAST: u64 = 0x01;
    pub const OBJECT_REPLICATION: u64 = 0x02;
    pub const POSTING: u64 = 0x03;
    pub const SERVER_CHANNEL: u64 = 0x0c;
    pub const PEER_TO_PEER_DISABLED: u64 = 0x0d;
    pub const NAME: u64 = 0x0e;
    pub const IP_MULTICAST_UPDATES: u64 = 0x1b;
    pub const VERSION: u64 = 0x7f;
}

/// librtmfp reads the length of a name as one byte.
const MAX_NAME: usize = 126;
/// Longer strings are refused unread.
const MAX_TEXT: usize = 8192;

/// The text is not a groupspec. Blame lies with who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GroupSpecError {
    /// Not `G:` and hex digits.
    #[error("a groupspec is 'G:' followed by an even number of hex digits")]
    NotHex,
    /// The options end early, or the canonical part never ends.
    #[error("the groupspec is cut off or damaged: its options do not end with 00")]
    Truncated,
    /// A name that other programs cannot read.
    #[error("a group name has 1 to {MAX_NAME} bytes, this one has {0}")]
    NameLength(usize),
}

/// What a group's members may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Directed routing.
    pub routing: bool,
    /// Streams.
    pub multicast: bool,
    /// Object replication.
    pub object_replication: bool,
    /// Posting.
    pub posting: bool,
    /// Members may be bootstrapped by a server.
    pub server_channel: bool,
    /// No connections between members.
    pub peer_to_peer_disabled: bool,
    /// Membership may be told by IP multicast.
    pub ip_multicast_updates: bool,
}

impl Capabilities {
    /// All that BitTube's clients enable.
    pub const CHANNEL: Self = Self {
        routing: true,
        multicast: true,
        object_replication: true,
        posting: true,
        server_channel: true,
        peer_to_peer_disabled: false,
        ip_multicast_updates: false,
    };

    /// In canonical order, split by what comes before the name and after.
    fn before_name(&self) -> [(bool, u64); 6] {
        [
            (self.routing, option::ROUTING),
            (self.multicast, option::MULTICAST),
            (self.object_replication, option::OBJECT_REPLICATION),
            (self.posting, option::POSTING),
            (self.server_channel, option::SERVER_CHANNEL),
            (self.peer_to_peer_disabled, option::PEER_TO_PEER_DISABLED),
        ]
    }
}

/// A groupspec. It keeps the text it was given, for that is what is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    text: String,
    canonical_len: usize,
    version: u64,
    name: String,
    capabilities: Capabilities,
}

impl GroupSpec {
    /// The spec that AS3 builds for this name; version 1 is Flash Player before 11.5, else 2.
    pub fn new(
        name: &str,
        capabilities: Capabilities,
        version: u64,
    ) -> Result<Self, GroupSpecError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(GroupSpecError::NameLength(name.len()));
        }
        let mut bytes = Vec::new();
        if version > 1 {
            put_option(&mut bytes, option::VERSION, &[version as u8]);
        }
        for (_, kind) in capabilities.before_name().into_iter().filter(|(on, _)| *on) {
            put_option(&mut bytes, kind, &[]);
        }
        put_option(&mut bytes, option::NAME, name.as_bytes());
        if capabilities.ip_multicast_updates {
            put_option(&mut bytes, option::IP_MULTICAST_UPDATES, &[]);
        }
        put_marker(&mut bytes);
        format!("G:{}", hex(&bytes)).parse()
    }

    /// The text that names the group, up to but without the `00`. Also the secret that members
    /// prove to each other.
    pub fn canonical(&self) -> &str {
        &self.text[..self.canonical_len]
    }

    /// 1 or 2.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The first name option.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What members may do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// SHA-256 of the canonical text; twice from version 2 on, so that the server, which is told
    /// the ID, does not learn the secret.
    pub fn group_id(&self) -> [u8; 32] {
        self.group_id_as(self.version)
    }

    /// The ID by the rule of a version.
    pub fn group_id_as(&self, version: u64) -> [u8; 32] {
        let once = sha256(&[self.canonical().as_bytes()]);
        if version > 1 { sha256(&[&once]) } else { once }
    }

    /// What a member sends to prove that it knows the spec: `nonce` is the receiver's near nonce.
    pub fn proof(&self, nonce: &[u8; 32]) -> [u8; 32] {
        hmac_sha256(self.canonical().as_bytes(), nonce)
    }
}

impl fmt::Display for GroupSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for GroupSpec {
    type Err = GroupSpecError;

    fn from_str(text: &str) -> Result<Self, GroupSpecError> {
        let digits = text.strip_prefix("G:").ok_or(GroupSpecError::NotHex)?;
        let bytes =
            unhex(digits).filter(|_| text.len() <= MAX_TEXT).ok_or(GroupSpecError::NotHex)?;
        let mut reader = Reader::new(&bytes);
        let (mut version, mut name, mut capabilities) = (1, None, Capabilities::default());
        let canonical_bytes = loop {
            let consumed = bytes.len() - reader.remaining();
            match Options::read(&mut reader).map_err(|_| GroupSpecError::Truncated)? {
                OptionItem::Marker => break consumed,
                OptionItem::Option(kind, value) => match kind {
                    option::VERSION => version = Reader::new(value).vlu().unwrap_or(1).max(1),
                    option::NAME => {
                        name.get_or_insert_with(|| String::from_utf8_lossy(value).into_owned());
                    }
                    option::ROUTING => capabilities.routing = true,
                    option::MULTICAST => capabilities.multicast = true,
                    option::OBJECT_REPLICATION => capabilities.object_replication = true,
                    option::POSTING => capabilities.posting = true,
                    option::SERVER_CHANNEL => capabilities.server_channel = true,
                    option::PEER_TO_PEER_DISABLED => capabilities.peer_to_peer_disabled = true,
                    option::IP_MULTICAST_UPDATES => capabilities.ip_multicast_updates = true,
                    _ => {}
                },
            }
        };
        let canonical_len = 2 + 2 * canonical_bytes;
        Ok(Self {
            text: text.to_owned(),
            canonical_len,
            version,
            name: name.unwrap_or_default(),
            capabilities,
        })
    }
}

/// Lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if odd.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CCTV: &str = "bittube.vanderbilt.edu/cctv";

    fn nonce() -> [u8; 32] {
        std::array::from_fn(|index| index as u8)
    }

    #[test]
    fn bittube_channel_version_1() {
        let spec = GroupSpec::new(CCTV, Capabilities::CHANNEL, 1).unwrap();
        let text =
            "G:0100010101020103010c1c0e626974747562652e76616e64657262696c742e6564752f6363747600";
        assert_eq!(spec.to_string(), text);
        assert_eq!(spec.canonical(), &text[..text.len() - 2]);
        assert_eq!(
            hex(&spec.group_id()),
            "c74c5f8fef9634c00d37a06719e048ea783a1fc39d41852591a368d7c13184a0"
        );
        let proof = "0dc8b9be4d6939396381572f8e3ef468442a0e63d83605bdb989f9011b36139e";
        assert_eq!(hex(&spec.proof(&nonce())), proof);
    }

    #[test]
    fn bittube_channel_version_2() {
        let spec = GroupSpec::new(CCTV, Capabilities::CHANNEL, 2).unwrap();
        let text = "G:027f020100010101020103010c1c0e626974747562652e76616e64657262696c742e6564752f6363747600";
        assert_eq!(spec.to_string(), text);
        assert_eq!(
            hex(&spec.group_id()),
            "790fb9ea19d3da7c73b4d497ca96752eeca5eb2dc21a47b2b561b2e90959f6bf"
        );
        assert_eq!(
            hex(&spec.group_id_as(1)),
            "3e969046924516270db30bdae50aa7e09c6b880749aa62c4d79e1676146ff9d3"
        );
        let proof = "f0fcf11ed3fa6ed976b9c7837e60c4777270759b478c4823f7a57d39c9799ef5";
        assert_eq!(hex(&spec.proof(&nonce())), proof);
    }

    #[test]
    fn samples_of_other_programs_keep_their_text() {
        // librtmfp's README and test client, whose options are in an order of their own, and a
        // sample with a publish password.
        for (text, id) in [
            (
                "G:027f0201010103010c050e74657374011b00",
                "763f90e4b524a0e026052bb5696bd143246f26c6eb0b9fa31b0d1ed39a092620",
            ),
            (
                "G:027f02010101000103010c050e74657374011b00",
                "c3ab09fc9d3fd2fe3f4f82762c530b96f2eb1c49d9fe615f48f250545b731dc9",
            ),
            (
                "G:01010102010321050a22aade0583f6f26b1d5edef57b27a92dec77fa22f5aef85b364528c2bb979f010d040e616e73011b00",
                "f9cc1272a94811cbeb29d61a5a482d2dfa2d152c735d6e3f685e113da137a823",
            ),
        ] {
            let spec: GroupSpec = text.parse().unwrap();
            assert_eq!((spec.to_string().as_str(), hex(&spec.group_id()).as_str()), (text, id));
        }
    }

    #[test]
    fn authorizations_after_the_marker_are_not_identity() {
        let spec = GroupSpec::new("test", Capabilities::default(), 1).unwrap();
        let with: GroupSpec = format!("{spec}0715736563726574").parse().unwrap();
        assert_eq!(with.group_id(), spec.group_id());
        assert_eq!(with.name(), "test");
    }

    #[test]
    fn what_is_not_a_groupspec_is_refused() {
        for text in ["", "G:", "G:0", "G:zz", "X:00", "G:0101", "G:05", "G:ffffffffffffffffff01"] {
            assert!(text.parse::<GroupSpec>().is_err(), "{text}");
        }
        assert!(GroupSpec::new("", Capabilities::default(), 1).is_err());
        assert!(GroupSpec::new(&"x".repeat(127), Capabilities::default(), 1).is_err());
    }
}
