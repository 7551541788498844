//! The judge of RTMFP programs: [`capture`] reads recorded traffic; the program `rtmfp-interop` is
//! `judge`, `decode` and `bench`.

#[cfg(feature = "program")]
pub mod bench;
pub mod capture;
#[cfg(feature = "program")]
pub mod decode;
#[cfg(feature = "program")]
pub mod judge;
#[cfg(feature = "program")]
pub mod swarm;
