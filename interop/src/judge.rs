//! The conformance runner: black-box cases, each named by the section it comes from.
//!
//! A case builds its own packets, legal or not, and looks at what comes back. It knows nothing of
//! the program it judges.

mod cases;
mod data;
mod exceptions;
mod handshake;
mod inbox;
mod member;
mod probe;
mod program;
mod reception;
mod report;
mod session;

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use netgroup::GroupSpec;
use serde::Serialize;

pub use cases::{for_clients, for_members, for_servers};
pub use exceptions::Exceptions;
pub use handshake::Handshake;
pub use probe::Probe;
pub use reception::{Arrival, Reception};
pub use report::{Outcome, Report, Verdict};
pub use session::Session;

/// How binding a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The document says MUST, or nothing works without it
    Must,
    /// The document says SHOULD or RECOMMENDED
    Should,
    /// No document says so, but programs in the field rely on it, or safety does
    Custom,
}

/// One thing that an implementation has to do, or must not.
#[derive(Clone, Copy)]
pub struct Case {
    /// How binding it is.
    pub level: Level,
    /// Stable, for filters and exceptions: `topic.what`.
    pub id: &'static str,
    /// The document and its section.
    pub section: &'static str,
    /// What must hold, in one line.
    pub title: &'static str,
    /// Finds out.
    pub run: fn(&Context) -> CaseResult,
}

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The program under test did something else.
    Failed {
        /// What should have happened.
        expected: String,
        /// What happened.
        got: String,
    },
    /// The case says nothing about this program.
    NotApplicable(String),
}

/// How a case ends.
pub type CaseResult = Result<(), Failure>;

/// A failure with what should have been and what was.
pub fn failed(expected: impl Into<String>, got: impl Into<String>) -> Failure {
    Failure::Failed { expected: expected.into(), got: got.into() }
}

/// Passes if `holds`.
pub fn check(holds: bool, expected: &str, got: impl std::fmt::Debug) -> CaseResult {
    if holds { Ok(()) } else { Err(failed(expected, format!("{got:?}"))) }
}

/// What every case is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The server: the one under test, or ourselves.
    pub target: SocketAddr,
    /// What it is asked for.
    pub url: String,
    /// Where clients under test come to us; nothing while a server is judged.
    pub reception: Option<Arc<Reception>>,
    /// How long an answer may take.
    pub patience: Duration,
    /// How long nothing must come for there to be no answer.
    pub silence: Duration,
    /// How long an answer takes, at best.
    pub round_trip: Duration,
}

impl Context {
    /// A new socket.
    pub fn probe(&self) -> Result<Probe, Failure> {
        Probe::new(self).map_err(|error| failed("a socket", error.to_string()))
    }

    /// A client's first packet.
    pub fn arrival(&self) -> Result<Arrival, Failure> {
        match &self.reception {
            Some(reception) => reception.arrival(self),
            None => Err(Failure::NotApplicable("only clients arrive".into())),
        }
    }

    /// Of whose members the judge is one.
    pub fn group(&self) -> Result<&GroupSpec, Failure> {
        match &self.reception {
            Some(reception) => Ok(&reception.group),
            None => Err(Failure::NotApplicable("only members have a group".into())),
        }
    }

    /// An open session: with a server, keyed as Flash Player would; with a client, which has
    /// begun to connect.
    pub fn session(&self) -> Result<Session, Failure> {
        match &self.reception {
            None => Handshake::new(self)?.open(),
            Some(_) => self.arrival()?.open()?.met(),
        }
    }

    /// An open session with an accepted `connect`.
    pub fn connected(&self) -> Result<Session, Failure> {
        let Some(_) = &self.reception else {
            let mut session = self.session()?;
            session.connect()?;
            return Ok(session);
        };
        let mut session = self.arrival()?.open()?;
        session.accept()?;
        Ok(session)
    }

    /// Finds out how long answers take, so that silence is not mistaken for patience. An error if
    /// there is nobody to judge.
    pub fn calibrate(&mut self) -> Result<(), Failure> {
        let round_trip = match &self.reception {
            None => {
                let mut probe = self.probe()?;
                let begin = Instant::now();
                probe.hello()?;
                begin.elapsed()
            }
            Some(_) => {
                let mut arrival = self.arrival()?;
                let begin = Instant::now();
                arrival.hello();
                arrival.keying()?;
                begin.elapsed()
            }
        };
        self.round_trip = round_trip;
        self.silence = self.silence.max(3 * round_trip);
        Ok(())
    }

    /// What a server that still serves does; clients come anew for each case.
    fn pulse(&self) -> CaseResult {
        if self.reception.is_some() {
            return Ok(());
        }
        let hello = self.probe()?.hello().map(|_| ());
        hello.map_err(|_| failed("a server that still answers hellos after this", "nothing"))
    }

    /// The server still opens sessions.
    pub fn is_alive(&self) -> CaseResult {
        self.session().map(|_| ()).map_err(|failure| match failure {
            Failure::Failed { got, .. } => failed("the server goes on serving", got),
            other => other,
        })
    }
}

/// Runs the cases, telling of each as it ends. After each the server must still be there: silence
/// of the dead is no merit.
pub fn run(cases: &[Case], context: &Context, mut tell: impl FnMut(&Outcome)) -> Report {
    let mut outcomes = Vec::new();
    for case in cases {
        let result = run_one(case, context);
        let outcome = Outcome::of(case, result);
        tell(&outcome);
        outcomes.push(outcome);
    }
    Report { outcomes }
}

fn run_one(case: &Case, context: &Context) -> CaseResult {
    // Whatever a program sends, there must be a report of it.
    let result = catch_unwind(AssertUnwindSafe(|| (case.run)(context)))
        .unwrap_or_else(|_| Err(failed("a judge that copes with the answer", "a panic of it")));
    match result {
        Err(Failure::Failed { .. }) => result,
        passed => context.pulse().and(passed),
    }
}
