//! What came of the cases, for people, JSON and JUnit.

use serde::Serialize;

use super::{Case, CaseResult, Exceptions, Failure, Level};

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It says nothing about this program.
    NotApplicable,
}

/// A case with its end.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The case's ID.
    pub id: &'static str,
    /// Where it comes from.
    pub section: &'static str,
    /// What it says.
    pub title: &'static str,
    /// How binding it is.
    pub level: Level,
    /// How it ended.
    pub result: Verdict,
    /// What should have happened, if it failed; why not, if it does not apply.
    pub expected: String,
    /// What happened.
    pub got: String,
    /// Why a failure is no surprise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

impl Outcome {
    /// Of one run.
    pub fn of(case: &Case, result: CaseResult) -> Self {
        let (result, expected, got) = match result {
            Ok(()) => (Verdict::Pass, String::new(), String::new()),
            Err(Failure::Failed { expected, got }) => (Verdict::Fail, expected, got),
            Err(Failure::NotApplicable(why)) => (Verdict::NotApplicable, why, String::new()),
        };
        let Case { id, section, title, level, .. } = *case;
        Self { id, section, title, level, result, expected, got, known: None }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, section, title, expected, got, .. } = self;
        match self.result {
            Verdict::Pass => write!(f, "pass  {id:32} {section:14} {title}"),
            Verdict::NotApplicable => write!(f, "n/a   {id:32} {section:14} {expected}"),
            Verdict::Fail => write!(
                f,
                "FAIL  {id:32} {section:14} {title}{}\n      expected: {expected}\n      got:      {got}",
                match self.level {
                    Level::Must => "",
                    Level::Should => " (SHOULD)",
                    Level::Custom => " (custom)",
                }
            ),
        }
    }
}

/// All outcomes of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order of the run.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// How many ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.result == verdict).count()
    }

    /// Notes why failures are known.
    pub fn apply(&mut self, exceptions: &Exceptions) {
        for outcome in &mut self.outcomes {
            if outcome.result == Verdict::Fail {
                outcome.known = exceptions.reason(outcome.id).map(str::to_owned);
            }
        }
    }

    /// Failures that nobody knew of.
    pub fn unexpected(&self) -> usize {
        let is_news =
            |outcome: &&Outcome| outcome.result == Verdict::Fail && outcome.known.is_none();
        self.outcomes.iter().filter(is_news).count()
    }

    /// An array of objects.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.outcomes).expect("outcomes are plain text")
    }

    /// For continuous integration.
    pub fn to_junit(&self) -> String {
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"rtmfp\" tests=\"{}\" \
             failures=\"{}\" skipped=\"{}\">\n",
            self.outcomes.len(),
            self.unexpected(),
            self.count(Verdict::NotApplicable) + self.count(Verdict::Fail) - self.unexpected()
        );
        for outcome in &self.outcomes {
            out += &junit_case(outcome);
        }
        out + "</testsuite>\n"
    }
}

fn junit_case(outcome: &Outcome) -> String {
    let (id, section) = (escape(outcome.id), escape(outcome.section));
    let inner = match outcome.result {
        Verdict::Pass => String::new(),
        Verdict::NotApplicable => format!("<skipped message=\"{}\"/>", escape(&outcome.expected)),
        Verdict::Fail if outcome.known.is_some() => {
            let why = outcome.known.as_deref().unwrap_or_default();
            format!("<skipped message=\"known: {}\"/>", escape(why))
        }
        Verdict::Fail => format!(
            "<failure message=\"{}\">expected: {}\ngot: {}</failure>",
            escape(outcome.title),
            escape(&outcome.expected),
            escape(&outcome.got)
        ),
    };
    format!("  <testcase classname=\"{section}\" name=\"{id}\">{inner}</testcase>\n")
}

fn escape(text: &str) -> String {
    let is_visible = |c: char| !c.is_control() && c < '\u{fffe}' || c == '\n' || c > '\u{ffff}';
    let visible = |c: char| if is_visible(c) { c } else { '\u{fffd}' };
    let text: String = text.chars().map(visible).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::failed;

    fn report() -> Report {
        let (level, section, title) = (Level::Must, "7016 §1", "<holds>");
        let case = Case { level, id: "a.b", section, title, run: |_| Ok(()) };
        let failure = Err(failed("\"x\"", "y & z"));
        let skipped = Err(Failure::NotApplicable("no such thing".into()));
        let results = [Ok(()), failure, skipped];
        Report { outcomes: results.map(|result| Outcome::of(&case, result)).to_vec() }
    }

    #[test]
    fn json_has_what_the_readers_of_it_need() {
        let json: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!(json[1]["result"], "fail");
        assert_eq!(json[2]["result"], "not-applicable");
        for key in ["id", "section", "title", "result", "expected", "got"] {
            assert!(json[0][key].is_string(), "{key}");
        }
    }

    #[test]
    fn junit_escapes_and_counts() {
        let xml = report().to_junit();
        assert!(xml.contains("failures=\"1\" skipped=\"1\""));
        assert!(xml.contains("&lt;holds&gt;") && xml.contains("y &amp; z"));
    }

    #[test]
    fn known_failures_are_not_unexpected() {
        let mut report = report();
        assert_eq!(report.unexpected(), 1);
        report.apply(&Exceptions::parse("a.b known"));
        assert_eq!(report.unexpected(), 0);
        assert!(report.to_junit().contains("failures=\"0\" skipped=\"2\""));
    }
}
