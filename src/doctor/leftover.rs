//! Triggers and tables of ours that have lost each other, or the migration that they belong to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Known, Patient, shell};
use crate::db::DbError;
use crate::db::quote::ident;
use crate::layout::or_set::set_trigger_names;
use crate::layout::trigger_names;
use crate::state::Phase;

/// What stands in the schema for one change number.
#[derive(Default)]
struct Standing {
    triggers: Vec<String>,
    tables: Vec<String>,
}

pub(super) fn examine(patient: &Patient<'_>, known: &Known) -> Result<Vec<Finding>, DbError> {
    let tables: BTreeSet<String> = patient.ours("table")?.into_iter().collect();
    let mut standing: BTreeMap<i64, Standing> = BTreeMap::new();
    for name in patient.ours("trigger")? {
        if let Some(n) = number(&name, "_dotfill_").filter(|n| names(*n).any(|own| own == name)) {
            standing.entry(n).or_default().triggers.push(name);
        }
    }
    for name in &tables {
        let n = ["_dotfill_dirty_", "_dotfill_user_", "_dotfill_frontier_"]
            .iter()
            .find_map(|p| number(name, p));
        if let Some(n) = n {
            standing.entry(n).or_default().tables.push(name.clone());
        }
    }
    let in_use = |n: i64| {
        known.iter().flat_map(|(_, changes)| changes).any(|change| {
            change.n == n && !matches!(change.phase, Phase::Closed | Phase::RolledBack)
        })
    };
    let look = |(n, standing): (i64, Standing)| {
        lost(patient, n, &standing, &tables)
            .or_else(|| (!in_use(n)).then(|| forgotten(patient, n, &standing)))
    };
    Ok(standing.into_iter().filter_map(look).collect())
}

/// True where triggers of change `n` name a table that is gone.
pub(super) fn has_lost(patient: &Patient<'_>, n: i64) -> Result<bool, DbError> {
    let tables: BTreeSet<String> = patient.ours("table")?.into_iter().collect();
    let triggers = patient.ours("trigger")?;
    Ok(gone(n, &tables).is_some() && names(n).any(|name| triggers.contains(&name)))
}

/// The names of the triggers that change `n` may have, of either kind.
fn names(n: i64) -> impl Iterator<Item = String> {
    trigger_names(n).into_iter().chain(set_trigger_names(n))
}

/// The table that triggers of change `n` name and that is gone.
fn gone(n: i64, tables: &BTreeSet<String>) -> Option<String> {
    [format!("_dotfill_dirty_{n}"), "_dotfill_self".to_owned()]
        .into_iter()
        .find(|name| !tables.contains(name))
}

/// The number that follows `prefix`, up to the end or the next underscore.
fn number(name: &str, prefix: &str) -> Option<i64> {
    name.strip_prefix(prefix)?.split('_').next()?.parse().ok()
}

/// Triggers that insert into a table, or read one, that is gone: an application's write fails.
fn lost(
    patient: &Patient<'_>,
    n: i64,
    standing: &Standing,
    tables: &BTreeSet<String>,
) -> Option<Finding> {
    let gone = gone(n, tables)?;
    if standing.triggers.is_empty() {
        return None;
    }
    Some(Finding::wrong(
        format!("triggers of change {n}"),
        format!(
            "{} lost table {gone}: every write that fires them FAILS; drop them now, then run \
             `dotfill doctor` again",
            standing.triggers.join(", ")
        ),
        shell::sqlite(patient.db, &drop_all("TRIGGER", &standing.triggers)),
    ))
}

/// What belongs to no migration that is followed.
fn forgotten(patient: &Patient<'_>, n: i64, standing: &Standing) -> Finding {
    let names: Vec<&str> =
        standing.triggers.iter().chain(&standing.tables).map(String::as_str).collect();
    let sql = format!(
        "{}{}",
        drop_all("TRIGGER", &standing.triggers),
        drop_all("TABLE", &standing.tables)
    );
    let harm = if standing.triggers.is_empty() {
        "they hold nothing that is needed"
    } else {
        "they note keys that nobody will ever drain"
    };
    Finding::owed(
        format!("leftovers of change {n}"),
        format!("{} belong to no migration that is open here: {harm}", names.join(", ")),
        shell::sqlite(patient.db, &sql),
    )
}

fn drop_all(kind: &str, names: &[String]) -> String {
    names.iter().map(|name| format!("DROP {kind} {}; ", ident(name))).collect()
}
