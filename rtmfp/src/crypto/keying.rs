//! Session key components and what follows from them. RFC 7425 §4.5, §4.6.

use rand::Rng;
use thiserror::Error;

use super::{
    Certificate, DirectionKeys, Group, Identity, KeyLog, KeyPair, PacketKeys, PacketProtection,
    Policy, PublicKeyError, SharedSecret, Unprotected, certificate::find_group, hmac_sha256,
    key_log, protection::Negotiation,
};
use crate::wire::{Malformed, put_option, put_vlu};

mod option {
    pub const EPHEMERAL_KEY: u64 = 0x0d;
    pub const EXTRA_RANDOMNESS: u64 = 0x0e;
    pub const GROUP_SELECT: u64 = 0x1d;
}

/// Flash draws 64 bytes, and the fixed component sizes of librtmfp follow from that.
const RANDOMNESS: usize = 64;

/// Why no session key came about. Blame lies with the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyingError {
    /// No Diffie-Hellman group in common, or the component lacks what its certificate demands.
    #[error("no usable Diffie-Hellman group in the key component")]
    NoGroup,
    /// The public key fails the checks.
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
    /// HMACs or sequence numbers are required and not to be had.
    #[error(transparent)]
    Unprotected(#[from] Unprotected),
    /// The component does not parse.
    #[error("the key component is malformed")]
    Malformed,
}

impl From<Malformed> for KeyingError {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// What an open session is keyed with.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    /// Seals and opens packets.
    pub packet: PacketKeys,
    /// What packets carry beside what they say.
    pub protection: PacketProtection,
    /// `NEAR_NONCE`: names this session, from our component (RFC 7425 §4.6.5).
    pub near_nonce: [u8; 32],
    /// `FAR_NONCE`: the same from the far end's component.
    pub far_nonce: [u8; 32],
}

impl SessionKeys {
    /// RFC 7425 §4.6.3 to §4.6.5: components are the exact bytes as sent.
    pub fn derive(
        secret: &SharedSecret,
        near: &[u8],
        far: &[u8],
        protection: PacketProtection,
        log: Option<&dyn KeyLog>,
    ) -> Self {
        let secret = secret.as_bytes();
        let encrypt = hmac_sha256(secret, &hmac_sha256(far, near));
        let decrypt = hmac_sha256(secret, &hmac_sha256(near, far));
        let keys = DirectionKeys {
            encrypt,
            decrypt,
            send_mac: hmac_sha256(secret, &encrypt),
            receive_mac: hmac_sha256(secret, &decrypt),
        };
        if let Some(log) = log {
            key_log::lines(&keys, protection).iter().for_each(|line| log.log(line));
        }
        Self {
            packet: PacketKeys::protected(&keys, protection),
            protection,
            near_nonce: hmac_sha256(secret, near),
            far_nonce: hmac_sha256(secret, far),
        }
    }
}

/// What one end brings to every keying.
#[derive(Debug, Clone, Copy)]
pub struct KeyingContext<'a> {
    /// Who we are.
    pub identity: &'a Identity,
    /// What we want of packets.
    pub policy: Policy,
    /// Where session keys are written down, if anywhere.
    pub log: Option<&'a dyn KeyLog>,
}

/// An initiator's component, with what is needed to make keys of the answer.
#[derive(Debug)]
pub struct InitiatorComponent {
    /// As sent.
    pub bytes: Vec<u8>,
    group: Group,
    negotiation: Negotiation,
    ephemeral: Option<KeyPair>,
}

impl InitiatorComponent {
    /// The component for a session with the owner of `far`, in the strongest group that both
    /// have.
    pub fn generate(
        near: KeyingContext<'_>,
        far: &Certificate,
        rng: &mut impl Rng,
    ) -> Result<Self, KeyingError> {
        let group = strongest_common(near.identity, far).ok_or(KeyingError::NoGroup)?;
        let mut bytes = Vec::new();
        let ephemeral = if near.identity.is_static() {
            put_grouped(&mut bytes, option::GROUP_SELECT, group, &[]);
            put_randomness(&mut bytes, rng);
            None
        } else {
            Some(put_ephemeral_key(&mut bytes, group, rng))
        };
        let negotiation = Negotiation::new(near.policy, None);
        negotiation.put(&mut bytes);
        Ok(Self { bytes, group, negotiation, ephemeral })
    }

    /// Keys from the responder's component.
    pub fn combine(
        &self,
        near: KeyingContext<'_>,
        far: &Certificate,
        responder: &[u8],
    ) -> Result<SessionKeys, KeyingError> {
        let far_negotiation = Negotiation::decode(responder)?;
        let protection = self.negotiation.outcome(far_negotiation, near.policy)?;
        let near_key = self.ephemeral.as_ref().or(near.identity.static_key(self.group));
        let far_key = if far.is_static() {
            far.static_key(self.group)
        } else {
            find_group(responder, option::EPHEMERAL_KEY, self.group)
        };
        let secret =
            near_key.ok_or(KeyingError::NoGroup)?.agree(far_key.ok_or(KeyingError::NoGroup)?)?;
        Ok(SessionKeys::derive(&secret, &self.bytes, responder, protection, near.log))
    }
}

/// The group for a session that we open. Ephemeral keys can be of any group we know.
fn strongest_common(near: &Identity, far: &Certificate) -> Option<Group> {
    let is_ours = |group: Group| !near.is_static() || near.static_key(group).is_some();
    Group::STRONGEST_FIRST.into_iter().find(|group| is_ours(*group) && far.supports(*group))
}

/// Answers an initiator's component: the responder's component and the session's keys.
pub fn respond(
    near: KeyingContext<'_>,
    far: &Certificate,
    initiator: &[u8],
    rng: &mut impl Rng,
) -> Result<(Vec<u8>, SessionKeys), KeyingError> {
    let (group, far_key) = initiators_key(near.identity, far, initiator)?;
    // Before a key of ours is made for it.
    group.check_public(far_key)?;
    let far_negotiation = Negotiation::decode(initiator)?;
    let negotiation = Negotiation::new(near.policy, Some(far_negotiation));
    let protection = negotiation.outcome(far_negotiation, near.policy)?;
    // librtmfp and Mona check this very order: HMAC, sequence numbers, then the key.
    let mut component = Vec::new();
    negotiation.put(&mut component);
    let secret = match near.identity.static_key(group) {
        Some(key) => {
            put_randomness(&mut component, rng);
            key.agree(far_key)?
        }
        None => put_ephemeral_key(&mut component, group, rng).agree(far_key)?,
    };
    let keys = SessionKeys::derive(&secret, &component, initiator, protection, near.log);
    Ok((component, keys))
}

/// The group that the initiator chose, which must be one of ours, and its public key in it.
fn initiators_key<'a>(
    near: &Identity,
    far: &'a Certificate,
    initiator: &'a [u8],
) -> Result<(Group, &'a [u8]), KeyingError> {
    let key_in = |group: Group| {
        let key = if far.is_static() {
            find_group(initiator, option::GROUP_SELECT, group).and_then(|_| far.static_key(group))
        } else {
            find_group(initiator, option::EPHEMERAL_KEY, group)
        };
        key.map(|key| (group, key))
    };
    Group::STRONGEST_FIRST
        .into_iter()
        .filter(|group| near.certificate().supports(*group))
        .find_map(key_in)
        .ok_or(KeyingError::NoGroup)
}

fn put_randomness(out: &mut Vec<u8>, rng: &mut impl Rng) {
    let mut randomness = [0; RANDOMNESS];
    rng.fill_bytes(&mut randomness);
    put_option(out, option::EXTRA_RANDOMNESS, &randomness);
}

fn put_ephemeral_key(out: &mut Vec<u8>, group: Group, rng: &mut impl Rng) -> KeyPair {
    let key = KeyPair::generate(group, rng);
    put_grouped(out, option::EPHEMERAL_KEY, group, key.public());
    key
}

/// An option whose value begins with a group's number.
fn put_grouped(out: &mut Vec<u8>, kind: u64, group: Group, rest: &[u8]) {
    let mut value = Vec::new();
    put_vlu(&mut value, group.number());
    value.extend_from_slice(rest);
    put_option(out, kind, &value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Keys, Protection};
    use rand::{SeedableRng, rngs::StdRng};

    fn plain(identity: &Identity) -> KeyingContext<'_> {
        KeyingContext { identity, policy: Policy::default(), log: None }
    }

    fn ephemeral(groups: &[Group]) -> Identity {
        let keys = Keys::Ephemeral { groups: groups.to_vec(), randomness: vec![1; 61] };
        Identity::new(None, true, keys)
    }

    /// Keys two ends; the group chosen, or why not.
    fn agree(near: &Identity, far: &Identity) -> Result<Group, KeyingError> {
        let mut rng = StdRng::seed_from_u64(4);
        let component = InitiatorComponent::generate(plain(near), far.certificate(), &mut rng)?;
        let (answer, far_keys) =
            respond(plain(far), near.certificate(), &component.bytes, &mut rng)?;
        let near_keys = component.combine(plain(near), far.certificate(), &answer)?;
        assert_eq!(near_keys.near_nonce, far_keys.far_nonce);
        assert_eq!(near_keys.far_nonce, far_keys.near_nonce);
        Ok(component.group)
    }

    #[test]
    fn all_four_combinations_agree() {
        let mut rng = StdRng::seed_from_u64(4);
        let (peer_a, peer_b) = (Identity::peer(&mut rng), Identity::peer(&mut rng));
        let (server_a, server_b) = (Identity::server(&[1; 64]), Identity::server(&[2; 64]));
        for (near, far) in
            [(&peer_a, &peer_b), (&peer_a, &server_b), (&server_a, &peer_b), (&server_a, &server_b)]
        {
            assert!(agree(near, far).is_ok());
        }
    }

    #[test]
    fn the_strongest_common_group_is_chosen() {
        use Group::{Modp1024, Modp1536, Modp2048, Modp4096};
        let peer = Identity::peer(&mut StdRng::seed_from_u64(1));
        let all = ephemeral(&[Modp1024, Modp1536, Modp2048, Modp4096]);
        assert_eq!(agree(&all, &all), Ok(Modp4096));
        assert_eq!(agree(&all, &ephemeral(&[Modp1536, Modp2048])), Ok(Modp2048));
        assert_eq!(agree(&peer, &all), Ok(Modp1024));
        assert_eq!(agree(&all, &peer), Ok(Modp1024));
        assert_eq!(agree(&peer, &ephemeral(&[Modp2048])), Err(KeyingError::NoGroup));
    }

    #[test]
    fn a_group_that_we_did_not_offer_is_refused() {
        let mut rng = StdRng::seed_from_u64(4);
        let (near, far) = (ephemeral(&[Group::Modp2048]), ephemeral(&[Group::Modp1024]));
        let component =
            InitiatorComponent::generate(plain(&near), near.certificate(), &mut rng).unwrap();
        let answer = respond(plain(&far), near.certificate(), &component.bytes, &mut rng);
        assert_eq!(answer.unwrap_err(), KeyingError::NoGroup);
    }

    #[test]
    fn required_protection_that_is_not_offered_ends_the_keying() {
        let mut rng = StdRng::seed_from_u64(4);
        let (peer, server) = (Identity::peer(&mut rng), Identity::server(&[1; 64]));
        let with =
            |identity, wanted| KeyingContext { identity, policy: Policy::both(wanted), log: None };
        let (off, required) = (Protection::Off, Protection::Require);
        let component =
            InitiatorComponent::generate(with(&peer, off), server.certificate(), &mut rng).unwrap();
        let answer =
            respond(with(&server, required), peer.certificate(), &component.bytes, &mut rng);
        assert_eq!(answer.unwrap_err(), KeyingError::Unprotected(Unprotected));
        let component =
            InitiatorComponent::generate(with(&peer, required), server.certificate(), &mut rng)
                .unwrap();
        let (answer, _) =
            respond(with(&server, off), peer.certificate(), &component.bytes, &mut rng).unwrap();
        let combined = component.combine(with(&peer, required), server.certificate(), &answer);
        assert_eq!(combined.unwrap_err(), KeyingError::Unprotected(Unprotected));
    }

    #[test]
    fn component_sizes_are_those_librtmfp_checks() {
        let mut rng = StdRng::seed_from_u64(5);
        let (peer, server) = (Identity::peer(&mut rng), Identity::server(&[1; 64]));
        let component =
            InitiatorComponent::generate(plain(&peer), peer.certificate(), &mut rng).unwrap();
        assert_eq!(component.bytes.len(), 76);
        // What librtmfp says of itself, as Flash does.
        let mut librtmfp = component.bytes.clone();
        librtmfp.truncate(69);
        librtmfp.extend([3, 0x1a, 2, 0x0a, 2, 0x1e, 2]);
        let (from_peer, _) =
            respond(plain(&peer), peer.certificate(), &librtmfp, &mut rng).unwrap();
        assert_eq!((from_peer.len(), &from_peer[..7]), (73, &[3, 0x1a, 0, 0, 2, 0x1e, 0][..]));
        let (from_server, _) =
            respond(plain(&server), peer.certificate(), &librtmfp, &mut rng).unwrap();
        assert_eq!(from_server.len(), 139);
        assert_eq!(from_server[7..11], [0x81, 0x02, 0x0d, 0x02]);
    }
}
