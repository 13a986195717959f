//! The exit codes.

use crate::engine::Outcome;

/// Done and proven.
pub const DONE: u8 = 0;
/// A failure.
pub const FAILED: u8 = 1;
/// Usage, or refused before anything was written.
pub const REFUSED: u8 = 2;
/// Rows do not hold what they must.
pub const DIVERGED: u8 = 3;
/// Interrupted or stopped, resumable.
pub const RESUMABLE: u8 = 4;
/// In progress elsewhere.
pub const ELSEWHERE: u8 = 5;
/// A condition of a gate does not hold, or something blocks the way back.
pub const GATE: u8 = 6;
/// A budget was passed, resumable.
pub const BUDGET: u8 = 7;

/// The code of a job's outcome.
#[must_use]
pub const fn of(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Complete => DONE,
        Outcome::Interrupted => RESUMABLE,
        Outcome::Budget => BUDGET,
        Outcome::Failed => FAILED,
    }
}
