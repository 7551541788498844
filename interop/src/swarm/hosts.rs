//! What the hosts of any fidelity do together.

use std::{
    fmt::Debug,
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

/// Lets hosts live by themselves, on as many cores as there are tallies.
pub(super) fn step_all<H: Send>(
    hosts: &mut [H],
    tallies: &mut [Tally],
    step: impl Fn(&mut H, &mut Tally) + Sync,
) {
    let (share, step) = (hosts.len().div_ceil(tallies.len()).max(1), &step);
    std::thread::scope(|scope| {
        for (hosts, tally) in hosts.chunks_mut(share).zip(tallies) {
            scope.spawn(move || hosts.iter_mut().for_each(|host| step(host, tally)));
        }
    });
}
