//! What has stayed of a closed epoch: triggers that refuse old writes, the table that they look at, and
//! an old form that has come back because nobody decides any more what arrives.

use super::change::missing_of;
use super::{Finding, Patient, shell};
use crate::db::quote::ident;
use crate::db::{DbError, Doing};
use crate::engine::is_left;
use crate::phase::set::EpochSet;
use crate::phase::triggers::{MERGING_TABLE, kept_triggers};

/// The triggers that have stayed here, whosever they are.
pub(super) fn examine(patient: &Patient<'_>) -> Result<Option<Finding>, DbError> {
    let names: Vec<String> =
        patient.ours("trigger")?.into_iter().filter(|name| name.contains("_kept_")).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let what = "triggers that have stayed";
    let looks: bool = patient
        .conn
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' \
             AND name LIKE '\\_dotfill\\_kept\\_%' ESCAPE '\\' AND instr(sql, ?1) > 0)",
            [MERGING_TABLE],
            |row| row.get(0),
        )
        .doing("look at the triggers that have stayed")?;
    if looks && !patient.ours("table")?.iter().any(|name| name == MERGING_TABLE) {
        let sql = format!("CREATE TABLE {MERGING_TABLE} (token INTEGER);");
        return Ok(Some(Finding::wrong(
            what,
            format!(
                "{} lost table {MERGING_TABLE}: every write that fires them FAILS",
                names.join(", ")
            ),
            shell::sqlite(patient.db, &sql),
        )));
    }
    let detail = format!("{} refuse writes of an old form that is no more", names.join(", "));
    Ok(Some(Finding::ok(what, detail)))
}

/// A set whose closed epoch has ended.
pub(super) fn ended(patient: &Patient<'_>, set: &EpochSet) -> Result<Vec<Finding>, DbError> {
    let mut findings = Vec::new();
    let what = format!("epoch of set {}.{}", set.target.table.name, set.target.source());
    let schema = kept_triggers(set);
    let lost = missing_of(patient, &schema)?;
    if !lost.is_empty() {
        let names: Vec<&str> = lost.iter().map(|(name, _)| *name).collect();
        let sql: String = lost.iter().map(|(_, sql)| format!("{sql};\n")).collect();
        findings.push(Finding::wrong(
            what.clone(),
            format!("{} lost: old writes are not refused", names.join(", ")),
            shell::sqlite(patient.db, &format!("BEGIN; {sql} COMMIT;")),
        ));
    }
    if is_left(&patient.conn, set)? {
        let (table, source) = (set.target.table.sql(), ident(set.target.source()));
        findings.push(Finding::owed(
            what,
            format!(
                "{table}.{source} holds something of the old form again: an old client has written \
                 it elsewhere, it came by replication, and no reader of the new form sees it"
            ),
            "block that client; write what is right in the new form, and empty the old one"
                .to_owned(),
        ));
    }
    Ok(findings)
}
