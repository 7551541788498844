//! What end-to-end tests share: real processes, their output, and FLV files.

pub mod browser;
pub mod film;
mod process;

pub use process::{Process, Server, bin};
