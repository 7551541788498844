//! What the hosts of any fidelity do together.

use std::{
    fmt::Debug,
    sync::Mutex,
    time::{Duration, Instant},
};

use netgroup::Group;

use super::{figures::Tally, world::World};

/// All hosts of a run, and what is between them.
pub(super) trait Hosts: Debug + Send {
    /// Everybody lives until `end`, which is no later than what is sent after `from` arrives.
    fn advance(&mut self, world: &World, tallies: &mut [Tally], from: Instant, end: Instant);

    /// Those who are here, in the order of their numbers.
    fn present(&self) -> Vec<Present<'_>>;

    /// Adds what only the end shows.
    fn sum_up(&self, world: &World, tally: &mut Tally, ends: Duration);
}

/// A host that is here.
#[derive(Debug)]
pub(super) struct Present<'a> {
    pub number: usize,
    /// In the order of the world's.
    pub groups: Vec<&'a Group>,
}

/// Hosts that a worker takes at once.
const PIECE: usize = 16;

/// Lets hosts live by themselves, on as many cores as there are tallies. Which worker takes which
/// hosts is left to chance, as sums do not depend on it.
pub(super) fn step_all<H: Send>(
    hosts: &mut [H],
    tallies: &mut [Tally],
    step: impl Fn(&mut H, &mut Tally) + Sync,
) {
    let pieces = Mutex::new(hosts.chunks_mut(PIECE));
    let next = || pieces.lock().expect("no worker panics with it").next();
    let work = |tally: &mut Tally| {
        std::iter::from_fn(next).flatten().for_each(|host| step(host, tally));
    };
    let Some((own, others)) = tallies.split_first_mut() else { return };
    std::thread::scope(|scope| {
        for tally in others {
            scope.spawn(|| work(tally));
        }
        work(own);
    });
}
