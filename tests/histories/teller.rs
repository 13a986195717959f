//! Tells many histories on all cores, and shows the shortest that fails.
//!
//! `DOTFILL_TEST_HISTORIES` is how many, `DOTFILL_TEST_SEED` the seed of the first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::shrink::shrink;
use super::step::{History, Shape};
use super::story::{COMMANDS, Failure, Story, Told};
use super::world::World;

/// What histories have to come across, so that their silence means something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Premises {
    /// Steps that closed an epoch.
    pub closed: u64,
    /// Old writes that were decided in one.
    pub decided: u64,
    /// Elements that were refused, translated or held.
    pub held: u64,
    /// Facts of new clients.
    pub user_facts: u64,
}

/// Something that can tell histories.
pub trait Teller: Default {
    fn tell(&mut self, history: &History, premises: &mut Premises) -> Told;
}

/// Tells a history to its end.
pub fn told<W: World>(
    story: &mut Story<'_, W>,
    history: &History,
    premises: &mut Premises,
) -> Told {
    let result = history.steps.iter().enumerate().try_for_each(|(i, step)| {
        story.step(step).map_err(|failure| Failure {
            what: format!("after step {i} ({step:?}): {}", failure.what),
            ..failure
        })
    });
    let whim = history.whim;
    let result = result.and_then(|()| story.end(whim.is_multiple_of(4), whim, history.compact));
    premises.closed += story.ledger.closed;
    premises.decided += story.ledger.decided;
    premises.held += story.models.iter().map(|model| model.held.len() as u64).sum::<u64>();
    premises.user_facts += (story.ledger.user_adds.len() + story.ledger.user_removes.len()) as u64;
    result
}

/// As `tell`; a panic is a failure, too.
fn caught<T: Teller>(
    teller: &mut T,
    history: &History,
    premises: &mut Premises,
) -> Option<Failure> {
    match catch_unwind(AssertUnwindSafe(|| teller.tell(history, premises))) {
        Ok(result) => result.err(),
        Err(panic) => {
            *teller = T::default();
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Some(Failure { property: COMMANDS, what: text.unwrap_or_default() })
        }
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Tells so many histories, and fails with the first one that fails.
pub fn tell_all<T: Teller>(kind: &str, count: u64, shape: Shape) {
    let count = from_environment("DOTFILL_TEST_HISTORIES", count);
    let first = from_environment("DOTFILL_TEST_SEED", 1);
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let (all, began) = (Mutex::new(Premises::default()), Instant::now());
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut teller, mut premises) = (T::default(), Premises::default());
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let history = History::new(seed, shape);
                    if let Some(failure) = caught(&mut teller, &history, &mut premises) {
                        failed.store(true, Ordering::Relaxed);
                        let tell = |h: &History| caught(&mut teller, h, &mut Premises::default());
                        failures.lock().unwrap().push((seed, shrink(&history, failure, tell)));
                    }
                }
                let mut all = all.lock().unwrap();
                all.closed += premises.closed;
                all.decided += premises.decided;
                all.held += premises.held;
                all.user_facts += premises.user_facts;
            });
        }
    });
    let told: Vec<String> = failures
        .into_inner()
        .unwrap()
        .into_iter()
        .map(|(seed, (history, Failure { property, what }))| {
            format!("{kind}, seed {seed} breaks \"{property}\"\n  {what}\n{history:#?}\n")
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    let premises = all.into_inner().unwrap();
    println!("{kind}: {count} histories in {:?}: {premises:?}", began.elapsed());
    let enough = [premises.closed * 4, premises.decided, premises.held, premises.user_facts];
    assert!(count < 50 || enough.iter().all(|n| *n > count / 8), "premise: {premises:?}");
}

/// Tells one history that failed once.
pub fn tell_again<T: Teller>(history: &History) {
    let failure = caught(&mut T::default(), history, &mut Premises::default());
    if let Some(Failure { property, what }) = failure {
        panic!("breaks \"{property}\": {what}");
    }
}
