//! The judge: what tests of the whole workspace share.
//!
//! [`capture`] reads recorded traffic; [`simnet`] is a seeded network in virtual time; [`rig`] runs sans-I/O nodes over it.

pub mod capture;
pub mod rig;
pub mod simnet;
