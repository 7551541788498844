//! The judge of RTMFP programs, and what tests of the whole workspace share.
//!
//! [`forger`] writes packets by hand; [`capture`] reads recorded traffic; [`simnet`] is a seeded
//! network in virtual time; [`rig`] runs sans-I/O nodes over it. The program `rtmfp-interop` is
//! `judge`, `decode` and `bench`.

#[cfg(feature = "program")]
pub mod bench;
pub mod capture;
#[cfg(feature = "program")]
pub mod decode;
pub mod forger;
#[cfg(feature = "program")]
pub mod judge;
pub mod rig;
pub mod simnet;
