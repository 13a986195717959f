//! The plan of an index: what building it costs, and what it owes from then on.

use rusqlite::Connection;
use serde::Serialize;

use super::PlanError;
use super::build_cost::{BuildCost, build_cost};
use super::number;
use super::resolve_index::{Found, ResolvedIndex, one_line, resolve_index};
use crate::db::quote::ident;
use crate::migration::{IndexChange, Migration};
use crate::throttle::Tuning;

/// What building an index will do.
#[derive(Clone, Debug, Serialize)]
pub struct IndexPlan {
    /// Its position among the changes of the file, from 0.
    pub position: usize,
    /// The index.
    pub name: String,
    /// The table.
    pub table: String,
    /// The statement that builds it.
    pub sql: String,
    /// True where it is there already, with that definition.
    pub exists: bool,
    /// True where cr-sqlite replicates the table.
    pub replicated: bool,
    /// What building it costs; nothing where it is there.
    #[serde(flatten)]
    pub cost: BuildCost,
    /// What the build, and the index from then on, ask of others.
    pub owes: Vec<String>,
}

/// Plans the index that is change number `index` of `migration`.
///
/// # Errors
/// As [`resolve_index`]; when the table cannot be read or the temporary folder is full.
pub(super) fn plan_index(
    conn: &Connection,
    migration: &Migration,
    index: usize,
    change: &IndexChange,
) -> Result<IndexPlan, PlanError> {
    let resolved = resolve_index(conn, migration, index, change)?;
    resolved.check(migration, index)?;
    let target = &resolved.target;
    let exists = resolved.found == Found::Same;
    let sql = format!("SELECT count(*) FROM {}", target.table.sql());
    let rows = number::query(conn, &sql, "count the rows of the table")?;
    let cost = if exists {
        BuildCost { rows, ..BuildCost::default() }
    } else {
        build_cost(conn, target, &resolved.pending, rows)?
    };
    Ok(IndexPlan {
        position: index,
        name: target.name.clone(),
        table: target.table.name.clone(),
        sql: one_line(&target.create()),
        exists,
        replicated: resolved.replicated,
        owes: owes(&resolved, exists, &cost),
        cost,
    })
}

fn owes(resolved: &ResolvedIndex, exists: bool, cost: &BuildCost) -> Vec<String> {
    let mut owes = Vec::new();
    if !exists {
        owes.push(
            "CREATE INDEX is one transaction: others can read and cannot write while it lasts, and \
             --hold-ms does not hold there; --window, --pause-file and --pause-when hold it before \
             it begins, and a signal ends it with nothing written"
                .to_owned(),
        );
        if cost.wal_bytes > Tuning::default().wal_bytes_max {
            owes.push(
                "the WAL grows beyond --wal-bytes-max (64 MiB unless you say otherwise): nothing of \
                 one transaction can be checkpointed before its commit"
                    .to_owned(),
            );
        }
        if cost.temp_bytes > 0 {
            owes.push(
                "the entries are sorted in temporary files, which SQLite puts where SQLITE_TMPDIR or \
                 TMPDIR says"
                    .to_owned(),
            );
        }
    }
    if resolved.target.unique {
        owes.push(
            "unique: a run looks for rows that are equal before it builds, and names some; from then \
             on a write of such a row is refused"
                .to_owned(),
        );
    }
    if !resolved.fallible.is_empty() {
        owes.push(format!(
            "{} may fail for some row: from then on a write of such a row is refused on table {}",
            resolved.fallible.iter().map(|name| format!("{name}()")).collect::<Vec<_>>().join(", "),
            ident(&resolved.target.table.name)
        ));
    }
    if resolved.replicated {
        owes.push("no change records: each replica builds its own index".to_owned());
    }
    owes
}
