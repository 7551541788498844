//! Lines for whoever runs a command, each with its time.

use std::{fmt, time::SystemTime};

/// Prints a line to standard error, after the time.
pub fn say(text: impl fmt::Display) {
    eprintln!("{} {text}", humantime::format_rfc3339_seconds(SystemTime::now()));
}

/// Prints something that somebody may have to mend.
pub fn warn(text: impl fmt::Display) {
    say(format_args!("flvcast: {text}"));
}
