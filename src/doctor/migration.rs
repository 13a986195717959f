//! One migration: where it stands, who runs it, what waits, and each of its changes.

use std::path::Path;

use super::{Finding, Patient, change, process, shell};
use crate::db::DbError;
use crate::engine::{self, percent};
use crate::lease::{Holder, this_host};
use crate::migration::Migration;
use crate::state::{self, AppliedRow, ChangeRow, MigrationRow, Phase, ShippedRow};
use crate::write::pending_rows;

/// Events that are searched for the time of a failure.
const EVENTS: u32 = 100;

/// Who has the lease.
enum Runner {
    Nobody,
    /// A process of this host that is gone.
    Dead(String),
    /// A process of this host, or one of another host that cannot be seen from here.
    AtWork(String),
}

impl Runner {
    fn of(holder: Option<&Holder>) -> Self {
        let Some((holder, owner)) = holder.and_then(|h| Some((h, h.owner()?))) else {
            return Self::Nobody;
        };
        if holder.is_dead() {
            return Self::Dead(owner);
        }
        let mut who = match (&holder.host, holder.pid) {
            (Some(host), Some(pid)) if *host == this_host() => {
                format!("process {} runs it", process::name(pid))
            }
            _ => format!("{owner} holds its lease (another host: not seen from here)"),
        };
        if let Some(reason) = &holder.throttle {
            who = format!("{who}, paused: {reason}");
        }
        if holder.stop {
            who = format!("{who}, asked to stop");
        }
        Self::AtWork(who)
    }
}

pub(super) fn examine(
    patient: &mut Patient<'_>,
    row: &MigrationRow,
    changes: &[ChangeRow],
) -> Result<Vec<Finding>, DbError> {
    let holder = Holder::read(&patient.conn, &row.id)?;
    let runner = Runner::of(holder.as_ref());
    let mut findings = vec![phase(patient, row, changes, &runner)?];
    // A text that does not parse was written by another release: what it says is not checked.
    let file = format!("{}.toml", row.id);
    let migration = Migration::parse(&row.text, Path::new(&file)).ok();
    let at_work = matches!(runner, Runner::AtWork(_));
    findings.extend(chain(patient, row, at_work)?);
    for change in changes {
        findings.extend(change::examine(patient, migration.as_ref(), change, at_work)?);
    }
    Ok(findings)
}

fn phase(
    patient: &Patient<'_>,
    row: &MigrationRow,
    changes: &[ChangeRow],
    runner: &Runner,
) -> Result<Finding, DbError> {
    let what = format!("migration {}", row.id);
    let command = |verb: &str| shell::dotfill(verb, &row.id, patient.db);
    let (stands, verb) = match row.phase {
        Phase::Closed => return Ok(Finding::ok(what, "proven and closed")),
        Phase::RolledBack => {
            return Ok(Finding::ok(what, "rolled back; `dotfill forget` removes its traces"));
        }
        Phase::Failed => (failure(patient, row)?, "run"),
        Phase::Applying | Phase::Applied => return fed(patient, row, changes, runner),
        Phase::Filling => (format!("{:.1} % filled", percent(changes)), "run"),
        Phase::RollingBack => ("being rolled back".to_owned(), "rollback"),
        Phase::Open => ("proven, and open until `dotfill close`".to_owned(), "run"),
    };
    Ok(match (runner, row.phase) {
        (Runner::AtWork(who), _) => Finding::ok(what, format!("{stands}; {who}")),
        (_, Phase::Failed) => Finding::wrong(what, stands, format!("{} --retry", command(verb))),
        (Runner::Dead(owner), _) => Finding::owed(
            what,
            format!("{stands}; its lease was left by {owner}, which is gone"),
            command(verb),
        ),
        (Runner::Nobody, Phase::Open) => Finding::ok(what, stands),
        (Runner::Nobody, _) => {
            Finding::owed(what, format!("{stands}, and nobody runs it"), command(verb))
        }
    })
}

/// A chain of deltas that this replica feeds, and nobody is at it.
fn chain(
    patient: &Patient<'_>,
    row: &MigrationRow,
    at_work: bool,
) -> Result<Option<Finding>, DbError> {
    let shipped = ShippedRow::read(&patient.conn, &row.id)?;
    // A stream cannot be continued.
    let Some(shipped) = shipped.filter(|shipped| !at_work && shipped.place != "-") else {
        return Ok(None);
    };
    Ok(Some(Finding::owed(
        format!("deltas of migration {}", row.id),
        format!("{} is fed from here and not completed", shipped.place),
        shell::ship(&row.id, &shipped.place, patient.db),
    )))
}

/// A replica that is fed by deltas.
fn fed(
    patient: &Patient<'_>,
    row: &MigrationRow,
    changes: &[ChangeRow],
    runner: &Runner,
) -> Result<Finding, DbError> {
    let what = format!("migration {}", row.id);
    let applied = AppliedRow::read(&patient.conn, &row.id)?;
    let place = applied.map_or_else(|| "DIR".to_owned(), |applied| applied.place);
    let next = shell::apply(&place, patient.db);
    let mut pending = 0;
    for change in changes {
        pending += pending_rows(&patient.conn, change.n)?;
    }
    let mut stands = match row.phase {
        Phase::Applied => "fed by deltas, all of them found in the data".to_owned(),
        _ => format!("deltas {:.1} % applied", percent(changes)),
    };
    if pending > 0 {
        stands = format!("{stands}; {pending} values wait for rows that have not arrived");
    }
    Ok(match runner {
        Runner::AtWork(who) => Finding::ok(what, format!("{stands}; {who}")),
        Runner::Nobody | Runner::Dead(_) if row.phase == Phase::Applying || pending > 0 => {
            Finding::owed(what, stands, next)
        }
        Runner::Nobody | Runner::Dead(_) => {
            Finding::ok(what, format!("{stands}; `dotfill close` ends it"))
        }
    })
}

/// When the last failure was, by the wall clock, for people.
fn failed_at(patient: &Patient<'_>, row: &MigrationRow) -> Result<String, DbError> {
    let events = state::events(&patient.conn, &row.id, EVENTS)?;
    let last = events.into_iter().rev().find(|(_, kind, _)| kind == "failed");
    Ok(last.map_or_else(|| "an earlier time".to_owned(), |(at, _, _)| at))
}

fn failure(patient: &Patient<'_>, row: &MigrationRow) -> Result<String, DbError> {
    Ok(match engine::failure(&patient.conn, &row.id)? {
        Some(reason) => format!("failed at {}: {reason}", failed_at(patient, row)?),
        None => "failed, for a reason that is no longer recorded".to_owned(),
    })
}
