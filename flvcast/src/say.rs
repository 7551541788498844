//! Lines for whoever runs a command, each with its time. Nobody has to read them: a closed pipe is no
//! error.

use std::{
    fmt,
    io::{self, Write},
    time::SystemTime,
};

/// Bytes of a line.
const MAX_LINE: usize = 600;

/// What others have said, as it may be shown: in one line, and no longer than people read.
pub fn plain(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_LINE);
    let cut = if end < text.len() { "…" } else { "" };
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text[..end].chars().map(visible).chain(cut.chars()).collect()
}

/// Prints a line to standard error, after the time.
pub fn say(text: impl fmt::Display) {
    let time = humantime::format_rfc3339_seconds(SystemTime::now());
    let _ = writeln!(io::stderr(), "{time} {}", plain(&text.to_string()));
}

/// Prints something that somebody may have to mend.
pub fn warn(text: impl fmt::Display) {
    say(format_args!("flvcast: {text}"));
}

/// Prints what was asked for to standard output.
pub fn print(text: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// "12 members", or "about 3000 members" of a group too large to be counted.
pub fn members(group: &netgroup::GroupStats) -> String {
    let about = if group.is_estimate { "about " } else { "" };
    format!("{about}{}", count(group.members, "member"))
}

/// "1 member", "2 members".
pub fn count(number: impl Into<u64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netgroup::GroupStats;

    #[test]
    fn what_others_say_is_one_short_line() {
        assert_eq!(plain("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(plain(&"ä".repeat(MAX_LINE)).chars().count(), MAX_LINE / 2 + 1);
    }

    #[test]
    fn an_estimate_is_told_as_one() {
        let counted = GroupStats { members: 1, ..GroupStats::default() };
        assert_eq!(members(&counted), "1 member");
        let estimated = GroupStats { members: 3000, is_estimate: true, ..counted };
        assert_eq!(members(&estimated), "about 3000 members");
    }
}
