//! Which source plays: the one that is wanted, or, while that gives nothing, another.

use std::time::{Duration, Instant};

use crate::{
    Error,
    flv::{Tag, TagKind},
    headers::{Noted, StreamHeaders},
    source::{Fed, Feed, Nature, Plan, Wake},
    stop::Stop,
};

/// A source that gives nothing for so long is stood in for.
const SILENCE: Duration = Duration::from_secs(3);
/// While something stands in, a source that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(5);

/// Passed over in one go.
const MAX_PASSED: usize = 4096;

/// What is to be cast next.
#[derive(Debug)]
pub enum Mixed {
    /// A tag, and when it came if its source is live.
    Tag(Tag, Option<Duration>),
    /// What comes next has stamps of its own.
    Break,
    /// Something that a person should know.
    Say(String),
    /// There is no more.
    End,
}

/// The source that is wanted, and what stands in for it.
#[derive(Debug)]
pub struct Mixer {
    plan: Plan,
    main: Input,
    /// Why the source failed last.
    failure: Option<String>,
    /// It has failed, and is tried again then.
    retry_at: Option<Instant>,
    fallback: Option<Plan>,
    stand_in: Option<Input>,
    last_heard: Instant,
    /// Taken from the main source, not given yet.
    waiting: std::collections::VecDeque<Mixed>,
    wake: Wake,
}

/// A feed, and what was seen of it.
#[derive(Debug)]
struct Input {
    feed: Feed,
    nature: Nature,
    headers: StreamHeaders,
    /// Pictures are of no use before the next key frame.
    awaits_key: bool,
    /// That it plays was told.
    is_told: bool,
}

impl Input {
    fn new(feed: Feed) -> Self {
        let (nature, headers) = (Nature::Recorded, StreamHeaders::default());
        Self { feed, nature, headers, awaits_key: false, is_told: false }
    }

    fn pop(&mut self, patience: Duration) -> Option<Fed> {
        let fed = self.feed.pop(patience)?;
        match &fed {
            Fed::Opened(nature) => {
                self.nature = *nature;
                self.awaits_key = matches!(nature, Nature::Live { .. });
            }
            Fed::Restart => self.awaits_key |= matches!(self.nature, Nature::Live { .. }),
            _ => {}
        }
        Some(fed)
    }

    /// Whether a tag is worth anything: who joins a live source midway waits for a key frame.
    fn wants(&mut self, tag: &Tag) -> bool {
        let is_header = self.headers.note(tag) != Noted::NoHeader;
        self.awaits_key &= !tag.is_key_frame();
        is_header || tag.kind != TagKind::Video || !self.awaits_key
    }
}

impl Mixer {
    /// Begins with what is wanted; `wake` is told of news.
    pub fn new(plan: Plan, fallback: Option<Plan>, wake: Wake) -> Self {
        Self {
            main: Input::new(Feed::start(plan.clone(), wake.clone())),
            plan,
            failure: None,
            retry_at: None,
            fallback,
            stand_in: None,
            last_heard: Instant::now(),
            waiting: std::collections::VecDeque::new(),
            wake,
        }
    }

    /// Waits until the first source gives something, or fails. What has a fallback is not waited for.
    pub fn wait_for_first(&mut self, stop: &Stop) -> Result<(), Error> {
        while !stop.is_set() && self.waiting.is_empty() && self.fallback.is_none() {
            match self.main.pop(Duration::from_millis(100)) {
                Some(Fed::Failed(why)) => return Err(Error::Source(why)),
                Some(Fed::Opened(_)) | None => {}
                Some(fed) => self.take_main(fed)?,
            }
        }
        self.last_heard = Instant::now();
        Ok(())
    }

    /// How far behind the newest tag of the playing source `stamp` is, and how far it may be.
    /// Nothing for recordings, which are as far ahead as they like.
    pub fn backlog(&self, stamp: u32) -> Option<(Duration, Duration)> {
        let input = self.stand_in.as_ref().unwrap_or(&self.main);
        match input.nature {
            Nature::Recorded => None,
            Nature::Live { cushion } => Some((input.feed.ahead_of(stamp), cushion)),
        }
    }

    /// Whether the fallback plays.
    pub fn stands_in(&self) -> bool {
        self.stand_in.is_some()
    }

    /// Whether what plays is live.
    pub fn is_live(&self) -> bool {
        self.backlog(0).is_some()
    }

    /// The next, or nothing within `patience`.
    pub fn pop(&mut self, patience: Duration) -> Result<Option<Mixed>, Error> {
        if let Some(mixed) = self.waiting.pop_front() {
            return Ok(Some(mixed));
        }
        if self.stand_in.is_some() {
            return self.pop_stand_in(patience);
        }
        let mut has_any = false;
        // What is of no use is passed over at once: nobody is woken for what lies behind it.
        for _ in 0..MAX_PASSED {
            let patience = if has_any { Duration::ZERO } else { patience };
            let Some(fed) = self.main.pop(patience) else { break };
            has_any = true;
            self.take_main(fed)?;
            if !self.waiting.is_empty() {
                break;
            }
        }
        if has_any {
            return Ok(self.waiting.pop_front());
        }
        if self.last_heard.elapsed() >= SILENCE
            && let Some(plan) = &self.fallback
        {
            self.stand_in = Some(Input::new(Feed::start(plan.clone(), self.wake.clone())));
            self.waiting.push_back(Mixed::Break);
        }
        Ok(self.waiting.pop_front())
    }

    fn take_main(&mut self, fed: Fed) -> Result<(), Error> {
        let mixed = match fed {
            Fed::Tag(tag, arrived) => {
                self.last_heard = Instant::now();
                if !self.main.wants(&tag) {
                    return Ok(());
                }
                Mixed::Tag(tag, arrived)
            }
            Fed::Restart => Mixed::Break,
            Fed::Opened(_) => return Ok(()),
            Fed::Notice(text) => Mixed::Say(text),
            Fed::Failed(why) if self.fallback.is_none() => return Err(Error::Source(why)),
            Fed::Failed(why) => match self.note_failure(why) {
                Some(said) => said,
                None => return Ok(()),
            },
            Fed::End => Mixed::End,
        };
        self.waiting.push_back(mixed);
        Ok(())
    }

    /// It is tried again as long as something stands in. Said once for each reason.
    fn note_failure(&mut self, why: String) -> Option<Mixed> {
        let is_new = self.failure.as_ref() != Some(&why);
        self.failure = Some(why.clone());
        self.retry_at = Some(Instant::now() + RETRY);
        is_new.then(|| Mixed::Say(format!("{why}; trying again")))
    }

    fn retry_if_due(&mut self) {
        if self.retry_at.take_if(|at| *at <= Instant::now()).is_some() {
            self.main = Input::new(Feed::start(self.plan.clone(), self.wake.clone()));
        }
    }

    /// Plays the stand-in until the main source gives a key frame, or sound if it has no pictures.
    fn pop_stand_in(&mut self, patience: Duration) -> Result<Option<Mixed>, Error> {
        self.retry_if_due();
        for _ in 0..MAX_PASSED {
            let Some(fed) = self.main.pop(Duration::ZERO) else { break };
            match fed {
                Fed::Tag(tag, arrived) => {
                    let is_wanted = self.main.wants(&tag) && tag.is_media();
                    let has_video = self.main.headers.parameters(TagKind::Video).is_some();
                    if is_wanted
                        && (tag.is_key_frame() || (tag.kind == TagKind::Audio && !has_video))
                    {
                        self.come_back(tag, arrived);
                        return Ok(self.waiting.pop_front());
                    }
                }
                Fed::Notice(text) => return Ok(Some(Mixed::Say(text))),
                Fed::Failed(why) => {
                    if let Some(said) = self.note_failure(why) {
                        return Ok(Some(said));
                    }
                }
                Fed::End => return Ok(Some(Mixed::End)),
                Fed::Restart | Fed::Opened(_) => {}
            }
        }
        for _ in 0..MAX_PASSED {
            let Some(fed) = self.stand_in.as_mut().and_then(|input| input.pop(patience)) else {
                break;
            };
            if let Some(mixed) = self.take_stand_in(fed)? {
                return Ok(Some(mixed));
            }
        }
        Ok(None)
    }

    /// What the stand-in gave; nothing of what is of no use.
    fn take_stand_in(&mut self, fed: Fed) -> Result<Option<Mixed>, Error> {
        let Some(stand_in) = &mut self.stand_in else { return Ok(None) };
        Ok(match fed {
            Fed::Tag(tag, arrived) if stand_in.wants(&tag) => {
                if std::mem::replace(&mut stand_in.is_told, true) {
                    return Ok(Some(Mixed::Tag(tag, arrived)));
                }
                self.waiting.push_back(Mixed::Tag(tag, arrived));
                Some(Mixed::Say("nothing comes; the fallback plays meanwhile".into()))
            }
            Fed::Restart => Some(Mixed::Break),
            Fed::Notice(text) => Some(Mixed::Say(format!("fallback: {text}"))),
            Fed::Failed(why) => {
                // Once is enough: there is nothing to stand in with.
                self.fallback = None;
                self.stand_in = None;
                self.last_heard = Instant::now();
                if self.retry_at.is_some()
                    && let Some(main) = self.failure.take()
                {
                    return Err(Error::Source(format!("{main}; and the fallback: {why}")));
                }
                Some(Mixed::Say(format!("the fallback gives nothing: {why}")))
            }
            Fed::Tag(..) | Fed::Opened(_) | Fed::End => None,
        })
    }

    fn come_back(&mut self, tag: Tag, arrived: Option<Duration>) {
        (self.stand_in, self.failure) = (None, None);
        self.last_heard = Instant::now();
        self.waiting.push_back(Mixed::Say("the source is back".into()));
        self.waiting.push_back(Mixed::Break);
        let headers = self.main.headers.tags();
        self.waiting.extend(headers.map(|header| Mixed::Tag(header.clone(), arrived)));
        self.waiting.push_back(Mixed::Tag(tag, arrived));
    }
}
