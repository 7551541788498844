//! The judge: what tests of the whole workspace share.
//!
//! [`forger`] writes packets by hand; [`capture`] reads recorded traffic; [`simnet`] is a seeded network in virtual time; [`rig`] runs sans-I/O nodes over it.

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
