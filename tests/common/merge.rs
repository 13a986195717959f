//! Replication as a syncer does it: by (site, `db_version`), into `crsql_changes`.

use rusqlite::params;

use super::records::{ChangeRecord, versions};
use super::{Records, Replica};

/// Brings to `to` what `from` has and `to` has not seen, per site, in one transaction; the count
/// of records sent.
pub fn merge(from: &Replica, to: &Replica) -> u64 {
    let seen = versions(to);
    let own = to.site_id();
    let sent: Vec<ChangeRecord> = Records::of(from)
        .changes
        .into_iter()
        .filter(|change| change.site_id != own)
        .filter(|change| change.db_version > seen.get(&change.site_id).copied().unwrap_or(0))
        .collect();
    to.execute_batch("BEGIN IMMEDIATE").unwrap();
    for change in &sent {
        apply(to, change);
    }
    for (site, version) in versions(from).into_iter().filter(|(site, _)| *site != own) {
        to.run("SELECT crsql_set_db_version(?1, ?2)", params![site, version]);
    }
    to.execute_batch("COMMIT").unwrap();
    sent.len() as u64
}

/// Merges until neither replica has anything for the other; the count of records sent.
pub fn merge_both_ways(a: &Replica, b: &Replica) -> u64 {
    let mut sent = 0;
    for _ in 0..4 {
        match merge(a, b) + merge(b, a) {
            0 => return sent,
            round => sent += round,
        }
    }
    panic!("replicas keep sending records to each other")
}

/// Inserts one change record, inside whatever transaction is open.
pub fn apply(to: &Replica, change: &ChangeRecord) {
    try_apply(to, change).unwrap_or_else(|error| panic!("merging {change:?}: {error}"));
}

/// As [`apply`], where a merge that fails is what the test looks for.
pub fn try_apply(to: &Replica, change: &ChangeRecord) -> rusqlite::Result<()> {
    let mut statement = to.prepare_cached(
        "INSERT INTO crsql_changes
           (\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq, ts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        change.table,
        change.pk,
        change.column,
        change.value,
        change.col_version,
        change.db_version,
        change.site_id,
        change.causal_length,
        change.seq,
        change.ts,
    ])?;
    Ok(())
}
