//! `GC` flows: joining a group at the server and hearing of its members. Cirrus and all clones
//! speak it; `docs/protocol-notes.md` names the sources.

use super::registry::GroupId;
use crate::{
    crypto::{PeerId, sha256},
    wire::{OptionItem, Options, Reader},
};

/// Metadata of the flow, in both directions.
pub(super) const GROUP_SIGNATURE: &[u8] = b"GC";

const JOIN: u8 = 0x01;
const MEMBER: u8 = 0x0b;
/// The canonical groupspec as text, from old players.
const GROUPSPEC: u64 = 0x10;
/// Its hash.
const GROUP_ID: u64 = 0x15;

/// "In this group, tell `to` about `about`."
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberHint {
    pub group: GroupId,
    pub to: PeerId,
    pub about: PeerId,
}

impl MemberHint {
    pub fn encode(&self) -> Vec<u8> {
        let mut message = vec![MEMBER];
        message.extend_from_slice(&self.about.0);
        message
    }
}

/// The group that a join message names, in either form.
pub(super) fn decode_join(message: &[u8]) -> Option<GroupId> {
    let mut reader = Reader::new(message);
    if reader.u8() != Ok(JOIN) {
        return None;
    }
    match Options::read(&mut reader).ok()? {
        OptionItem::Option(GROUP_ID, id) => id.try_into().ok(),
        OptionItem::Option(GROUPSPEC, text) => Some(sha256(&[text])),
        _ => None,
    }
}

/// Enough of a group's ID for a log.
pub(super) fn short(group: &GroupId) -> String {
    group[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_option;

    #[test]
    fn both_forms_of_join_name_the_same_group() {
        let canonical =
            b"G:0100010101020103010c1c0e626974747562652e76616e64657262696c742e6564752f63637476";
        let mut old = vec![JOIN];
        put_option(&mut old, GROUPSPEC, canonical);
        let mut new = vec![JOIN];
        put_option(&mut new, GROUP_ID, &sha256(&[canonical]));
        let group = decode_join(&old).unwrap();
        assert_eq!(decode_join(&new), Some(group));
        assert_eq!(short(&group), "c74c5f8f");
        assert_eq!(decode_join(&[JOIN, 0x21, 0x15, 1, 2]), None);
        assert_eq!(decode_join(&[]), None);
    }
}
