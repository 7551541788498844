//! URLs for messages: without passwords and tokens, which must not be in logs.

use std::fmt;

use url::Url;

/// A URL without user, password and query.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a Url);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        // What has no host has neither.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let query = if url.query().is_some() { "?…" } else { "" };
        url.set_query(None);
        url.set_fragment(None);
        write!(f, "{url}{query}")
    }
}

/// What people wrote for ffmpeg, likewise.
pub fn shown_name(name: &str) -> String {
    match Url::parse(name) {
        Ok(url) if name.contains("://") => Shown(&url).to_string(),
        _ => name.to_owned(),
    }
}

/// What others say, without what their URLs must not show.
pub fn without_secrets(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "\"'<>()".contains(c);
    text.split_inclusive(is_end)
        .map(|word| match word.split_once("://") {
            None => word.to_owned(),
            Some(_) => {
                let url = word.trim_end_matches(|c| is_end(c) || ":,;.".contains(c));
                let (before, url) = url.split_at(url.find(|c| !is_end(c)).unwrap_or(0));
                let after = &word[before.len() + url.len()..];
                format!("{before}{}{after}", shown_name(url))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        assert_eq!(shown_name("rtsp://user:pw@cam/1"), "rtsp://cam/1");
        assert_eq!(shown_name("srt://host:9000?passphrase=pw"), "srt://host:9000?…");
        assert_eq!(shown_name("a file?.mkv"), "a file?.mkv");
        let said = "cannot open 'https://u:pw@h/a?token=x': gone, http://h/b?c.";
        assert_eq!(without_secrets(said), "cannot open 'https://h/a?…': gone, http://h/b?….");
    }
}
