//! Refuses a job for which the disk has no room, before anything is written.

use std::path::Path;

use super::RunError;
use crate::migration::Migration;
use crate::plan::{PlanError, ResolvedChange, predicted_growth};
use crate::throttle::Tuning;

/// Checks the free space of the database's file system against what the changes will need: the
/// growth of the file, and the WAL at its limit. The growth is predicted from a sample only where
/// the space would not do for twice the whole file.
pub(super) fn check(
    db: &Path,
    migration: &Migration,
    resolved: &[ResolvedChange],
    tuning: &Tuning,
) -> Result<(), RunError> {
    let writes = |change: &ResolvedChange| {
        change.column().is_none_or(|change| change.target.delivery.writes_cells())
    };
    if !resolved.iter().any(writes) {
        return Ok(());
    }
    let Ok(stat) = rustix::fs::statvfs(db) else {
        return Ok(());
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let file = std::fs::metadata(db).map_or(0, |meta| meta.len());
    if free > file.saturating_mul(2).saturating_add(tuning.wal_bytes_max) {
        return Ok(());
    }
    let growth = predicted_growth(db, migration)?;
    let need =
        growth.saturating_add(tuning.wal_bytes_max.min(growth.saturating_mul(4).max(1 << 20)));
    if free >= need {
        return Ok(());
    }
    Err(PlanError::refused(
        db.display().to_string(),
        format!("the file will need about {need} bytes of disk (growth {growth}), {free} are free"),
        "free some space, or lower --wal-bytes-max",
    )
    .into())
}
