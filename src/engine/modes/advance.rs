//! `advance`: one step forward, once its gate holds.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::compact::{Compaction, compact};
use super::end::{is_over, over};
use super::{facts, sets_of, settle, steps};
use crate::engine::job::{Job, Purpose};
use crate::engine::{Outcome, RunError, RunOptions, Stop, clear};
use crate::migration::Migration;
use crate::monitor::Monitor;
use crate::phase::ack::Ack;
use crate::phase::fleet::Fleet;
use crate::phase::gate::{Condition, Others, evaluate, holds};
use crate::phase::mode::{Move, Step, movement};
use crate::phase::set::{EpochSet, check_has_sets};
use crate::state::{self, Mode, ModeRow};
use crate::throttle::SystemClock;
use crate::write::WriteError;

/// How often a step begins again because something was noted after its gate was evaluated.
const TRIES: u32 = 20;

/// What `advance` is asked for.
#[derive(Clone, Debug)]
pub struct AdvanceOptions {
    /// The mode to go to: the next one, or the present one to go on with what it began.
    pub to: Mode,
    /// The folder of the fleet.
    pub fleet: Option<PathBuf>,
    /// The operator says that there is no other replica.
    pub alone: bool,
    /// Only this share of the objects, in percent; for `read-new-write-new`.
    pub percent: Option<u8>,
    /// Where what compaction removes is written first.
    pub export: Option<PathBuf>,
    /// What compaction removes is not to be kept.
    pub no_export: bool,
}

/// What `advance` did.
#[derive(Clone, Debug, Serialize)]
pub struct AdvanceReport {
    /// The migration.
    pub migration: String,
    /// The mode before.
    pub from: Mode,
    /// The mode that was asked for.
    pub to: Mode,
    /// The mode now.
    pub mode: Mode,
    /// True where every condition holds.
    pub gate: bool,
    /// True where a step was taken.
    pub advanced: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended early, where it did.
    pub reason: Option<String>,
    /// The conditions, each with its evidence.
    pub conditions: Vec<Condition>,
    /// The share of the objects whose epoch is closed, in percent.
    pub cohort_percent: u8,
    /// Objects that joined that share now.
    pub objects_joined: u64,
    /// What compaction removed.
    pub compaction: Option<Compaction>,
}

/// Moves a migration one mode forward, where its gate holds.
///
/// # Errors
/// [`RunError`]; the migration is in the mode that it was in, or the same call continues. A gate that
/// does not hold is no error: see [`AdvanceReport::gate`].
pub fn advance(
    db: &Path,
    migration: &Migration,
    advance: &AdvanceOptions,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<AdvanceReport, RunError> {
    check_has_sets(migration)?;
    check_options(migration, advance)?;
    clear::check_known(db, migration)?;
    let clock = SystemClock::new();
    let mut job = Job::begin_for(Purpose::Tend, db, migration, options, &clock, monitor)?;
    let result = Advance::new(&mut job, advance).and_then(Advance::go);
    job.end()?;
    result
}

fn check_options(migration: &Migration, advance: &AdvanceOptions) -> Result<(), RunError> {
    let id = migration.id.as_str();
    let refused = |problem: &str, remedy: &str| Err(RunError::refused(id, problem, remedy));
    if advance.percent.is_some() && advance.to != Mode::ReadNewWriteNew {
        return refused(
            "only an epoch is opened for a share of the objects",
            "use --percent with --to read-new-write-new",
        );
    }
    match (advance.to, &advance.export, advance.no_export) {
        (Mode::CompactOld, None, false) => refused(
            "what compaction removes is to be kept somewhere",
            "name a file with --export FILE, or say --no-export",
        ),
        (Mode::CompactOld, _, _) | (_, None, false) => Ok(()),
        _ => refused(
            "only compaction removes something that could be exported",
            "use --export and --no-export with --to compact-old",
        ),
    }
}

struct Advance<'r, 'a> {
    job: &'r mut Job<'a>,
    asked: &'r AdvanceOptions,
    sets: Vec<EpochSet>,
    row: ModeRow,
    report: AdvanceReport,
}

impl<'r, 'a> Advance<'r, 'a> {
    fn new(job: &'r mut Job<'a>, asked: &'r AdvanceOptions) -> Result<Self, RunError> {
        let sets = sets_of(job)?;
        let id = job.id().to_owned();
        let row = ModeRow::read(job.session.conn(), &id)?;
        let report = AdvanceReport {
            migration: id,
            from: row.mode,
            to: asked.to,
            mode: row.mode,
            gate: true,
            advanced: false,
            outcome: Outcome::Complete,
            reason: None,
            conditions: Vec::new(),
            cohort_percent: row.cohort_percent,
            objects_joined: 0,
            compaction: None,
        };
        Ok(Self { job, asked, sets, row, report })
    }

    fn go(mut self) -> Result<AdvanceReport, RunError> {
        let id = self.job.id().to_owned();
        let stop = match movement(self.row.mode, self.asked.to) {
            Move::Stay if self.row.mode == Mode::CompactOld && !is_over(self.job)? => {
                self.compact()?
            }
            Move::Stay => None,
            Move::Forward(_) if is_over(self.job)? => return Err(over(&id)),
            Move::Forward(next) => self.step(next)?,
            Move::TooFar { next } => {
                return Err(RunError::refused(
                    &id,
                    format!("it is in {}, and {next} comes next", self.row.mode),
                    format!("`dotfill advance {id} --to {next}` first"),
                ));
            }
            Move::Back => {
                return Err(RunError::refused(
                    &id,
                    format!("it is in {} already", self.row.mode),
                    format!("`dotfill rollback {id} --to {}` goes back", self.asked.to),
                ));
            }
        };
        if let Some(stop) = stop {
            self.report.outcome = Outcome::Interrupted;
            self.report.reason = Some(stop.reason());
        }
        self.report.mode = self.row.mode;
        self.report.cohort_percent = self.row.cohort_percent;
        Ok(self.report)
    }

    fn step(&mut self, next: Step) -> Result<Option<Stop>, RunError> {
        if let Some(share) = self.asked.percent {
            self.check_percent(share)?;
        }
        for _ in 0..TRIES {
            if let Err(stop) = self.gate(next)? {
                return Ok(Some(stop));
            }
            if !self.report.gate {
                return Ok(None);
            }
            match self.take(next)? {
                Taken::Done => return Ok(None),
                Taken::Stopped(stop) => return Ok(Some(stop)),
                Taken::Noted => {}
            }
        }
        let id = self.job.id();
        Err(RunError::refused(
            id,
            "others write faster than their objects can be compared",
            format!("repeat `dotfill advance {id}` at a quieter time"),
        ))
    }

    fn check_percent(&self, percent: u8) -> Result<(), RunError> {
        let now = self.row.cohort_percent;
        if percent >= now && (1..=100).contains(&percent) {
            return Ok(());
        }
        let id = self.job.id();
        Err(RunError::refused(
            id,
            format!("the epoch of {now} % of the objects is closed, and {percent} % was asked for"),
            format!("a share only grows; `dotfill rollback {id} --to {}` opens it", self.row.mode),
        ))
    }

    /// Settles what waits, and evaluates the conditions.
    fn gate(&mut self, next: Step) -> Result<Result<(), Stop>, RunError> {
        if let Err(stop) = settle::drain_all(self.job)? {
            return Ok(Err(stop));
        }
        if let Err(stop) = settle::settle_all(self.job, &self.sets)? {
            return Ok(Err(stop));
        }
        let cancel = &self.job.options.cancel;
        let cohort = self.row.cohort_percent > 0 && self.row.mode == Mode::ReadNewWriteBoth;
        let agreement = match facts::compare(&self.job.db, &self.sets, cohort, cancel)? {
            Ok(agreement) => agreement,
            Err(stop) => return Ok(Err(stop)),
        };
        let conn = self.job.session.conn();
        let facts = facts::facts(conn, &self.job.db, self.job.migration, &self.sets, agreement)?;
        let conditions = evaluate(next, &facts, &self.others()?);
        self.report.gate = holds(&conditions);
        self.report.conditions = conditions;
        self.record_gate(next)?;
        Ok(Ok(()))
    }

    fn others(&self) -> Result<Others, RunError> {
        let Some(folder) = &self.asked.fleet else {
            return Ok(if self.asked.alone { Others::Alone } else { Others::Unsaid });
        };
        let fleet = Fleet::load(folder)?;
        let mut acks = Vec::new();
        for replica in fleet.replicas {
            let ack = Ack::read(folder, self.job.id(), &replica.id)?;
            acks.push((replica, ack));
        }
        Ok(Others::Fleet(acks))
    }

    fn record_gate(&mut self, next: Step) -> Result<(), RunError> {
        let id = self.job.id().to_owned();
        let failed: Vec<String> = self
            .report
            .conditions
            .iter()
            .filter(|condition| !condition.holds)
            .map(|condition| format!("{}: {}", condition.name, condition.evidence))
            .collect();
        let detail = match failed.as_slice() {
            [] => format!("to {}: every condition holds", next.to()),
            failed => format!("to {}: refused; {}", next.to(), failed.join("; ")),
        };
        self.job.session.transact_again(|conn| Ok(state::event(conn, &id, "gate", &detail)?))?;
        Ok(())
    }

    fn take(&mut self, next: Step) -> Result<Taken, RunError> {
        match next {
            Step::ReadNew => self.enter(next, |_, _| Ok(())),
            Step::WriteBoth => self.enter(next, steps::watch),
            Step::WriteNew => match self.asked.percent {
                Some(percent) if percent < 100 => self.share(percent),
                _ => self.close(),
            },
            Step::CompactOld => {
                self.enter(next, |_, _| Ok(()))?;
                Ok(self.compact()?.map_or(Taken::Done, Taken::Stopped))
            }
        }
    }

    /// Takes a step that nothing can come between.
    fn enter(
        &mut self,
        next: Step,
        change: impl Fn(&rusqlite::Connection, &EpochSet) -> Result<(), WriteError>,
    ) -> Result<Taken, RunError> {
        let row = ModeRow { mode: next.to(), cohort_percent: self.row.cohort_percent };
        self.transact(row, |conn, sets| {
            sets.iter().try_for_each(|set| change(conn, set))?;
            Ok(true)
        })
    }

    /// Closes the epoch, unless something was noted since the gate was evaluated.
    fn close(&mut self) -> Result<Taken, RunError> {
        let row = ModeRow { mode: Mode::ReadNewWriteNew, cohort_percent: 100 };
        self.transact(row, |conn, sets| {
            for set in sets {
                if !steps::still_agrees(conn, set)? {
                    return Ok(false);
                }
            }
            sets.iter().try_for_each(|set| steps::close_epoch(conn, set))?;
            Ok(true)
        })
    }

    /// Closes the epoch of a share of the objects.
    fn share(&mut self, percent: u8) -> Result<Taken, RunError> {
        let first = self.row.cohort_percent == 0;
        let row = ModeRow { mode: self.row.mode, cohort_percent: percent };
        let taken = self.transact(row, |conn, sets| {
            if first {
                sets.iter().try_for_each(|set| steps::open_cohort(conn, set))?;
            }
            Ok(true)
        })?;
        for set in &self.sets {
            match settle::grow(self.job, set, percent)? {
                Ok(joined) => self.report.objects_joined += joined,
                Err(stop) => return Ok(Taken::Stopped(stop)),
            }
        }
        let id = self.job.id().to_owned();
        let detail = format!("{} objects joined {percent} %", self.report.objects_joined);
        self.job.session.transact_again(|conn| Ok(state::event(conn, &id, "cohort", &detail)?))?;
        Ok(taken)
    }

    /// The transaction of a step: what it changes, the mode and its event, or nothing.
    fn transact(
        &mut self,
        row: ModeRow,
        body: impl Fn(&rusqlite::Connection, &[EpochSet]) -> Result<bool, WriteError>,
    ) -> Result<Taken, RunError> {
        let (id, sets) = (self.job.id().to_owned(), &self.sets);
        let from = self.row;
        let detail = format!(
            "{} ({} %) to {} ({} %)",
            from.mode, from.cohort_percent, row.mode, row.cohort_percent
        );
        let done = self.job.session.transact_again(|conn| {
            if !body(conn, sets)? {
                return Ok(false);
            }
            row.save(conn, &id)?;
            state::event(conn, &id, "mode", &detail)?;
            Ok(true)
        })?;
        self.job.session.accept_schema()?;
        if !done.value {
            return Ok(Taken::Noted);
        }
        self.row = row;
        self.report.advanced = true;
        Ok(Taken::Done)
    }

    fn compact(&mut self) -> Result<Option<Stop>, RunError> {
        let mut done = Compaction::default();
        let stop = compact(self.job, &self.sets, self.asked.export.as_deref(), &mut done)?;
        self.report.compaction = Some(done);
        Ok(stop)
    }
}

/// What taking a step came to.
enum Taken {
    Done,
    Noted,
    Stopped(Stop),
}
