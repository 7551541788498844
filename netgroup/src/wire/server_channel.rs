//! `GC` flows: joining a group at a server, and hearing from it of members. Cirrus and all clones
//! speak it; `docs/protocol-notes.md` names the sources.

use rtmfp::{
    crypto::{PeerId, sha256},
    wire::{OptionItem, Options, Reader, put_option},
};

/// What a group is called on the wire: a hash of its spec's canonical text.
pub type GroupId = [u8; 32];

/// The canonical groupspec as text, from old players.
const GROUPSPEC: u64 = 0x10;
/// Its hash.
const GROUP_ID: u64 = 0x15;

/// Client to server: "I join this group."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerJoin(pub GroupId);

impl ServerJoin {
    const CODE: u8 = 0x01;

    /// Decodes either form; old players leave the hashing to the server.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(message);
        if reader.u8() != Ok(Self::CODE) {
            return None;
        }
        match Options::read(&mut reader).ok()? {
            OptionItem::Option(GROUP_ID, id) => id.try_into().ok().map(Self),
            OptionItem::Option(GROUPSPEC, text) => Some(Self(sha256(&[text]))),
            _ => None,
        }
    }

    /// As it travels, with the hash.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = vec![Self::CODE];
        put_option(&mut message, GROUP_ID, &self.0);
        message
    }
}

/// Server to client: "this peer is a member."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerMember(pub PeerId);

impl ServerMember {
    const CODE: u8 = 0x0b;

    /// Decodes a message.
    pub fn decode(message: &[u8]) -> Option<Self> {
        match message {
            [Self::CODE, id @ ..] => id.try_into().ok().map(|id| Self(PeerId(id))),
            _ => None,
        }
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        [&[Self::CODE], &self.0.0[..]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_join_name_the_same_group() {
        let canonical =
            b"G:0100010101020103010c1c0e626974747562652e76616e64657262696c742e6564752f63637476";
        let mut old = vec![ServerJoin::CODE];
        put_option(&mut old, GROUPSPEC, canonical);
        let join = ServerJoin(sha256(&[canonical]));
        assert_eq!(ServerJoin::decode(&old), Some(join));
        assert_eq!(ServerJoin::decode(&join.encode()), Some(join));
        assert_eq!(join.0[..4], [0xc7, 0x4c, 0x5f, 0x8f]);
        assert_eq!(ServerJoin::decode(&[ServerJoin::CODE, 0x21, 0x15, 1, 2]), None);
        assert_eq!(ServerJoin::decode(&[]), None);
    }

    #[test]
    fn members_round_trip() {
        let member = ServerMember(PeerId([7; 32]));
        assert_eq!(ServerMember::decode(&member.encode()), Some(member));
        assert_eq!(ServerMember::decode(&member.encode()[..32]), None);
    }
}
