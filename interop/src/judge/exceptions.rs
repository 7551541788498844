//! Failures that are known: a file with a case's ID a line, and why after it.

use std::collections::BTreeMap;

/// Known failures by case ID.
#[derive(Debug, Clone, Default)]
pub struct Exceptions(BTreeMap<String, String>);

impl Exceptions {
    /// Reads lines of `ID reason…`; `#` begins a comment.
    pub fn parse(text: &str) -> Self {
        let entry = |line: &str| {
            let line = line.split('#').next().unwrap_or_default().trim();
            let (id, why) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            (!id.is_empty()).then(|| (id.to_owned(), why.trim().to_owned()))
        };
        Self(text.lines().filter_map(entry).collect())
    }

    /// Why the case is known to fail, if it is.
    pub fn reason(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_cases_and_reasons() {
        let exceptions = Exceptions::parse("# known\na.b it is old\n\nc.d # no reason\n");
        assert_eq!(exceptions.reason("a.b"), Some("it is old"));
        assert_eq!(exceptions.reason("c.d"), Some(""));
        assert_eq!(exceptions.reason("known"), None);
    }
}
