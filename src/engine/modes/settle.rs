//! Settling what was noted while sets are between their modes: writes of the old form that arrived in
//! a closed epoch, objects that the validator has to compare, new objects that join a cohort.

use std::time::{Duration, Instant};

use super::sets_of;
use crate::engine::job::Job;
use crate::engine::ready::Ready;
use crate::engine::{RunError, Stop};
use crate::phase::cohort::{self, Share};
use crate::phase::mode::is_closed;
use crate::phase::pending::{Settled, Settler, pending_count};
use crate::phase::publish::{Publishing, can_publish};
use crate::phase::set::EpochSet;
use crate::phase::validator::{self, Validator};
use crate::plan::ResolvedChange;
use crate::scan::or_set::Bounds;
use crate::split::Splitter;
use crate::state::{self, Mode, ModeRow};

/// Rounds of settling what was noted meanwhile.
const ROUNDS: u32 = 20;
/// Objects that the validator compares in one transaction.
const COMPARED_MAX: u64 = 500;
/// How often new objects are looked for that belong to the cohort.
const GROWTH: Duration = Duration::from_secs(30);
/// How often an agent is told what it has to write.
const TELLING: Duration = Duration::from_secs(30);
/// Objects that may join a cohort in one transaction.
const JOINING_MAX: u64 = 2000;

/// What settling came to.
pub(in crate::engine) struct Settling {
    /// Of the writes that had arrived.
    pub settled: Settled,
    /// Notes taken, of all kinds.
    pub notes: u64,
    /// What an agent of Corrosion has to write first, as SQL.
    pub owed: Vec<String>,
}

/// Derives the objects that are noted, as `run` would; nothing once the epoch of all is closed.
pub(super) fn drain_all(job: &mut Job<'_>) -> Result<Result<(), Stop>, RunError> {
    if is_closed_here(job)? {
        return Ok(Ok(()));
    }
    for index in 0..job.resolved.len() {
        if !matches!(job.resolved[index], ResolvedChange::OrSet(_)) {
            continue;
        }
        if let Err(stop) = Ready::prepare(job, index)?.drain_all(job)? {
            return Ok(Err(stop));
        }
    }
    Ok(Ok(()))
}

/// Settles what is noted now in any mode, and looks again at what the validator has listed: what
/// differed may have been mended by us, which notes nothing.
pub(in crate::engine) fn settle_all(
    job: &mut Job<'_>,
    sets: &[EpochSet],
) -> Result<Result<Settling, Stop>, RunError> {
    for set in sets {
        if validator::found(job.session.conn(), set.target.n)?.open > 0 {
            job.session.transact_again(|conn| Ok(validator::note_listed(conn, set)?))?;
        }
    }
    settle_noted(job, sets)
}

/// Settles what is noted now; what others note for ever is left after some rounds.
fn settle_noted(job: &mut Job<'_>, sets: &[EpochSet]) -> Result<Result<Settling, Stop>, RunError> {
    let row = ModeRow::read(job.session.conn(), job.id())?;
    let mut all = Settling { settled: Settled::default(), notes: 0, owed: Vec::new() };
    for set in sets {
        match pending(job, set, &mut all.owed)? {
            Ok(settled) => all.settled += settled,
            Err(stop) => return Ok(Err(stop)),
        }
        let before = validator::found(job.session.conn(), set.target.n)?;
        if before.touched > 0 {
            match validate(job, set, row)? {
                Ok(notes) => all.notes += notes,
                Err(stop) => return Ok(Err(stop)),
            }
            record_open(job, set, before.open)?;
        }
    }
    all.notes += all.settled.notes;
    record(job, all.settled)?;
    if !all.owed.is_empty() {
        job.monitor.warn(&format!(
            "an old write stays pending until this went through the agent's API: {}",
            all.owed.join("; ")
        ));
    }
    Ok(Ok(all))
}

fn record(job: &mut Job<'_>, settled: Settled) -> Result<(), RunError> {
    let decided = settled.translated + settled.rejected + settled.quarantined;
    if decided == 0 {
        return Ok(());
    }
    let id = job.id().to_owned();
    let detail = format!(
        "{} elements translated, {} rejected, {} in quarantine; {} records published",
        settled.translated, settled.rejected, settled.quarantined, settled.records
    );
    job.session.transact_again(|conn| Ok(state::event(conn, &id, "settled", &detail)?))?;
    Ok(())
}

/// Writes down how many disagreements are open, where that has changed.
fn record_open(job: &mut Job<'_>, set: &EpochSet, before: u64) -> Result<(), RunError> {
    let open = validator::found(job.session.conn(), set.target.n)?.open;
    if open == before {
        return Ok(());
    }
    let id = job.id().to_owned();
    let detail =
        format!("{}: {open} objects whose forms differ, {before} before", set.target.table.sql());
    job.session.transact_again(|conn| Ok(state::event(conn, &id, "validated", &detail)?))?;
    Ok(())
}

/// Settles writes of the old form.
fn pending(
    job: &mut Job<'_>,
    set: &EpochSet,
    all_owed: &mut Vec<String>,
) -> Result<Result<Settled, Stop>, RunError> {
    let n = set.target.n;
    let mut all = Settled::default();
    let mut left = pending_count(job.session.conn(), n)?;
    let settler = Settler::new(set);
    let publishes = can_publish(job.session.conn())?;
    for _ in 0..ROUNDS {
        while left > 0 {
            if let Err(stop) = job.pace.before_batch(&mut job.session)? {
                return Ok(Err(stop));
            }
            // Each may publish a few records.
            let limit = (job.pace.tuning().records_per_transaction / 4).max(1);
            let done = job.session.transact_again(|conn| {
                let mut publishing = if publishes {
                    Publishing::new(&set.migration, &set.target)
                } else {
                    Publishing::collecting(&set.migration, &set.target)
                };
                let settled = settler.settle(conn, limit, &mut publishing)?;
                Ok((settled, publishing.owed().to_vec()))
            })?;
            let notes = done.value.0.notes;
            let (settled, owed) = job.pace.after_batch(done, notes, 0);
            all += settled;
            if !owed.is_empty() {
                all_owed.extend(owed);
                return Ok(Ok(all));
            }
            left = left.saturating_sub(notes.max(1));
        }
        left = pending_count(job.session.conn(), n)?;
        if left == 0 {
            break;
        }
    }
    Ok(Ok(all))
}

/// Compares touched objects.
fn validate(
    job: &mut Job<'_>,
    set: &EpochSet,
    row: ModeRow,
) -> Result<Result<u64, Stop>, RunError> {
    let cohort = row.mode == Mode::ReadNewWriteBoth && row.cohort_percent > 0;
    let validator = Validator::new(set, cohort, !is_closed(row.mode));
    let mut all = 0;
    for _ in 0..ROUNDS {
        if validator::found(job.session.conn(), set.target.n)?.touched == 0 {
            break;
        }
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Err(stop));
        }
        let done = job.session.transact_again(|conn| Ok(validator.settle(conn, COMPARED_MAX)?))?;
        let taken = job.pace.after_batch(done, 0, 0);
        all += taken;
        if taken == 0 {
            break;
        }
    }
    Ok(Ok(all))
}

/// Lets the objects of a share join the cohort; returns how many joined.
pub(super) fn grow(
    job: &mut Job<'_>,
    set: &EpochSet,
    percent: u8,
) -> Result<Result<u64, Stop>, RunError> {
    let target = &set.target;
    let share = Share { migration: &set.migration, percent };
    let conn = crate::engine::proof::reader(&job.db)?;
    let mut splitter = Splitter::new(&conn, &target.table, JOINING_MAX, None);
    let mut joined = 0;
    while let Some(range) = splitter.next_range()? {
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Err(stop));
        }
        let bounds = Bounds::of(&range);
        let done =
            job.session.transact_again(|conn| Ok(cohort::join(conn, target, &share, &bounds)?))?;
        joined += job.pace.after_batch(done, range.rows, 0);
    }
    Ok(Ok(joined))
}

/// Settles on behalf of `run`.
pub(in crate::engine) struct Follower {
    sets: Vec<EpochSet>,
    /// When new objects were last looked for.
    grown: Option<Instant>,
    /// True once what the validator has listed was looked at again.
    looked: bool,
    /// When the agent was last told what it has to write.
    told: Option<Instant>,
}

impl Follower {
    /// For the sets of a job, all of which have begun.
    pub(in crate::engine) fn new(job: &Job<'_>) -> Result<Self, RunError> {
        Ok(Self { sets: sets_of(job)?, grown: None, looked: false, told: None })
    }

    /// Settles what is noted, and lets new objects join the cohort, at most so often.
    pub(in crate::engine) fn settle(
        &mut self,
        job: &mut Job<'_>,
    ) -> Result<Result<Settling, Stop>, RunError> {
        let row = ModeRow::read(job.session.conn(), job.id())?;
        let cohort = row.mode == Mode::ReadNewWriteBoth && row.cohort_percent > 0;
        if cohort && self.grown.is_none_or(|at| at.elapsed() >= GROWTH) {
            for set in &self.sets {
                if let Err(stop) = grow(job, set, row.cohort_percent)? {
                    return Ok(Err(stop));
                }
            }
            self.grown = Some(Instant::now());
        }
        if self.told.is_some_and(|at| at.elapsed() < TELLING) {
            return Ok(Ok(Settling { settled: Settled::default(), notes: 0, owed: Vec::new() }));
        }
        let settling = if std::mem::replace(&mut self.looked, true) {
            settle_noted(job, &self.sets)?
        } else {
            settle_all(job, &self.sets)?
        };
        if settling.as_ref().is_ok_and(|settling| !settling.owed.is_empty()) {
            self.told = Some(Instant::now());
        }
        Ok(settling)
    }
}

/// True where nothing is derived from the old form any more.
pub(super) fn is_closed_here(job: &Job<'_>) -> Result<bool, RunError> {
    Ok(is_closed(ModeRow::read(job.session.conn(), job.id())?.mode))
}
