//! What is fixed when a session begins.

use crate::{
    crypto::{Certificate, keying::SessionKeys},
    path::Path,
    wire::Mode,
};

/// Who is at the far end.
#[derive(Debug)]
pub(crate) struct Far {
    /// The session ID on which it receives.
    pub id: u32,
    pub certificate: Certificate,
    /// Whose password signed its keying.
    pub signer: Option<Vec<u8>>,
}

/// How a session came about, fixed at its birth.
pub(crate) struct Birth {
    /// The mode we send in.
    pub mode: Mode,
    pub path: Path,
    pub far: Far,
    pub keys: SessionKeys,
    /// For answering a repeated IIKeying; responders only.
    pub answered: Option<Answered>,
}

/// An IIKeying and our answer to it.
#[derive(Debug)]
pub(crate) struct Answered {
    /// SHA-256 of the initiator's.
    pub component: [u8; 32],
    pub reply: Box<[u8]>,
}
