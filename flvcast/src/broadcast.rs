//! A broadcast: what its sources give, each tag when it is due. It blocks nobody.

use std::time::{Duration, Instant};

use crate::{
    Error,
    desk::{Desk, Next},
    flv::Tag,
    mixer::Mixer,
    source::{Plan, Wake},
    stop::Stop,
};

/// Sent in one go; then others have their turn.
const MAX_TAGS: usize = 1024;

/// Bytes a second that a broadcast may send, and so many at once: far beyond any film, so that one
/// whose source floods takes nothing from others.
const RATE: u64 = 6 << 20;
const BURST: u64 = 24 << 20;
/// The smallest tag is work as well.
const LEAST: u64 = 1024;

/// What may be sent.
#[derive(Debug)]
struct Budget {
    /// Bytes; a tag that is larger makes a debt.
    left: i64,
    at: Instant,
    /// That it is too little was told.
    is_told: bool,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { left: BURST as i64, at: now, is_told: false }
    }

    /// How long nothing more may be sent.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at);
        let earned = passed.as_secs_f64() * RATE as f64;
        // Of less, a part would be lost.
        if earned >= LEAST as f64 {
            self.left = self.left.saturating_add(earned as i64).min(BURST as i64);
            self.at = now;
        }
        (self.left <= 0).then_some(Duration::from_millis(20))
    }

    fn spend(&mut self, bytes: u64) {
        self.left -= bytes.max(LEAST) as i64;
    }
}

/// Sources on their way to an audience.
#[derive(Debug)]
pub struct Broadcast {
    mixer: Mixer,
    desk: Desk,
    budget: Budget,
}

/// When there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Then.
    Until(Instant),
    /// When the sources have given something, which they say by their [`Wake`]; after a tenth of a
    /// second at the latest.
    Sources,
    /// Never: all was sent.
    Over,
}

/// What a broadcast gives.
#[derive(Debug)]
pub enum Sent {
    /// A tag that is due.
    Tag(Tag),
    /// Something that a person should know.
    Notice(String),
}

impl Broadcast {
    /// Opens the sources; `fallback` plays while they give nothing.
    pub fn new(plan: Plan, fallback: Option<Plan>, wake: Wake) -> Self {
        Self::naming(Vec::new(), plan, fallback, wake)
    }

    /// One that tells viewers of channels with the same in lower qualities.
    pub fn naming(lower: Vec<String>, plan: Plan, fallback: Option<Plan>, wake: Wake) -> Self {
        let now = Instant::now();
        let (desk, budget) = (Desk::new(now, lower), Budget::new(now));
        Self { mixer: Mixer::new(plan, fallback, wake), desk, budget }
    }

    /// Opens the sources once more, after they failed. What they give follows what was sent.
    pub fn reopen(&mut self, plan: Plan, fallback: Option<Plan>, wake: Wake) {
        self.mixer = Mixer::new(plan, fallback, wake);
        self.desk.begin_again();
    }

    /// Waits until the first source gives something, or fails. What has a fallback is not waited for.
    pub fn wait_for_first(&mut self, stop: &Stop) -> Result<(), Error> {
        self.mixer.wait_for_first(stop)
    }

    /// Whether the fallback plays.
    pub fn stands_in(&self) -> bool {
        self.mixer.stands_in()
    }

    /// Whether what plays is live.
    pub fn is_live(&self) -> bool {
        self.mixer.is_live()
    }

    /// What to do as long as nobody can be sent anything: see [`Desk::prepare`].
    pub fn prepare(&mut self, mut give: impl FnMut(Sent)) -> Result<(), Error> {
        self.desk.prepare(&mut self.mixer)?;
        while let Some(text) = self.desk.pop_said() {
            give(Sent::Notice(text));
        }
        Ok(())
    }

    /// Gives what is due.
    pub fn advance(&mut self, now: Instant, mut give: impl FnMut(Sent)) -> Result<Pause, Error> {
        let mut sent = 0;
        while sent < MAX_TAGS {
            if let Some(wait) = self.budget.wait(now) {
                if !std::mem::replace(&mut self.budget.is_told, true) {
                    let most = RATE * 8 / 1_000_000;
                    let text =
                        format!("the source gives more than {most} Mbit/s; it is slowed down");
                    give(Sent::Notice(text));
                }
                return Ok(Pause::Until(now + wait));
            }
            match self.desk.next(now, |stamp| self.mixer.backlog(stamp))? {
                Next::Send(tags) => {
                    // What comes to nothing was work as well.
                    sent += tags.len().max(1);
                    self.budget.spend(tags.iter().map(|tag| tag.payload.len() as u64).sum());
                    tags.into_iter().for_each(|tag| give(Sent::Tag(tag)));
                }
                Next::Wait(until) => return Ok(Pause::Until(until)),
                Next::Read if self.desk.read(&mut self.mixer, Duration::ZERO) => sent += 1,
                Next::Read => return Ok(Pause::Sources),
                Next::Say(text) => give(Sent::Notice(text)),
                Next::End => return Ok(Pause::Over),
            }
        }
        Ok(Pause::Until(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_slowed_down_and_a_film_is_not() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let sent_in_ten_seconds = |budget: &mut Budget, from: Instant, size: u64| {
            let mut sent = 0;
            for tick in 0..5300 {
                let now = from + Duration::from_micros(tick * 1900);
                while budget.wait(now).is_none() {
                    budget.spend(size);
                    sent += size;
                }
            }
            sent
        };
        let sent = sent_in_ten_seconds(&mut budget, start, 4000);
        assert!((BURST + RATE * 9..=BURST + RATE * 11).contains(&sent), "{sent}");
        let later = start + Duration::from_secs(11);
        let large = sent_in_ten_seconds(&mut budget, later, 16 << 20);
        assert!(large <= RATE * 11 + (32 << 20), "a debt is paid: {large}");
        let later = later + Duration::from_secs(20);
        sent_in_ten_seconds(&mut budget, later, 4000);
        let later = later + Duration::from_secs(10);
        assert!(sent_in_ten_seconds(&mut budget, later, 1) < 11 * RATE / LEAST, "tiny ones count");
        // A picture of 20 MB now and then, and 30 Mbit/s beside it.
        let mut now = later + Duration::from_secs(60);
        for second in 0..60 {
            let key = if second % 10 == 0 { 20 << 20 } else { 0 };
            for size in [key, 3_800_000] {
                assert_eq!(budget.wait(now), None, "{second}");
                budget.spend(size);
            }
            now += Duration::from_secs(1);
        }
    }
}
