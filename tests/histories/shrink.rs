//! Makes a history that fails shorter, as long as it breaks the same promise (delta debugging).

use super::step::{History, Step};
use super::story::Failure;

/// Histories that are told at most.
const TRIES: usize = 600;

/// The shortest history that was found, and how it fails. `tell` tells one, as often as asked.
pub fn shrink(
    history: &History,
    failure: Failure,
    mut tell: impl FnMut(&History) -> Option<Failure>,
) -> (History, Failure) {
    let mut best = (history.clone(), failure);
    let mut tries = 0;
    let mut chunk = history.steps.len().div_ceil(2).max(1);
    loop {
        let before = best.0.steps.len();
        let mut at = 0;
        while at < best.0.steps.len() && tries < TRIES {
            tries += 1;
            let steps = without(&best.0.steps, at, chunk);
            let shorter = History { steps, ..best.0.clone() };
            match tell(&shorter) {
                Some(failure) if failure.property == best.1.property => best = (shorter, failure),
                _ => at += chunk,
            }
        }
        let stuck = best.0.steps.len() == before;
        if tries >= TRIES || (chunk == 1 && stuck) {
            return best;
        }
        chunk = if stuck { chunk.div_ceil(2) } else { chunk };
    }
}

/// The steps but for some. What was kept keeps its number.
fn without(steps: &[Step], at: usize, count: usize) -> Vec<Step> {
    let gone = at..at + count;
    let (mut kept, mut renumbered, mut left) = (0, Vec::new(), Vec::new());
    for (i, step) in steps.iter().enumerate() {
        let stays = !gone.contains(&i);
        if matches!(step, Step::Keep { .. }) {
            renumbered.push(stays.then_some(kept));
            kept += usize::from(stays);
        }
        match step {
            Step::Arrive { kept, to } if stays => {
                let known = renumbered.get(*kept).copied().flatten();
                left.extend(known.map(|kept| Step::Arrive { kept, to: *to }));
            }
            step if stays => left.push(step.clone()),
            _ => {}
        }
    }
    left
}
