//! `rollback --to MODE`: says whether going back is safe and what blocks it, and does it where it is.

use std::path::Path;

use serde::Serialize;

use super::end::{is_over, over};
use super::{facts, sets_of, settle, steps};
use crate::engine::job::{Job, Purpose};
use crate::engine::{Outcome, RunError, RunOptions, Stop, clear};
use crate::migration::Migration;
use crate::monitor::Monitor;
use crate::phase::agreement::Agreement;
use crate::phase::gate::Condition;
use crate::phase::mode::{Move, is_closed, movement};
use crate::phase::set::{EpochSet, check_has_sets};
use crate::phase::validator;
use crate::state::{self, Mode, ModeRow};
use crate::throttle::SystemClock;

/// How often going back begins again because something was noted meanwhile.
const TRIES: u32 = 20;

/// What going back came to.
#[derive(Clone, Debug, Serialize)]
pub struct BackReport {
    /// The migration.
    pub migration: String,
    /// The mode before.
    pub from: Mode,
    /// The mode that was asked for.
    pub to: Mode,
    /// The mode now.
    pub mode: Mode,
    /// True where nothing blocks it.
    pub safe: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended early, where it did.
    pub reason: Option<String>,
    /// What it depends on, each with its evidence.
    pub conditions: Vec<Condition>,
    /// Our triggers that stay.
    pub triggers_kept: Vec<String>,
}

/// Takes a migration back to an earlier mode, where nothing is lost by it.
///
/// # Errors
/// [`RunError`]; the migration is in the mode that it was in. What blocks it is no error: see
/// [`BackReport::safe`].
pub fn roll_back_to(
    db: &Path,
    migration: &Migration,
    to: Mode,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<BackReport, RunError> {
    check_has_sets(migration)?;
    clear::check_known(db, migration)?;
    let clock = SystemClock::new();
    let mut job = Job::begin_for(Purpose::Tend, db, migration, options, &clock, monitor)?;
    let result = go_back(&mut job, to);
    job.end()?;
    result
}

fn go_back(job: &mut Job<'_>, to: Mode) -> Result<BackReport, RunError> {
    let id = job.id().to_owned();
    let sets = sets_of(job)?;
    let row = ModeRow::read(job.session.conn(), &id)?;
    let mut report = BackReport {
        migration: id.clone(),
        from: row.mode,
        to,
        mode: row.mode,
        safe: true,
        outcome: Outcome::Complete,
        reason: None,
        conditions: Vec::new(),
        triggers_kept: Vec::new(),
    };
    // Within one mode, the way back is to open the epoch of the cohort again.
    let is_cohort = row.mode == to && row.mode == Mode::ReadNewWriteBoth && row.cohort_percent > 0;
    match movement(row.mode, to) {
        Move::Back => {}
        Move::Stay if is_cohort => {}
        Move::Stay => return Ok(report),
        Move::Forward(_) | Move::TooFar { .. } => {
            return Err(RunError::refused(
                &id,
                format!("it is in {}, and {to} lies ahead", row.mode),
                format!("`dotfill advance {id} --to {to}` goes there"),
            ));
        }
    }
    if row.mode == Mode::CompactOld {
        report.safe = false;
        report.conditions.push(compacted());
        return Ok(report);
    }
    if is_over(job)? {
        return Err(over(&id));
    }
    for _ in 0..TRIES {
        match attempt(job, &sets, row, to, &mut report)? {
            Attempt::Done => {
                report.mode = to;
                report.triggers_kept = kept(job, &sets)?;
                return Ok(report);
            }
            Attempt::Blocked => {
                report.triggers_kept = kept(job, &sets)?;
                return Ok(report);
            }
            Attempt::Stopped(stop) => {
                report.outcome = Outcome::Interrupted;
                report.reason = Some(stop.reason());
                return Ok(report);
            }
            Attempt::Noted => {}
        }
    }
    Err(RunError::refused(
        &id,
        "others write faster than their objects can be compared",
        format!("repeat `dotfill rollback {id}` at a quieter time"),
    ))
}

fn compacted() -> Condition {
    Condition {
        name: "old-form-kept",
        holds: false,
        evidence: "the old form is being removed, or was".to_owned(),
        remedy: Some(
            "write it again from the new form, or from what `--export` kept, as a user".to_owned(),
        ),
    }
}

enum Attempt {
    Done,
    Blocked,
    Noted,
    Stopped(Stop),
}

fn attempt(
    job: &mut Job<'_>,
    sets: &[EpochSet],
    row: ModeRow,
    to: Mode,
    report: &mut BackReport,
) -> Result<Attempt, RunError> {
    let closed = is_closed(row.mode);
    let watched = row.mode == Mode::ReadNewWriteBoth;
    if !watched {
        // What is written from here on is noted, and compared before the step.
        job.session
            .transact_again(|conn| sets.iter().try_for_each(|set| steps::watch(conn, set)))?;
        job.session.accept_schema()?;
    }
    // What old clients wrote last is not derived yet, and would look like a difference.
    if let Err(stop) = settle::drain_all(job)? {
        return Ok(Attempt::Stopped(stop));
    }
    if let Err(stop) = settle::settle_all(job, sets)? {
        return Ok(Attempt::Stopped(stop));
    }
    let agreement = match facts::compare(&job.db, sets, false, &job.options.cancel)? {
        Ok(agreement) => agreement,
        Err(stop) => return Ok(Attempt::Stopped(stop)),
    };
    let conn = job.session.conn();
    let found = facts::facts(conn, &job.db, job.migration, sets, agreement)?;
    let epoch = Epoch { closed, refuses: closed || row.cohort_percent > 0 };
    report.conditions = conditions(&found.agreement, found.pending, found.quarantined, epoch);
    report.safe = report.conditions.iter().all(|condition| condition.holds);
    record(job, report)?;
    if !report.safe {
        if !watched {
            job.session
                .transact_again(|conn| sets.iter().try_for_each(|set| steps::unwatch(conn, set)))?;
            job.session.accept_schema()?;
        }
        return Ok(Attempt::Blocked);
    }
    step_back(job, sets, row, to)
}

/// What of the old form is refused here.
#[derive(Clone, Copy)]
struct Epoch {
    /// The epoch of all objects is closed.
    closed: bool,
    /// That of some is: what differs can be mended in the new form only.
    refuses: bool,
}

fn conditions(
    agreement: &Agreement,
    pending: u64,
    quarantined: u64,
    epoch: Epoch,
) -> Vec<Condition> {
    let one = |name, holds: bool, evidence: String, remedy: &str| Condition {
        name,
        holds,
        evidence,
        remedy: (!holds).then(|| remedy.to_owned()),
    };
    let examples: Vec<String> = agreement.examples.iter().map(ToString::to_string).collect();
    let examples = match examples.as_slice() {
        [] => String::new(),
        all => format!("; {}", all.join("; ")),
    };
    let (removed, added) = (agreement.removed, agreement.added);
    let mut all = vec![
        one(
            "removes-expressed",
            removed == 0,
            format!("{removed} objects hold removes that the old form cannot express{examples}"),
            if epoch.refuses {
                "add the elements again to the new form; writes of the old one are refused"
            } else {
                "take the elements out of the old form too, or add them again to the new one"
            },
        ),
        one(
            "adds-expressed",
            added == 0,
            format!("{added} objects show elements that the old form lacks{examples}"),
            if epoch.refuses {
                "remove the elements from the new form; writes of the old one are refused"
            } else {
                "write the elements to the old form too, or remove them from the new one"
            },
        ),
    ];
    if epoch.closed {
        all.push(one(
            "nothing-undecided",
            pending + quarantined == 0,
            format!("{pending} old writes pending, {quarantined} in quarantine"),
            "`dotfill quarantine list` shows them; replay or drop each",
        ));
    }
    all
}

fn record(job: &mut Job<'_>, report: &BackReport) -> Result<(), RunError> {
    let id = job.id().to_owned();
    let blocked: Vec<&str> = report
        .conditions
        .iter()
        .filter(|condition| !condition.holds)
        .map(|condition| condition.evidence.as_str())
        .collect();
    let detail = match blocked.as_slice() {
        [] => format!("back to {}: safe", report.to),
        blocked => format!("back to {}: blocked; {}", report.to, blocked.join("; ")),
    };
    job.session.transact_again(|conn| Ok(state::event(conn, &id, "gate", &detail)?))?;
    Ok(())
}

fn step_back(
    job: &mut Job<'_>,
    sets: &[EpochSet],
    row: ModeRow,
    to: Mode,
) -> Result<Attempt, RunError> {
    let id = job.id().to_owned();
    let detail = format!("{} ({} %) back to {to}", row.mode, row.cohort_percent);
    let reopen = is_closed(row.mode) || row.cohort_percent > 0;
    let done = job.session.transact_again(|conn| {
        for set in sets {
            let found = validator::found(conn, set.target.n)?;
            let pending = crate::phase::pending::pending_count(conn, set.target.n)?;
            if found.touched > 0 || found.open > 0 || pending > 0 {
                return Ok(false);
            }
        }
        for set in sets {
            if reopen {
                steps::reopen(conn, set)?;
            }
            match to {
                Mode::ReadNewWriteBoth => steps::watch(conn, set)?,
                _ => steps::unwatch(conn, set)?,
            }
        }
        ModeRow { mode: to, cohort_percent: 0 }.save(conn, &id)?;
        state::event(conn, &id, "mode", &detail)?;
        Ok(true)
    })?;
    job.session.accept_schema()?;
    Ok(if done.value { Attempt::Done } else { Attempt::Noted })
}

/// Our triggers on the tables of the sets.
fn kept(job: &Job<'_>, sets: &[EpochSet]) -> Result<Vec<String>, RunError> {
    use crate::db::Doing;
    let mut all = Vec::new();
    for set in sets {
        let names: Vec<String> = job
            .session
            .conn()
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE ?1 \
                 ESCAPE '\\' ORDER BY name",
            )
            .and_then(|mut s| {
                let pattern = format!("\\_dotfill\\_{}\\_%", set.target.n);
                s.query_map([pattern], |row| row.get(0))?.collect()
            })
            .doing("list our triggers")?;
        all.extend(names);
    }
    Ok(all)
}
