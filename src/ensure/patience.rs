//! Connecting until it works, the time for it is over, or it is certain that it will not.

use std::time::{Duration, Instant};

use super::backend::Trouble;
use super::backoff::Backoff;
use super::pace::Pace;
use super::{EnsureError, Fault, Nature};
use crate::monitor::Monitor;

/// Pauses between attempts to connect.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));

/// Calls `connect` until it works, for at most `most`.
///
/// # Errors
/// What `connect` refuses; [`EnsureError::Unreachable`] where the time is over, a signal has come,
/// or the server has answered with what no repetition changes (a wrong password, no such database).
pub fn patiently<T>(
    pace: &Pace,
    most: Duration,
    monitor: &dyn Monitor,
    mut connect: impl FnMut() -> Result<T, Trouble>,
) -> Result<T, EnsureError> {
    let began = Instant::now();
    let mut failures = 0;
    loop {
        let fault = match connect() {
            Ok(connected) => return Ok(connected),
            Err(Trouble::Refused(error)) => return Err(error),
            Err(Trouble::Fault(fault)) => fault,
        };
        failures += 1;
        let elapsed = began.elapsed();
        let over = elapsed >= most || pace.is_over() || pace.is_cancelled();
        if over || !may_pass(&fault) {
            return Err(EnsureError::Unreachable { fault, seconds: elapsed.as_secs_f64() });
        }
        if failures == 1 {
            monitor.warn(&format!("{fault}; trying again for {} s", most.as_secs()));
        }
        pace.pause(RECONNECT.after(failures));
    }
}

fn may_pass(fault: &Fault) -> bool {
    match fault.nature() {
        Nature::Lost | Nature::Passing => true,
        Nature::Exists | Nature::Data | Nature::Definition => false,
    }
}
