//! Runs sources: one after the other, again from the start, and again when they die.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Cancel, Nature, Opened, Piece, Source, SourceError, SourceSpec,
    queue::{self, Queue, Refused},
};
use crate::{
    crew::{self, Task, Turn},
    flv::Tag,
};

/// Before a source that died is tried again; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Who waits for room is told of it; and looks by itself this often.
const LOOK: Duration = Duration::from_secs(5);
/// So much is said in so long, and no more.
const MAX_NOTICES: u32 = 5;
const NOTICES: Duration = Duration::from_secs(10);

/// Which sources, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One after the other.
    pub sources: Vec<SourceSpec>,
    /// From the first again after the last.
    pub repeats: bool,
}

/// Called, on whatever thread, when there is something to take where nothing was.
#[derive(Clone)]
pub struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    /// Calls this.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// For those who look by themselves.
    pub fn nobody() -> Self {
        Self::new(|| {})
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

/// What a feed gives.
#[derive(Debug)]
pub enum Fed {
    /// A source gives tags from here on.
    Opened(Nature),
    /// A tag, and when it came if the source is live.
    Tag(Tag, Option<Duration>),
    /// What comes next has stamps of its own.
    Restart,
    /// Something that a person should know.
    Notice(String),
    /// Nothing will come, for this reason.
    Failed(String),
    /// Everything was read.
    End,
}

impl queue::Sized for Fed {
    fn size(&self) -> usize {
        match self {
            Self::Tag(tag, _) => tag.payload.len(),
            _ => 0,
        }
    }
}

/// A plan that is carried out. Dropped, it ends.
#[derive(Debug)]
pub struct Feed {
    queue: Arc<Queue<Fed>>,
    cancel: Cancel,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.queue.close();
        self.cancel.set();
    }
}

impl Feed {
    /// Begins.
    pub fn start(plan: Plan, wake: Wake) -> Self {
        let waker = wake.clone();
        let started = crew::spawn(|nudge| {
            let cancel = Cancel::of(nudge.clone());
            let queue = Arc::new(Queue::new(move || (waker.0)(), move || nudge.nudge()));
            let runner = Runner::new(plan, queue.clone(), cancel.clone());
            (Box::new(runner), Self { queue, cancel })
        });
        started.unwrap_or_else(|error| {
            let queue = Arc::new(Queue::new(move || (wake.0)(), || {}));
            queue.force(Fed::Failed(format!("no thread for the source: {error}")));
            Self { queue, cancel: Cancel::default() }
        })
    }

    /// The next, or nothing within `patience`.
    pub fn pop(&self, patience: Duration) -> Option<Fed> {
        self.queue.pop(patience)
    }

    /// How far the last stamp that waits is ahead of this one.
    pub fn ahead_of(&self, stamp: u32) -> Duration {
        let last = self.queue.last(|fed| match fed {
            Fed::Tag(tag, _) => Some(tag.timestamp),
            _ => None,
        });
        let ahead = last.map_or(0, |last| last.wrapping_sub(stamp).cast_signed().max(0));
        Duration::from_millis(ahead.unsigned_abs().into())
    }
}

/// Where a plan has come to.
enum Stage {
    /// Its source is to be opened.
    Closed,
    /// It is opened again then.
    Pausing(Instant),
    /// It gives.
    Open(Box<dyn Source>),
    /// Nothing more will come.
    Over,
}

/// How a source was left.
enum Left {
    /// It is over.
    AtEnd,
    /// It will never give anything.
    Failed(String),
}

/// How the source that plays has fared so far, however often it was opened.
struct Play {
    pause: Duration,
    /// It has died, and gave nothing since.
    is_lost: bool,
    was_given: bool,
    /// Something came of what was opened last.
    gave: bool,
    /// What was opened last gives as it comes, and may come again.
    is_live: bool,
}

impl Default for Play {
    fn default() -> Self {
        let (is_lost, was_given, gave, is_live) = (false, false, false, false);
        Self { pause: FIRST_PAUSE, is_lost, was_given, gave, is_live }
    }
}

/// Carries a plan out.
struct Runner {
    plan: Plan,
    /// Which of its sources plays.
    at: usize,
    play: Play,
    stage: Stage,
    /// What there is no room for yet.
    waiting: VecDeque<Fed>,
    is_full: bool,
    /// Of this round.
    failures: usize,
    last_failure: Option<String>,
    /// What was said of sources as they were opened.
    told: Vec<String>,
    queue: Arc<Queue<Fed>>,
    cancel: Cancel,
    start: Instant,
    notices: Notices,
}

/// A source that complains without end is not let to.
struct Notices {
    since: Instant,
    said: u32,
    unsaid: u32,
}

impl Notices {
    /// The text to say now, if any.
    fn pass(&mut self, text: String) -> Option<String> {
        if self.since.elapsed() >= NOTICES {
            (self.since, self.said) = (Instant::now(), 0);
        }
        if self.said >= MAX_NOTICES {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(match std::mem::take(&mut self.unsaid) {
            0 => text,
            unsaid => format!("{text} ({unsaid} more were not said)"),
        })
    }
}

impl Task for Runner {
    fn step(&mut self) -> Turn {
        if self.cancel.is_set() {
            return self.end();
        }
        let was_full = self.is_full;
        while let Some(fed) = self.waiting.pop_front() {
            match self.queue.offer(fed) {
                Ok(()) => self.is_full = false,
                Err(Refused::Full(fed)) => {
                    self.is_full = true;
                    self.waiting.push_front(fed);
                    return Turn::Rest(LOOK);
                }
                Err(Refused::Closed) => return self.end(),
            }
        }
        if was_full {
            // What follows may block, which must be asked first.
            return Turn::Again;
        }
        match &mut self.stage {
            Stage::Over => return Turn::Over,
            Stage::Pausing(until) => {
                let rest = until.saturating_duration_since(Instant::now());
                if !rest.is_zero() {
                    return Turn::Rest(rest);
                }
                self.stage = Stage::Closed;
            }
            Stage::Closed => self.open(),
            Stage::Open(source) => {
                let next = source.next();
                return self.take(next);
            }
        }
        Turn::Again
    }

    fn blocks(&self) -> bool {
        // Who has no room does nothing else.
        !self.is_full
            && match &self.stage {
                Stage::Closed => true,
                Stage::Open(source) => source.blocks(),
                Stage::Pausing(_) | Stage::Over => false,
            }
    }
}

/// If it breaks, its owner is told.
impl Drop for Runner {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            let spec = &self.plan.sources[self.at];
            self.queue.force(Fed::Failed(format!("reading {spec} broke; please report it")));
        }
    }
}

impl Runner {
    fn new(plan: Plan, queue: Arc<Queue<Fed>>, cancel: Cancel) -> Self {
        Self {
            plan,
            at: 0,
            play: Play::default(),
            stage: Stage::Closed,
            waiting: VecDeque::new(),
            is_full: false,
            failures: 0,
            last_failure: None,
            told: Vec::new(),
            queue,
            cancel,
            start: Instant::now(),
            notices: Notices { since: Instant::now(), said: 0, unsaid: 0 },
        }
    }

    fn end(&mut self) -> Turn {
        self.stage = Stage::Over;
        Turn::Over
    }

    fn spec(&self) -> &SourceSpec {
        &self.plan.sources[self.at]
    }

    /// Says something, unless too much was said just now.
    fn say(&mut self, text: String) {
        let passed = self.notices.pass(text);
        self.waiting.extend(passed.map(Fed::Notice));
    }

    fn open(&mut self) {
        self.play.gave = false;
        let cancel = self.cancel.clone();
        match self.spec().open(&cancel) {
            Ok(Opened { source, nature, notice }) => {
                // Once is enough, however often it is opened.
                if let Some(notice) = notice.filter(|notice| !self.told.contains(notice)) {
                    self.told.push(notice.clone());
                    self.say(notice);
                }
                self.play.is_live = matches!(nature, Nature::Live { .. });
                self.waiting.push_back(Fed::Opened(nature));
                self.stage = Stage::Open(source);
            }
            Err(error) => self.lose(error),
        }
    }

    fn take(&mut self, next: Result<Piece, SourceError>) -> Turn {
        match next {
            Ok(Piece::Tag(tag)) => {
                if std::mem::take(&mut self.play.is_lost) {
                    self.say(format!("{} is back", self.spec()));
                }
                self.play.gave = true;
                let arrived = self.play.is_live.then(|| self.start.elapsed());
                self.waiting.push_back(Fed::Tag(tag, arrived));
            }
            Ok(Piece::Restart) => self.waiting.push_back(Fed::Restart),
            Ok(Piece::Notice(text)) => self.say(text),
            Ok(Piece::Nothing) => {}
            Ok(Piece::Rest(rest)) => return Turn::Rest(rest),
            Ok(Piece::Read(readable, rest)) => return Turn::Read(readable, rest),
            Ok(Piece::End) if self.play.gave => self.leave(Left::AtEnd),
            Ok(Piece::End) => {
                let text = format!("{} gave nothing that can be cast", self.spec());
                self.lose(SourceError::Final(text));
            }
            Err(error) => self.lose(error),
        }
        Turn::Again
    }

    /// The source has died. What never was there is a mistake; a recording would begin again from
    /// the start.
    fn lose(&mut self, error: SourceError) {
        self.cancel.forget_hooks();
        self.stage = Stage::Closed;
        self.play.was_given |= self.play.gave;
        let comes_back = self.play.was_given && self.play.is_live && self.spec().comes_back();
        if let (SourceError::Final(why), false) = (&error, comes_back) {
            return self.leave(Left::Failed(why.clone()));
        }
        if self.play.gave {
            self.play.pause = FIRST_PAUSE;
        }
        if !std::mem::replace(&mut self.play.is_lost, true) || self.play.gave {
            self.say(format!("{error}; trying again"));
        }
        self.waiting.push_back(Fed::Restart);
        self.stage = Stage::Pausing(Instant::now() + self.play.pause);
        self.play.pause = (self.play.pause * 2).min(LONGEST_PAUSE);
    }

    /// On to the next source, if there is one.
    fn leave(&mut self, left: Left) {
        self.cancel.forget_hooks();
        (self.stage, self.play) = (Stage::Closed, Play::default());
        let is_last = self.at + 1 == self.plan.sources.len();
        if let Left::Failed(why) = left {
            self.failures += 1;
            if !is_last || self.plan.repeats {
                self.say(why.clone());
            }
            self.last_failure = Some(why);
        }
        if !is_last {
            self.at += 1;
            return self.waiting.push_back(Fed::Restart);
        }
        let has_none = self.failures == self.plan.sources.len();
        let failure = self.last_failure.take().filter(|_| has_none || !self.plan.repeats);
        (self.at, self.failures) = (0, 0);
        match failure {
            // The rest was cast; what was not is no success.
            Some(why) => self.waiting.push_back(Fed::Failed(why)),
            None if self.plan.repeats => return self.waiting.push_back(Fed::Restart),
            None => self.waiting.push_back(Fed::End),
        }
        self.stage = Stage::Over;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::flv::TagKind;

    /// Gives tags, and remembers on which threads.
    struct Slow {
        left: u32,
        threads: Arc<Mutex<Vec<String>>>,
    }

    impl Source for Slow {
        fn next(&mut self) -> Result<Piece, SourceError> {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            let mut threads = self.threads.lock().unwrap();
            if threads.last() != Some(&thread) {
                threads.push(thread);
            }
            self.left = match self.left.checked_sub(1) {
                Some(left) => left,
                None => return Ok(Piece::End),
            };
            let payload = vec![0x27, 1, 0, 0, 0].into();
            Ok(Piece::Tag(Tag { kind: TagKind::Video, timestamp: self.left, payload }))
        }
    }

    #[test]
    fn what_may_block_never_does_so_where_all_wait() {
        const COUNT: u32 = 10_000;
        let threads = Arc::<Mutex<Vec<String>>>::default();
        let slow = Slow { left: COUNT, threads: threads.clone() };
        let feed = crew::spawn(|nudge| {
            let cancel = Cancel::of(nudge.clone());
            let queue = Arc::new(Queue::new(|| {}, move || nudge.nudge()));
            let plan = Plan { sources: vec![SourceSpec::StandardInput], repeats: false };
            let mut runner = Runner::new(plan, queue.clone(), cancel.clone());
            runner.stage = Stage::Open(Box::new(slow));
            (Box::new(runner), Feed { queue, cancel })
        })
        .unwrap();
        let mut count = 0;
        loop {
            match feed.pop(Duration::from_secs(20)) {
                Some(Fed::Tag(..)) => count += 1,
                Some(Fed::End) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(count, COUNT);
        let threads = threads.lock().unwrap();
        assert!(threads.iter().all(|thread| thread == "source"), "{threads:?}");
    }
}
