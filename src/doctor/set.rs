//! One change of a set: its tables, its view, its triggers and side tables, and the objects that wait.

use super::change::{missing_of, waiting};
use super::{Finding, Patient, kept, leftover, set_stamp, shell};
use crate::db::quote::ident;
use crate::db::{DbError, Doing};
use crate::layout::or_set::{
    ClosedObjects, SetTarget, ViewStage, set_note_schema, set_note_tables, set_note_triggers,
    view_schema,
};
use crate::migration::{Change, Migration};
use crate::phase::pending::pending_count;
use crate::phase::set::EpochSet;
use crate::phase::triggers::Closed;
use crate::plan::{PlanError, resolve_set, resolve_shipped_set};
use crate::state::{ChangeRow, Phase, SetRow};

pub(super) fn examine(
    patient: &Patient<'_>,
    migration: Option<&Migration>,
    change: &ChangeRow,
    made: &SetRow,
    at_work: bool,
) -> Result<Vec<Finding>, DbError> {
    let index = usize::try_from(change.position).unwrap_or(usize::MAX);
    let set = migration.and_then(|m| match m.changes.get(index) {
        Some(Change::OrSet(set)) => Some((m, set)),
        Some(Change::Column(_) | Change::Index(_)) | None => None,
    });
    let Some((migration, set)) = set.filter(|_| patient.knows_crsqlite()) else {
        return Ok(Vec::new());
    };
    // What was fed by deltas follows nothing, and may lack the old form.
    let fed = matches!(change.phase, Phase::Applying | Phase::Applied);
    let resolved = if fed {
        resolve_shipped_set(&patient.conn, migration, index)
    } else {
        resolve_set(&patient.conn, migration, index, set)
    };
    let mut target = match resolved {
        Ok(resolved) if resolved.tables.adds && resolved.tables.removes => resolved.target,
        Ok(_) => return Ok(vec![lost(patient, change, made)]),
        Err(PlanError::Db(error)) if error.is_busy() => return Err(error),
        Err(refused) => return Ok(vec![unfit(patient, change, &refused)]),
    };
    target.n = change.n;
    let mut findings = vec![Finding::ok(
        name(change),
        format!(
            "present as {}, {} rows, {} adds written",
            ident(&target.adds),
            change.rows_total,
            change.counters.rows_written
        ),
    )];
    findings.extend(view(patient, &target, change)?);
    let is_over = change.phase == Phase::Closed;
    if !is_over {
        findings.extend(epoch(patient, migration, &target, change)?);
    } else if !target.is_followed()
        && let Some(set) = EpochSet::new(&patient.conn, migration, index, target.clone())?
    {
        findings.extend(kept::ended(patient, &set)?);
    }
    findings.extend(set_stamp::examine(patient, &target, change)?);
    let followed = !is_over && !fed && target.is_followed();
    if followed && !leftover::has_lost(patient, change.n)? {
        findings.extend(triggers(patient, &target, change)?);
        findings.extend(waiting(patient, change, at_work)?);
    }
    Ok(findings)
}

/// The triggers of a closed epoch, and the writes that they have noted.
fn epoch(
    patient: &Patient<'_>,
    migration: &Migration,
    target: &SetTarget,
    change: &ChangeRow,
) -> Result<Vec<Finding>, DbError> {
    let (closed, whose) = match target.closed {
        ClosedObjects::None => return Ok(Vec::new()),
        ClosedObjects::Cohort => (Closed::Cohort, "of a share of its objects"),
        ClosedObjects::All => (Closed::All, "of all its objects"),
    };
    let index = usize::try_from(change.position).unwrap_or(usize::MAX);
    let Some(set) = EpochSet::new(&patient.conn, migration, index, target.clone())? else {
        return Ok(Vec::new());
    };
    let what = format!("epoch of {}", name(change));
    let schema = set.triggers(closed).schema();
    let lost = missing_of(patient, &schema)?;
    if !lost.is_empty() {
        let names: Vec<&str> = lost.iter().map(|(name, _)| *name).collect();
        let sql: String = lost.iter().map(|(_, sql)| format!("{sql};\n")).collect();
        return Ok(vec![Finding::wrong(
            what,
            format!(
                "{} lost: old writes are neither refused nor noted until they are made again",
                names.join(", ")
            ),
            shell::sqlite(patient.db, &format!("BEGIN; {sql} COMMIT;")),
        )]);
    }
    let pending = pending_count(&patient.conn, change.n)?;
    Ok(vec![if pending > 0 {
        Finding::owed(
            what,
            format!("{pending} old writes have arrived and wait to be decided"),
            shell::dotfill("run", &change.migration, patient.db),
        )
    } else {
        Finding::ok(what, format!("closed, {whose}: old writes are refused"))
    }])
}

fn name(change: &ChangeRow) -> String {
    format!("set {}.{}", change.table, change.column)
}

fn lost(patient: &Patient<'_>, change: &ChangeRow, made: &SetRow) -> Finding {
    Finding::wrong(
        name(change),
        format!(
            "lost: {} or {} is gone; with a table of removes goes what users removed",
            ident(&made.adds),
            ident(&made.removes)
        ),
        format!(
            "restore them from a backup or a replica; `dotfill schema {} --db {}` prints their SQL",
            change.migration,
            patient.db.display()
        ),
    )
}

fn unfit(patient: &Patient<'_>, change: &ChangeRow, refused: &PlanError) -> Finding {
    Finding::wrong(
        format!("migration {}", change.migration),
        format!("it no longer fits the database, and `run` will refuse it: {refused}"),
        shell::dotfill("verify", &change.migration, patient.db),
    )
}

/// The view is gone, or is not the one that belongs to where the change stands.
fn view(
    patient: &Patient<'_>,
    target: &SetTarget,
    change: &ChangeRow,
) -> Result<Option<Finding>, DbError> {
    let stage = match (change.phase, change.filled) {
        (Phase::Closed | Phase::Applying | Phase::Applied, _) => ViewStage::Alone,
        (Phase::Open, _) if !target.is_followed() => ViewStage::Alone,
        (Phase::RollingBack, _) | (_, false) => ViewStage::Filling,
        (_, true) => ViewStage::Following,
    };
    let want = view_schema(target, stage);
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?1 COLLATE NOCASE";
    let found: Option<String> = {
        let mut statement = patient.conn.prepare(sql).doing("read the view of a set")?;
        let mut rows = statement.query([&target.view]).doing("read the view of a set")?;
        match rows.next().doing("read the view of a set")? {
            Some(row) => Some(row.get(0).doing("read the view of a set")?),
            None => None,
        }
    };
    if found.as_deref().map(str::trim) == Some(want.trim().trim_end_matches(';')) {
        return Ok(None);
    }
    let view = ident(&target.view);
    let detail = match found {
        None => "lost: reads of it fail",
        Some(_) => "is not the one that dotfill makes: it may show something else",
    };
    let sql = format!("BEGIN; DROP VIEW IF EXISTS {view}; {want} COMMIT;");
    Ok(Some(Finding::wrong(format!("view {view}"), detail, shell::sqlite(patient.db, &sql))))
}

/// Triggers and side tables that a followed set must have. What was not noted meanwhile is found by
/// the proof of the next run.
fn triggers(
    patient: &Patient<'_>,
    target: &SetTarget,
    change: &ChangeRow,
) -> Result<Option<Finding>, DbError> {
    let schema = match target.closed {
        ClosedObjects::Cohort => {
            set_note_tables(target) + &set_note_triggers(target, Some(&target.cohort_table()))
        }
        ClosedObjects::None | ClosedObjects::All => set_note_schema(target),
    };
    let lost = missing_of(patient, &schema)?;
    if lost.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = lost.iter().map(|(name, _)| *name).collect();
    let sql: String = lost.iter().map(|(_, sql)| format!("{sql};\n")).collect();
    Ok(Some(Finding::wrong(
        format!("triggers of {}", name(change)),
        format!(
            "{} lost: what others write is not noted until they are made again; the next run then \
             finds it by its proof",
            names.join(", ")
        ),
        format!(
            "{}\nthen: {}",
            shell::sqlite(patient.db, &format!("BEGIN; {sql} COMMIT;")),
            shell::dotfill("run", &change.migration, patient.db)
        ),
    )))
}
