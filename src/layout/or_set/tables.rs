//! The tables of adds and removes: what they must look like, and the statements that make them.

use super::{SetLayout, SetTarget};
use crate::db::quote::{ident, list};
use crate::db::{Affinity, Table};
use crate::migration::{OrSetChange, SetFormat, SetSource};

/// Which of the two tables are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetTables {
    /// The table of adds.
    pub adds: bool,
    /// The table of removes.
    pub removes: bool,
}

/// The statement that creates the table of adds for the objects of `table`. cr-sqlite wants a table
/// with rowids and key columns that are NOT NULL.
#[must_use]
pub fn adds_schema(table: &Table, adds: &str, crsqlite: bool) -> String {
    let keys = table.key.iter().map(|key| {
        let column = table.column(&key.name).map_or("", |column| column.type_name.as_str());
        format!("  {} NOT NULL,\n", format!("{} {column}", ident(&key.name)).trim_end())
    });
    let names = table.key.iter().map(|key| ident(&key.name));
    format!(
        "CREATE TABLE {} (\n{}  element NOT NULL,\n  dot BLOB NOT NULL,\n  \
         PRIMARY KEY ({}, element, dot)\n){};\n",
        ident(adds),
        keys.collect::<String>(),
        list(names),
        ending(crsqlite)
    )
}

/// The statement that creates the table of removes.
#[must_use]
pub fn removes_schema(removes: &str, crsqlite: bool) -> String {
    format!(
        "CREATE TABLE {} (\n  dot BLOB NOT NULL PRIMARY KEY\n){};\n",
        ident(removes),
        ending(crsqlite)
    )
}

fn ending(crsqlite: bool) -> &'static str {
    if crsqlite { "" } else { " WITHOUT ROWID" }
}

/// What is wrong with a table of adds that is there already.
#[must_use]
pub fn check_adds(adds: &Table, table: &Table, change: &OrSetChange) -> Option<String> {
    let mut want: Vec<&str> = table.key.iter().map(|key| key.name.as_str()).collect();
    want.extend(["element", "dot"]);
    if let Some(problem) = check_columns(adds, &want) {
        return Some(problem);
    }
    for (key, copy) in table.key.iter().zip(&adds.key) {
        if key.affinity != copy.affinity {
            return Some(format!(
                "its column {} has affinity {:?}, that of table {} has {:?}",
                ident(&copy.name),
                copy.affinity,
                table.sql(),
                key.affinity
            ));
        }
    }
    let only_texts =
        matches!(&change.source, SetSource::Column { format, .. } if *format != SetFormat::Json);
    let element = &adds.key[table.key.len()];
    match element.affinity {
        Affinity::Blob => None,
        Affinity::Text if only_texts => None,
        _ => Some(format!(
            "its column \"element\" has affinity {:?}, which would change elements of another kind",
            element.affinity
        )),
    }
}

/// What is wrong with a table of removes that is there already.
#[must_use]
pub fn check_removes(removes: &Table) -> Option<String> {
    check_columns(removes, &["dot"])
}

/// All columns of `table` must be its primary key, with these names, in this order.
fn check_columns(table: &Table, want: &[&str]) -> Option<String> {
    let key: Vec<&str> = table.key.iter().map(|key| key.name.as_str()).collect();
    let same = key.len() == want.len()
        && key.iter().zip(want).all(|(a, b)| a.eq_ignore_ascii_case(b))
        && table.columns.len() == want.len()
        && table.columns.iter().all(|column| column.key_position > 0);
    if !same {
        return Some(format!(
            "its primary key is ({}) and it has {} columns; wanted is a primary key of all its \
             columns, ({})",
            key.join(", "),
            table.columns.len(),
            want.join(", ")
        ));
    }
    let odd = table.key.iter().find(|key| key.collation != "BINARY")?;
    Some(format!("its column {} has the collation {}", ident(&odd.name), odd.collation))
}

impl SetTarget {
    /// True where cr-sqlite records what users write to the new form.
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        match &self.layout {
            SetLayout::Plain => false,
            SetLayout::CrSqlite { .. } => true,
        }
    }
}
