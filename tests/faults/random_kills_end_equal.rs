//! Commands that are killed at random operations, again and again, until they are left alone: they
//! end as if nothing had happened. `tools/soak` makes as many cycles as there is time for; a cycle is
//! one kill and the command that follows it.
//!
//! `DOTFILL_SOAK_CYCLES` (50), `DOTFILL_SOAK_MINUTES` (no limit) and `DOTFILL_TEST_SEED` (1) say how
//! many, how long and which; a failure prints the seed of its round.

use std::time::{Duration, Instant};

use crate::cases::{Before, Case, Tables};
use crate::scene::Scene;
use crate::shim::Fault;

const CASES: [(Tables, Before, &str, Option<&str>); 9] = [
    (Tables::Plain, Before::Rows, "run @m.toml --db @t.db --batch-rows-max 3", None),
    (Tables::Replicated, Before::HalfRun, "run @m.toml --db @t.db --batch-rows-max 7", None),
    (Tables::Native, Before::Rows, "run @m.toml --db @t.db --batch-rows-max 7", None),
    (
        Tables::Replicated,
        Before::Rows,
        "run @m.toml --db @t.db --deltas @new --batch-rows-max 7",
        Some("holds a whole chain"),
    ),
    (Tables::Plain, Before::Run, "export @m.toml --db @t.db --deltas @new", None),
    (Tables::Replicated, Before::Again, "apply @deltas --db @t.db --batch-rows-max 7", None),
    (Tables::Replicated, Before::Run, "rollback @m.toml --db @t.db --batch-rows-max 7", None),
    (Tables::Set, Before::HalfRun, "run @m.toml --db @t.db --batch-rows-max 7", None),
    (
        Tables::Set,
        Before::Modes(2),
        "advance @m.toml --db @t.db --alone --to read-new-write-new",
        Some("is in mode read-new-write-new"),
    ),
];
/// Kills of one round, at most.
const KILLS_MAX: usize = 4;
const ACTIONS: [&str; 3] = ["before", "after", "torn"];

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} = {text:?} is no number")))
}

/// Numbers that look random: `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }
}

/// A case, and what an undisturbed command leaves.
struct Known {
    scene: Scene,
    operations: usize,
    want: Vec<String>,
}

impl Known {
    fn new(
        (tables, before, command, done): (Tables, Before, &'static str, Option<&'static str>),
    ) -> Self {
        let scene = Scene::new(Case { tables, before, command, done });
        let whole = scene.copy("whole");
        let ended = scene.call(&whole, None);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let want = scene.dump(&whole);
        Self { scene, operations: ended.operations.len(), want }
    }

    /// One round of kills; how many of them met the command.
    fn round(&self, random: &mut Random) -> Result<usize, String> {
        let place = self.scene.copy("copy");
        let mut met = Vec::new();
        for _ in 0..=random.below(KILLS_MAX) {
            let at = 1 + random.below(self.operations);
            let action = ACTIONS[random.below(ACTIONS.len())];
            let ended = self.scene.call(&place, Some(Fault { at, action }));
            if ended.code.is_some() {
                // It was shorter than the undisturbed one.
                break;
            }
            met.push(format!("{action} {}", ended.operations.last().cloned().unwrap_or_default()));
        }
        let found = self.scene.again(&place).or_else(|| self.scene.compare(&place, &self.want));
        if let Some(found) = found {
            return Err(format!("killed {}: {found}", met.join(", then ")));
        }
        std::fs::remove_dir_all(&place).unwrap();
        Ok(met.len())
    }
}

#[test]
fn however_often_a_command_is_killed() {
    let cycles = number("DOTFILL_SOAK_CYCLES").unwrap_or(50);
    let minutes = number("DOTFILL_SOAK_MINUTES").map(|n| Duration::from_secs(n * 60));
    let first = number("DOTFILL_TEST_SEED").unwrap_or(1);
    let began = Instant::now();
    let cases: Vec<Known> = CASES.into_iter().map(Known::new).collect();
    let (mut killed, mut rounds) = (0, 0);
    while killed < cycles && minutes.is_none_or(|minutes| began.elapsed() < minutes) {
        let seed = first + rounds;
        let mut random = Random(seed);
        let case = &cases[usize::try_from(seed % cases.len() as u64).unwrap()];
        match case.round(&mut random) {
            Ok(met) => killed += met as u64,
            Err(problem) => {
                panic!("DOTFILL_TEST_SEED={seed}: {:?} {problem}", case.scene.case);
            }
        }
        rounds += 1;
    }
    println!("{killed} kills in {rounds} rounds, {:.0?}: all ended equal", began.elapsed());
    assert!(killed >= cycles || minutes.is_some(), "premise: {killed} kills");
}
