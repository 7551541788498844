//! Runs sources on a thread: one after the other, again from the start, and again when they die.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Cancel, Nature, Opened, Piece, SourceError, SourceSpec,
    queue::{self, Queue},
};
use crate::flv::Tag;

/// Before a source that died is tried again; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
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

/// Called, on the source's thread, when there is something to take where nothing was.
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
        let feed =
            Self { queue: Arc::new(Queue::new(move || (wake.0)())), cancel: Cancel::default() };
        let runner = Runner {
            queue: feed.queue.clone(),
            cancel: feed.cancel.clone(),
            start: Instant::now(),
            gave: false,
            is_live: false,
            notices: Notices { since: Instant::now(), said: 0, unsaid: 0 },
        };
        // Without a thread nothing comes, which is what its owner sees.
        let thread = std::thread::Builder::new().name("source".into());
        let started = thread.spawn(move || runner.run(&plan));
        if let Err(error) = started {
            let why = format!("no thread for the source: {error}");
            feed.queue.push(Fed::Failed(why));
        }
        feed
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

struct Runner {
    queue: Arc<Queue<Fed>>,
    cancel: Cancel,
    start: Instant,
    /// Something came of what was opened last.
    gave: bool,
    /// What was opened last gives as it comes, and may come again.
    is_live: bool,
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

/// How a source was left.
enum Left {
    /// It is over.
    AtEnd,
    /// It will never give anything.
    Failed(String),
    /// Nobody wants more.
    Unwanted,
}

impl Runner {
    fn run(mut self, plan: &Plan) {
        loop {
            let (mut failures, mut last_failure) = (0, None::<String>);
            for (index, spec) in plan.sources.iter().enumerate() {
                if index > 0 {
                    self.queue.push(Fed::Restart);
                }
                match self.play(spec) {
                    Left::AtEnd => {}
                    Left::Failed(why) => {
                        let others_follow = index + 1 < plan.sources.len() || plan.repeats;
                        if others_follow && !self.say(why.clone()) {
                            return;
                        }
                        failures += 1;
                        last_failure = Some(why);
                    }
                    Left::Unwanted => return,
                }
            }
            let has_none = failures == plan.sources.len();
            if let Some(why) = last_failure.filter(|_| has_none || !plan.repeats) {
                // The rest was cast; what was not is no success.
                self.queue.push(Fed::Failed(why));
                return;
            }
            if !plan.repeats {
                self.queue.push(Fed::End);
                return;
            }
            if !self.queue.push(Fed::Restart) {
                return;
            }
        }
    }

    /// Says something, unless too much was said just now. False if nobody listens any more.
    fn say(&mut self, text: String) -> bool {
        self.notices.pass(text).is_none_or(|text| self.queue.push(Fed::Notice(text)))
    }

    /// Plays one source, however often it has to be opened.
    fn play(&mut self, spec: &SourceSpec) -> Left {
        let (mut pause, mut is_lost, mut was_given) = (FIRST_PAUSE, false, false);
        loop {
            let outcome = self.play_once(spec, &mut is_lost);
            was_given |= self.gave;
            self.cancel.forget_hooks();
            // What never was there is a mistake; a recording would begin again from the start.
            let comes_back = was_given && self.is_live && spec.comes_back();
            match outcome {
                Ok(left) => return left,
                Err(SourceError::Final(why)) if !comes_back => return Left::Failed(why),
                Err(error) => {
                    if self.gave {
                        pause = FIRST_PAUSE;
                    }
                    if !std::mem::replace(&mut is_lost, true) || self.gave {
                        self.say(format!("{error}; trying again"));
                    }
                }
            }
            if !self.cancel.sleep(pause) || !self.queue.push(Fed::Restart) {
                return Left::Unwanted;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// From opening to the end, or to an error.
    fn play_once(&mut self, spec: &SourceSpec, is_lost: &mut bool) -> Result<Left, SourceError> {
        self.gave = false;
        let Opened { mut source, nature, notice } = spec.open(&self.cancel)?;
        if let Some(notice) = notice.filter(|_| !*is_lost) {
            self.say(notice);
        }
        self.is_live = matches!(nature, Nature::Live { .. });
        if !self.queue.push(Fed::Opened(nature)) {
            return Ok(Left::Unwanted);
        }
        while !self.cancel.is_set() {
            let fed = match source.next()? {
                Piece::Tag(tag) => {
                    if std::mem::take(is_lost) {
                        self.say(format!("{spec} is back"));
                    }
                    self.gave = true;
                    Fed::Tag(tag, self.is_live.then(|| self.start.elapsed()))
                }
                Piece::Restart => Fed::Restart,
                Piece::Notice(text) => {
                    if !self.say(text) {
                        return Ok(Left::Unwanted);
                    }
                    continue;
                }
                Piece::Nothing => continue,
                Piece::End if self.gave => return Ok(Left::AtEnd),
                Piece::End => {
                    let text = format!("{spec} gave nothing that can be cast");
                    return Err(SourceError::Final(text));
                }
            };
            if !self.queue.push(fed) {
                return Ok(Left::Unwanted);
            }
        }
        Ok(Left::Unwanted)
    }
}
