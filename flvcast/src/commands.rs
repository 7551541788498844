//! What people write, made into what the library takes: a file a command.

pub mod cast;
pub mod groupspec;
pub mod papers;
pub mod place;
pub mod replay;
pub mod serve;
pub mod watch;
