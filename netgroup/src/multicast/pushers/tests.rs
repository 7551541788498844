use super::*;
use rand::SeedableRng;

fn peer(seed: u8) -> PeerId {
    PeerId([seed; 32])
}

struct Stage {
    pushers: Pushers,
    edge: Edge,
    rng: StdRng,
    now: Instant,
    maps: Vec<(PeerId, Availability, u8)>,
}

impl Stage {
    /// Fragments 1 to 100 exist, and so many neighbours have them.
    fn new(neighbours: u8) -> Self {
        let now = Instant::now();
        let mut edge = Edge::default();
        edge.note(now, 100);
        let full = Availability::of(1, 100, |_| u64::MAX);
        let maps = (1..=neighbours).map(|seed| (peer(seed), full.clone(), 0)).collect();
        Self { pushers: Pushers::default(), edge, rng: StdRng::seed_from_u64(1), now, maps }
    }

    fn update(&mut self) {
        let candidates: Vec<_> = self
            .maps
            .iter()
            .map(|(peer, map, wants)| Candidate {
                peer: *peer,
                wants: *wants,
                is_source: false,
                is_free_rider: false,
                map,
                lead: 0.0,
                rtt: Duration::from_millis(50),
            })
            .collect();
        self.pushers.update(self.now, &candidates, 0xff, &self.edge, &mut self.rng);
    }

    /// The stream goes on; `from` pushes what it was asked for, and others show that it exists.
    fn push(&mut self, from: &[u8], fragments: u64) {
        for _ in 0..fragments {
            self.now += Duration::from_millis(10);
            let id = self.edge.highest() + 1;
            self.edge.note(self.now, id);
            for seed in from {
                if self.pushers.asks(&peer(*seed), id) {
                    self.pushers.on_fragment(self.now, &peer(*seed), id, &self.edge);
                }
            }
        }
    }

    fn show(&mut self, seed: u8) {
        let last = self.edge.highest();
        let map = Availability::of(1, last, |_| u64::MAX);
        self.maps
            .iter_mut()
            .filter(|(other, ..)| *other == peer(seed))
            .for_each(|slot| slot.1 = map.clone());
    }
}

#[test]
fn all_residues_are_shared_among_those_who_have_them() {
    let mut stage = Stage::new(4);
    stage.update();
    let masks: Vec<u8> = (1..=4).map(|seed| stage.pushers.mask_for(&peer(seed))).collect();
    assert_eq!(masks.iter().fold(0, |all, mask| all | mask), 0xff);
    assert!(masks.iter().all(|mask| mask.count_ones() >= 1), "{masks:?}");
}

#[test]
fn a_silent_pusher_is_replaced_within_400_ms_by_one_that_has_more() {
    let mut stage = Stage::new(1);
    stage.update();
    assert_eq!(stage.pushers.mask_for(&peer(1)), 0xff);
    stage.push(&[1], 30);
    stage.maps.push((peer(2), Availability::default(), 0));
    stage.maps.push((peer(3), Availability::default(), 0));
    stage.push(&[], 38);
    stage.show(3);
    stage.update();
    assert_eq!(stage.pushers.mask_for(&peer(2)), 0, "it has nothing new");
    assert!(stage.pushers.mask_for(&peer(3)).count_ones() >= 7);
}

#[test]
fn nobody_is_asked_for_what_they_ask_of_us() {
    let mut stage = Stage::new(1);
    stage.maps[0].2 = 0x0f;
    stage.update();
    assert_eq!(stage.pushers.mask_for(&peer(1)), 0xf0);
}

#[test]
fn who_has_nothing_newer_is_not_asked_when_pushes_stop() {
    // All who get the residue from us stop with us; to ask them would make a circle.
    let mut stage = Stage::new(3);
    stage.update();
    stage.push(&[1, 2, 3], 40);
    let before: Vec<u8> = (1..=3).map(|seed| stage.pushers.mask_for(&peer(seed))).collect();
    stage.push(&[], 40);
    stage.update();
    let after: Vec<u8> = (1..=3).map(|seed| stage.pushers.mask_for(&peer(seed))).collect();
    assert_eq!(before, after);
}

#[test]
fn who_refuses_is_asked_less_and_less_often() {
    let mut stage = Stage::new(2);
    stage.update();
    let mut asked = 0;
    for _ in 0..600 {
        let before = stage.pushers.mask_for(&peer(2));
        stage.push(&[1], 10);
        stage.show(1);
        stage.show(2);
        stage.update();
        asked += (stage.pushers.mask_for(&peer(2)) & !before).count_ones();
    }
    assert!(asked < 40, "{asked} times in a minute");
}
