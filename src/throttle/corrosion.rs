//! The signal `corrosion`: the job pauses while the Corrosion agent of this database is behind with
//! what other nodes sent it. On by itself where there is an agent.
//!
//! Owns what a backlog means; [`Backlog`] is read by the engine.
//!
//! # Definitions
//! Live traffic makes backlogs of some milliseconds all the time; one is *busy* once it was there
//! at every reading of the last second. One that returns to the same state a minute later is
//! *stuck*: the agent does nothing about it, waiting does not help it, and deriving does not make
//! it worse. A stuck backlog is said once and does not pause; what comes on top of it may.

use std::time::Duration;

use super::{Ask, Moment, Throttle, Verdict, Work};
use crate::layout::corrosion::Backlog;

/// The backlog is read at most this often: a reading is a dozen queries.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long a backlog is there before it pauses the job: an agent that keeps up has none for that
/// long, and the job adds nothing to the agent's queues in the meantime.
const BUSY_AFTER: Duration = Duration::from_secs(1);
/// How long a backlog is unchanged before it counts as stuck. The agent applies what it has whole in
/// one transaction, which it ends by itself after `perf.sql_tx_timeout`, by default this long.
const STUCK_AFTER: Duration = Duration::from_mins(1);
/// States of a backlog that are remembered. A stuck one is seen again between those of the
/// traffic around it, and what was not seen for longest is forgotten.
const STATES_MAX: usize = 16;

/// A state of the backlog, and when it was first seen.
#[derive(Clone, Debug)]
struct State {
    mark: String,
    since: Duration,
}

/// Pauses a job while the agent is behind, for as long as that helps.
#[derive(Clone, Debug, Default)]
pub struct Corrosion {
    /// When the backlog was last read, and why that pauses the job.
    asked: Option<(Duration, Option<String>)>,
    /// Since when there has been a backlog that is not stuck.
    behind_since: Option<Duration>,
    /// Last seen comes last. Empty where there is no backlog.
    states: Vec<State>,
    told_stuck: bool,
    told_unknown: bool,
    warnings: Vec<String>,
}

impl Corrosion {
    /// This signal, with the way to ask.
    pub(super) fn asking<'a>(&'a mut self, ask: &'a mut dyn Ask) -> impl Throttle + 'a {
        Asking { signal: self, ask }
    }

    /// What the operator is to hear, once for each job.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Why the job pauses now, and when the backlog may be read again.
    fn reason(&mut self, now: Duration, ask: &mut dyn Ask) -> (Option<String>, Duration) {
        if let Some((at, reason)) = &self.asked {
            let rest = ASK_EVERY.saturating_sub(now.saturating_sub(*at));
            if !rest.is_zero() {
                return (reason.clone(), rest);
            }
        }
        let reason = match ask.backlog() {
            Ok(backlog) => self.judge(now, &backlog),
            Err(error) => Some(format!("the agent's backlog cannot be read: {error}")),
        };
        self.asked = Some((now, reason.clone()));
        (reason, ASK_EVERY)
    }

    fn judge(&mut self, now: Duration, backlog: &Backlog) -> Option<String> {
        self.warn_unknown(backlog);
        if backlog.is_empty() {
            self.states.clear();
            self.behind_since = None;
            return None;
        }
        if now.saturating_sub(self.first_seen(now, &backlog.mark)) >= STUCK_AFTER {
            self.warn_stuck(backlog);
            self.behind_since = None;
            return None;
        }
        let since = *self.behind_since.get_or_insert(now);
        (now.saturating_sub(since) >= BUSY_AFTER).then(|| backlog.to_string())
    }

    /// When this state was seen first; it is the last seen from now on.
    fn first_seen(&mut self, now: Duration, mark: &str) -> Duration {
        let known = self.states.iter().position(|state| state.mark == mark);
        let state = match known {
            Some(at) => self.states.remove(at),
            None => State { mark: mark.to_owned(), since: now },
        };
        if self.states.len() == STATES_MAX {
            self.states.remove(0);
        }
        let since = state.since;
        self.states.push(state);
        since
    }

    fn warn_stuck(&mut self, backlog: &Backlog) {
        if !std::mem::replace(&mut self.told_stuck, true) {
            self.warnings.push(format!(
                "corrosion: {backlog} unchanged for {} s: the agent is stuck, not busy, and the job \
                 goes on; `dotfill doctor` says what is stuck and what to run",
                STUCK_AFTER.as_secs()
            ));
        }
    }

    fn warn_unknown(&mut self, backlog: &Backlog) {
        if !backlog.unknown.is_empty() && !std::mem::replace(&mut self.told_unknown, true) {
            self.warnings.push(format!(
                "corrosion: this release of the agent has no {}, or another one: what waits there \
                 does not pause the job; --pause-when can watch it",
                backlog.unknown.join(", no ")
            ));
        }
    }
}

struct Asking<'a> {
    signal: &'a mut Corrosion,
    ask: &'a mut dyn Ask,
}

impl Throttle for Asking<'_> {
    fn check(&mut self, now: Moment, _: &Work) -> Verdict {
        let (seen, wait) = self.signal.reason(now.monotonic, self.ask);
        Verdict::while_seen("corrosion:", seen, wait)
    }
}
