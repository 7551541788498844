//! Signatures of keying messages: simple passwords. RFC 7425 §4.3.5.

use super::hmac_sha256;
use crate::wire::{OptionItem, Options, put_option};

/// The signature that says nothing.
const NOTHING: &[u8] = b"X";
const SIMPLE_PASSWORD: u64 = 0x1d;
const MAC_LEN: usize = 32;

/// A password and the name it goes by, such as a user's.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `passwordID`, in the clear.
    pub id: Vec<u8>,
    /// Never sent.
    pub password: Vec<u8>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({})", String::from_utf8_lossy(&self.id))
    }
}

impl Credential {
    /// From text.
    pub fn new(id: &str, password: &str) -> Self {
        Self { id: id.into(), password: password.into() }
    }
}

/// What a valid signature proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer<'a> {
    /// Nothing.
    Anonymous,
    /// That the far end knows this one's password.
    Known(&'a Credential),
}

/// Signs with a credential, or says nothing.
pub(crate) fn sign(credential: Option<&Credential>, signed: &[u8]) -> Vec<u8> {
    let Some(credential) = credential else { return NOTHING.to_vec() };
    let mut value = hmac_sha256(&credential.password, signed).to_vec();
    value.extend_from_slice(&credential.id);
    let mut out = Vec::new();
    put_option(&mut out, SIMPLE_PASSWORD, &value);
    out
}

/// Who signed. None if a name we know comes with a wrong proof; unknown names and whatever does
/// not parse count for nothing.
pub(crate) fn verify<'a>(
    known: &'a [Credential],
    signed: &[u8],
    signature: &[u8],
) -> Option<Signer<'a>> {
    let mut signer = Signer::Anonymous;
    for item in Options::new(signature) {
        let OptionItem::Option(SIMPLE_PASSWORD, value) = item else { continue };
        let Some((mac, id)) = value.split_first_chunk::<MAC_LEN>() else { continue };
        let Some(credential) = known.iter().find(|known| known.id == id) else { continue };
        if !super::equal(&hmac_sha256(&credential.password, signed), mac) {
            return None;
        }
        signer = Signer::Known(credential);
    }
    Some(signer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_proof_names_the_signer_and_a_wrong_one_spoils_all() {
        let known = [Credential::new("v1", "old"), Credential::new("v2", "new")];
        let mut signature = sign(Some(&Credential::new("stranger", "?")), b"signed");
        assert_eq!(verify(&known, b"signed", &signature), Some(Signer::Anonymous));
        signature.extend(sign(Some(&known[1]), b"signed"));
        assert_eq!(verify(&known, b"signed", &signature), Some(Signer::Known(&known[1])));
        assert_eq!(verify(&known, b"other", &signature), None);
        signature.extend(sign(Some(&Credential::new("v1", "wrong")), b"signed"));
        assert_eq!(verify(&known, b"signed", &signature), None);
    }

    #[test]
    fn nothing_and_nonsense_prove_nothing() {
        let known = [Credential::new("a", "b")];
        for signature in [&b"X"[..], b"", &[200, 1], &[3, 0x1d, 1, 2], &[2, 7, 7]] {
            assert_eq!(verify(&known, b"signed", signature), Some(Signer::Anonymous));
        }
        assert_eq!(sign(None, b"signed"), b"X");
    }
}
