//! What is fixed when a session begins.

use crate::{
    crypto::{Certificate, keying::SessionKeys},
    endpoint::Path,
    wire::Mode,
};

/// How a session came about, fixed at its birth.
pub(crate) struct Birth {
    pub far_id: u32,
    /// The mode we send in.
    pub mode: Mode,
    pub path: Path,
    pub far: Certificate,
    pub keys: SessionKeys,
    /// For answering a repeated IIKeying; responders only.
    pub answered: Option<Answered>,
    /// Whose password signed the far end's keying.
    pub signer: Option<Vec<u8>>,
}

/// An IIKeying and our answer to it.
#[derive(Debug)]
pub(crate) struct Answered {
    /// SHA-256 of the initiator's.
    pub component: [u8; 32],
    pub reply: Box<[u8]>,
}
