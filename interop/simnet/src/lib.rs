//! A seeded network in virtual time, and what runs on it.
//!
//! [`Network`] delays, loses and translates datagrams; [`rig`] runs sans-I/O nodes over it;
//! [`forger`] is a peer that writes each of its packets by hand.

pub mod forger;
mod loss;
mod nat;
mod network;
pub mod rig;

pub use nat::{Nat, NatKind};
pub use network::{Arrival, Link, Network, NetworkStats};
