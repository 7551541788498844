//! The judge: what tests of the whole workspace share.
//!
//! [`simnet`] is a seeded network in virtual time; [`rig`] runs sans-I/O nodes over it.

pub mod rig;
pub mod simnet;
