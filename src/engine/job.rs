//! What every command that writes has in common: the checked database, the lease, the session and
//! the pace. Holds no SQL of its own beyond the journal mode.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::claim::{self, Claiming};
use super::pace::Pace;
use super::pulse::Pulse;
use super::ship::Ship;
use super::{RunError, RunOptions, Stop};
use crate::db::{self, DbError, Doing};
use crate::layout::Target;
use crate::layout::crsqlite;
use crate::migration::Migration;
use crate::monitor::Monitor;
use crate::plan::{
    PlanError, Resolved, ResolvedChange, resolve, resolve_change, resolve_shipped_change,
};
use crate::state::{self, AppliedRow, ChangeRow, MigrationRow, Phase, SetRow};
use crate::throttle::{Clock, TuningError};
use crate::write::{Session, connect};

/// The shortest and the longest lease period.
const LEASE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// What a job is for, which decides what has to fit before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose<'p> {
    /// Deriving: every expression is judged.
    Derive,
    /// Looking after a migration that this database knows: where it was fed by deltas, expressions
    /// need not fit.
    Tend,
    /// Writing shipped values of the changes that are true here.
    Apply(Applying<'p>),
}

/// What a job applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Applying<'p> {
    /// By change: true where its values are shipped.
    pub shipped: &'p [bool],
    /// True where only some rows are.
    pub partial: bool,
}

/// A job that holds its lease.
pub(super) struct Job<'a> {
    pub db: PathBuf,
    pub migration: &'a Migration,
    pub options: &'a RunOptions,
    pub monitor: &'a dyn Monitor,
    /// Before the session: what is dropped first ends first.
    pulse: Pulse,
    pub session: Session<'a>,
    pub pace: Pace<'a>,
    pub started: Instant,
    /// The changes, resolved before anything was written.
    pub resolved: Vec<ResolvedChange>,
    /// What feeds a chain of deltas, where one is written meanwhile.
    pub ship: Option<Arc<Ship>>,
}

impl<'a> Job<'a> {
    /// Checks everything that can be checked, then takes the lease.
    pub(super) fn begin_for(
        purpose: Purpose<'_>,
        db: &Path,
        migration: &'a Migration,
        options: &'a RunOptions,
        clock: &'a dyn Clock,
        monitor: &'a dyn Monitor,
    ) -> Result<Self, RunError> {
        let claiming = if options.no_wait { Claiming::Now(None) } else { Claiming::Watch };
        Self::begin_as((purpose, claiming), db, migration, options, clock, monitor)
    }

    /// As [`Self::begin_for`], claiming the lease in a certain way.
    pub(super) fn begin_as(
        (purpose, claiming): (Purpose<'_>, Claiming),
        db: &Path,
        migration: &'a Migration,
        options: &'a RunOptions,
        clock: &'a dyn Clock,
        monitor: &'a dyn Monitor,
    ) -> Result<Self, RunError> {
        let outputs = None::<fn(&Connection, &[ResolvedChange]) -> Result<(), RunError>>;
        let claim = (purpose, claiming);
        Ok(Self::begin_with(claim, db, migration, options, clock, monitor, outputs)?.0)
    }

    /// As [`Self::begin_for`]; `outputs` makes what the job writes elsewhere, before anything is
    /// written to the database.
    pub(super) fn begin_with<T>(
        (purpose, claiming): (Purpose<'_>, Claiming),
        db: &Path,
        migration: &'a Migration,
        options: &'a RunOptions,
        clock: &'a dyn Clock,
        monitor: &'a dyn Monitor,
        outputs: Option<impl FnOnce(&Connection, &[ResolvedChange]) -> Result<T, RunError>>,
    ) -> Result<(Self, Option<T>), RunError> {
        let started = Instant::now();
        options.check()?;
        let mut conn = connect(db, options.crsqlite.as_deref())?;
        let resolved = resolve_all(&mut conn, migration, purpose)?;
        check_triggers(migration, &resolved, options)?;
        check_known(&conn, migration)?;
        super::or_set::check(&conn, migration, &resolved, options.crsqlite.is_some())?;
        if purpose != Purpose::Tend {
            super::index::check(&conn, migration, &resolved)?;
            check_columns_are_free(&conn, migration, &resolved)?;
        }
        let begins = match purpose {
            Purpose::Derive | Purpose::Tend => {
                if purpose == Purpose::Derive {
                    super::space::check(db, migration, &resolved, &options.tuning)?;
                }
                Phase::Filling
            }
            Purpose::Apply(applying) => {
                check_may_apply(&conn, migration, applying.partial)?;
                Phase::Applying
            }
        };
        let outputs = outputs.map(|open| open(&conn, &resolved)).transpose()?;
        let pace = Pace::new((db, &conn), options, clock, monitor, &migration.id)?;
        use_wal(&conn, db)?;
        pace.wal.begin(&conn)?;
        let lease = claim::lease(&mut conn, migration, (begins, claiming), options, clock)?;
        let pulse = Pulse::start(db, &lease, options.lease);
        let mut session = Session::new(conn, lease, monitor)?;
        session.set_cancel(&options.cancel);
        let mut columns = resolved.iter().filter_map(ResolvedChange::column);
        let fires = columns.any(|change| !change.triggers.is_empty());
        session.set_fire_triggers(fires)?;
        let db = db.to_owned();
        let ship = None;
        let job =
            Self { db, migration, options, monitor, pulse, session, pace, started, resolved, ship };
        Ok((job, outputs))
    }

    /// The migration's id.
    pub(super) fn id(&self) -> &str {
        self.migration.id.as_str()
    }

    /// Threads that may work beside the writer.
    pub(super) fn threads(&self) -> usize {
        threads(self.pace.tuning().threads)
    }

    /// Ends the job: the WAL is left small, and the lease is given back.
    pub(super) fn end(&mut self) -> Result<(), RunError> {
        if let Err(error) = self.pulse.stop() {
            self.monitor.warn(&format!("the heartbeat had stopped: {error}"));
        }
        self.session.release()?;
        super::wal::Wal::finish(self.session.conn())?;
        if self.options.crsqlite.is_some() {
            crsqlite::finalize(self.session.conn())?;
        }
        Ok(())
    }

    /// After a schema change by somebody else: checks that nothing that we rely on has changed.
    /// True where the rows may have been renumbered.
    pub(super) fn look_again(&mut self, target: &Target) -> Result<bool, RunError> {
        self.session.accept_schema()?;
        let table = &target.table;
        let now = db::Table::read(self.session.conn(), &table.name)?;
        let lost = target
            .sources
            .iter()
            .chain(std::iter::once(&target.column))
            .find(|name| now.column(name).is_none());
        if lost.is_some() || now.key != table.key || now.scan != table.scan {
            return Err(RunError::refused(
                self.id(),
                format!("table {} was altered while the job was running", table.sql()),
                "look at the change with `dotfill plan`, then repeat the command",
            ));
        }
        Ok(!table.scan.stable)
    }
}

/// `asked` threads, or one per core for 0.
pub(super) fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        n => n,
    }
}

impl RunOptions {
    fn check(&self) -> Result<(), RunError> {
        match self.records_max {
            Some(most) => self.tuning.validate_lifted(most)?,
            None => self.tuning.validate()?,
        }
        if !(LEASE.0..=LEASE.1).contains(&self.lease) {
            let problem = format!("{} s is not from 1 to 3600", self.lease.as_secs_f64());
            return Err(TuningError::Flag { flag: "lease-seconds", problem }.into());
        }
        Ok(())
    }
}

fn check_triggers(
    migration: &Migration,
    resolved: &[ResolvedChange],
    options: &RunOptions,
) -> Result<(), RunError> {
    if options.user_triggers_allowed {
        return Ok(());
    }
    for (index, change) in resolved.iter().enumerate() {
        let Some(change) = change.column() else { continue };
        if let Some(trigger) = change.triggers.iter().find(|t| !t.replicated.is_empty()) {
            return Err(PlanError::refused(
                migration.at(index, "column"),
                format!(
                    "trigger {} fires on the column and writes {}, which is replicated: every row \
                     would write change records there",
                    db::quote::ident(&trigger.name),
                    trigger.replicated.join(", ")
                ),
                "drop the trigger for the time of the backfill, or accept it with \
                 --user-triggers allow",
            )
            .into());
        }
    }
    Ok(())
}

/// Refuses another file under an id that this database knows.
pub(super) fn check_known(conn: &Connection, migration: &Migration) -> Result<(), RunError> {
    if !state::exists(conn)? {
        return Ok(());
    }
    match MigrationRow::read(conn, migration.id.as_str())? {
        Some(known) => check_same(&known, migration),
        None => Ok(()),
    }
}

/// Refuses a file that is not the one that `known` was begun with, naming what differs.
pub(super) fn check_same(known: &MigrationRow, migration: &Migration) -> Result<(), RunError> {
    if known.digest == migration.digest {
        return Ok(());
    }
    // A text that does not parse was written by another release.
    let before = Migration::parse(&known.text, Path::new("the file that was run")).ok();
    let differs = before.and_then(|before| before.difference(migration));
    Err(RunError::refused(
        &known.id,
        match differs {
            Some(differs) => format!("this database has run another file under that id: {differs}"),
            None => "this database has run another file under that id".to_owned(),
        },
        if known.phase == Phase::Failed {
            format!("it has failed: `dotfill forget {}`, then `run` the other one", known.id)
        } else {
            "give the changed migration a new id; `dotfill status` shows what was run".to_owned()
        },
    ))
}

/// Refuses a column that another migration fills here, and the tables and the view that another
/// one's set has: each would take the other's values for its own, and overwrite them.
fn check_columns_are_free(
    conn: &Connection,
    migration: &Migration,
    resolved: &[ResolvedChange],
) -> Result<(), RunError> {
    if !state::exists(conn)? {
        return Ok(());
    }
    let id = migration.id.as_str();
    for other in MigrationRow::all(conn)? {
        if other.id == id || other.phase == Phase::RolledBack {
            continue;
        }
        for change in ChangeRow::of(conn, &other.id)? {
            let is_shared = |target: &Target| {
                change.table.eq_ignore_ascii_case(&target.table.name)
                    && change.column.eq_ignore_ascii_case(&target.column)
            };
            let set = SetRow::read(conn, change.n)?;
            let shared = resolved.iter().find_map(|resolved| match (resolved, &set) {
                (ResolvedChange::Column(resolved), None) => {
                    is_shared(&resolved.target).then(|| {
                        format!("column {} of table {} is filled", change.column, change.table)
                    })
                }
                (ResolvedChange::OrSet(resolved), Some(set)) => {
                    let name = super::or_set::shared_name(&resolved.target, set)?;
                    Some(format!("{} is made", db::quote::ident(name)))
                }
                // What indexes share is looked for elsewhere.
                (ResolvedChange::Column(_), Some(_))
                | (ResolvedChange::OrSet(_), None)
                | (ResolvedChange::Index(_), _) => None,
            });
            if let Some(shared) = shared {
                let other_id = &other.id;
                return Err(RunError::refused(
                    id,
                    format!(
                        "{shared} by migration {other_id} here, which is {}: each would overwrite \
                         the other's values",
                        other.phase
                    ),
                    format!(
                        "`dotfill close {other_id}` and `dotfill forget {other_id}` leave its values \
                         behind, `dotfill rollback {other_id}` takes them back first"
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Refuses deltas for a replica whose own work on the migration they could spoil, and some rows for
/// one that would take them for all.
fn check_may_apply(
    conn: &Connection,
    migration: &Migration,
    partial: bool,
) -> Result<(), RunError> {
    let id = migration.id.as_str();
    let known = if state::exists(conn)? { MigrationRow::read(conn, id)? } else { None };
    let (problem, remedy) = match known.map(|row| row.phase) {
        None | Some(Phase::Applying) if partial => (
            "these deltas hold only some of its rows, and this replica lacks the others",
            "apply a whole export first".to_owned(),
        ),
        None | Some(Phase::Applying | Phase::Applied | Phase::Open | Phase::Closed) => {
            return Ok(());
        }
        Some(Phase::Filling) => (
            "this replica is half way through deriving it",
            format!(
                "`dotfill run {id}` continues; or `dotfill rollback {id}`, `dotfill forget {id}`, \
                 then apply"
            ),
        ),
        Some(Phase::Failed) => (
            "deriving it has failed here",
            format!("`dotfill rollback {id}`, `dotfill forget {id}`, then apply"),
        ),
        Some(Phase::RollingBack | Phase::RolledBack) => (
            "it was rolled back here",
            format!(
                "`dotfill rollback {id}` completes that, `dotfill forget {id}` forgets it; then \
                 apply"
            ),
        ),
    };
    Err(RunError::refused(id, problem, remedy))
}

fn resolve_all(
    conn: &mut Connection,
    migration: &Migration,
    purpose: Purpose<'_>,
) -> Result<Vec<ResolvedChange>, PlanError> {
    let fed = purpose == Purpose::Tend && was_fed(conn, migration)?;
    let mut resolved = Vec::new();
    for index in 0..migration.changes.len() {
        let column = |resolved: Resolved| ResolvedChange::Column(Box::new(resolved));
        resolved.push(match purpose {
            Purpose::Apply(apply) if apply.shipped.get(index) == Some(&true) => {
                resolve_shipped_change(conn, migration, index)?
            }
            Purpose::Apply(_) => column(resolve(conn, migration, index)?),
            Purpose::Tend if fed => match resolve_change(conn, migration, index) {
                Err(PlanError::Refused { .. }) => resolve_shipped_change(conn, migration, index)?,
                other => other?,
            },
            Purpose::Derive | Purpose::Tend => resolve_change(conn, migration, index)?,
        });
    }
    Ok(resolved)
}

/// True where deltas of the migration have been applied here.
pub(super) fn was_fed(conn: &Connection, migration: &Migration) -> Result<bool, DbError> {
    Ok(AppliedRow::read(conn, migration.id.as_str())?.is_some())
}

/// Sees to it that the database is in WAL mode.
fn use_wal(conn: &Connection, db: &Path) -> Result<(), DbError> {
    /// Tries while others have the file locked, each as long as the connection waits for a lock.
    const TRIES: u32 = 20;
    let refused = |problem: String| DbError::Unusable {
        path: db.to_owned(),
        problem,
        remedy: "dotfill needs WAL mode, so that readers and writers do not wait for it: run \
                 `PRAGMA journal_mode = WAL` while nobody else has the database open, on a file \
                 system with shared memory"
            .to_owned(),
    };
    let mode = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0));
    let mut tried = 0;
    loop {
        let before = mode("PRAGMA journal_mode").doing("read the journal mode")?;
        if before == "wal" {
            return Ok(());
        }
        tried += 1;
        match mode("PRAGMA journal_mode = WAL") {
            Ok(now) if now == "wal" => return Ok(()),
            Ok(now) => {
                return Err(refused(format!("its journal mode is {now} and cannot be WAL")));
            }
            // Another process of ours may be changing it right now.
            Err(error) if db::is_busy(&error) && tried < TRIES => {}
            Err(error) => {
                return Err(refused(format!(
                    "its journal mode is {before} and cannot be changed: {}",
                    db::expr::plain(&error)
                )));
            }
        }
    }
}

/// How far the fill of some changes is, from 0 to 100.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
pub fn percent(changes: &[ChangeRow]) -> f64 {
    let (mut done, mut total) = (0_u64, 0_u64);
    for change in changes {
        let rows = change.rows_total.max(1);
        total += rows;
        done += if change.filled { rows } else { change.counters.rows_passed.min(rows - 1) };
    }
    if total == 0 { 0.0 } else { 100.0 * done as f64 / total as f64 }
}

/// Why a job ended before its work was done, as what `run` says.
impl Stop {
    /// The reason in words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Interrupted => "interrupted by a signal".to_owned(),
            Self::Requested => "stopped by `dotfill stop`".to_owned(),
            Self::Window(why) | Self::Budget(why) | Self::Stage(why) => why.clone(),
        }
    }
}
