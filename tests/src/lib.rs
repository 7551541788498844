//! What end-to-end tests share: real processes, their output, and FLV files.

pub mod browser;
pub mod film;
mod process;
pub mod stage;
pub mod station;
pub mod web;

pub use process::{Process, Server, bin};
