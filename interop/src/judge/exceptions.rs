//! Failures that are known: a file with a case's ID a line, and why after it.

use std::collections::BTreeMap;

/// Known failures by case ID.
#[derive(Debug, Clone, Default)]
pub struct Exceptions(BTreeMap<String, String>);

impl Exceptions {
    /// Reads lines of `ID reason…`; those that begin with `#` are comments.
    pub fn parse(text: &str) -> Self {
        let entry = |line: &str| {
            let line = Some(line.trim()).filter(|line| !line.starts_with('#'))?;
            let (id, why) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            (!id.is_empty()).then(|| (id.to_owned(), why.trim().to_owned()))
        };
        Self(text.lines().filter_map(entry).collect())
    }

    /// The cases that it names.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
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
        let exceptions = Exceptions::parse("# known\na.b it is old, see #7\n\nc.d\n");
        assert_eq!(exceptions.reason("a.b"), Some("it is old, see #7"));
        assert_eq!(exceptions.reason("c.d"), Some(""));
        assert_eq!(exceptions.ids().collect::<Vec<_>>(), ["a.b", "c.d"]);
    }
}
