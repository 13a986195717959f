//! The index of a migration: there as the migration defines it, or not. Counts no entries.

use super::{Finding, Patient, shell};
use crate::db::DbError;
use crate::migration::{Change, Migration};
use crate::plan::{Found, PlanError, resolve_index};
use crate::state::{ChangeRow, IndexRow, Phase};

pub(super) fn examine(
    patient: &Patient<'_>,
    migration: Option<&Migration>,
    change: &ChangeRow,
    made: &IndexRow,
) -> Result<Vec<Finding>, DbError> {
    let position = usize::try_from(change.position).unwrap_or(usize::MAX);
    let wanted = migration.and_then(|migration| match migration.changes.get(position) {
        Some(Change::Index(index)) => Some((migration, index)),
        Some(Change::Column(_) | Change::OrSet(_)) | None => None,
    });
    let Some((migration, wanted)) = wanted else { return Ok(Vec::new()) };
    let what = format!("index {}", made.name);
    let run = || shell::dotfill("run", &change.migration, patient.db);
    let resolved = match resolve_index(&patient.conn, migration, position, wanted) {
        Ok(resolved) => resolved,
        Err(PlanError::Db(error)) if error.is_busy() => return Err(error),
        Err(refused) => return Ok(vec![Finding::wrong(what, refused.to_string(), run())]),
    };
    let whose = if made.made { "built by the migration" } else { "there before it" };
    Ok(vec![match (resolved.found, change.phase) {
        (Found::Same, _) => {
            let detail = format!("present on {}, {whose}, as it is defined", change.table);
            Finding::ok(what, detail)
        }
        (Found::Absent, Phase::Filling | Phase::Failed) => {
            Finding::ok(what, "not built yet".to_owned())
        }
        (Found::Absent, Phase::Closed) => Finding::owed(
            what,
            "gone since the migration was closed".to_owned(),
            shell::dotfill("forget", &change.migration, patient.db),
        ),
        (Found::Absent, _) => Finding::wrong(what, "gone".to_owned(), run()),
        (Found::Other(differences), _) => {
            let detail = format!("has another definition than the migration: {differences}");
            let drop = format!("DROP INDEX {}", crate::db::quote::ident(&made.name));
            Finding::wrong(what, detail, shell::sqlite(patient.db, &drop))
        }
    }])
}
