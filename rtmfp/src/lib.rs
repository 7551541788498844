//! RTMFP, the Secure Real-Time Media Flow Protocol: RFC 7016 with the profile of RFC 7425.

pub mod crypto;
pub mod wire;
