//! From one `[[change]]` section to a [`Change`]. Owns the rules within a section; those between
//! sections are in `parse`.

use super::change::{Change, ColumnChange, Delivery, OnError, OnFailure};
use super::error::MigrationError;
use super::fields::{COLUMN_KEYS, Fields, INDEX_KEYS, OR_SET_KEYS};
use super::names::{expression_problem, identifier_problem};
use super::type_name::parse_type_name;
use super::{parse_index, parse_or_set};

/// Reads one section.
pub(super) fn change(fields: &Fields<'_>) -> Result<Change, MigrationError> {
    if fields.value("kind").is_none() {
        fields.refuse_unknown(&[COLUMN_KEYS, OR_SET_KEYS, INDEX_KEYS].concat())?;
    }
    match fields.required("kind", "kind = \"column\"")? {
        "column" => column(fields).map(Change::Column),
        "or_set" => parse_or_set::or_set(fields).map(Change::OrSet),
        "index" => parse_index::index(fields).map(Change::Index),
        other => Err(fields.unknown_word("kind", other, &["column", "or_set", "index"])),
    }
}

fn column(fields: &Fields<'_>) -> Result<ColumnChange, MigrationError> {
    fields.refuse_unknown(COLUMN_KEYS)?;
    let change = ColumnChange {
        table: identifier(fields, "table", "table = \"the table to change\"")?,
        column: identifier(fields, "column", "column = \"the column to fill\"")?,
        type_name: type_name(fields)?,
        value: expression(fields, "value")?,
        filter: expression(fields, "where")?,
        delivery: delivery(fields)?,
        fill_null: fields.flag("fill_null", true)?,
        writable: fields.flag("writable", true)?,
        on_error: fields.word("on_error", &OnError::ALL, OnError::as_str)?.unwrap_or_default(),
        on_failure: fields
            .word("on_failure", &OnFailure::ALL, OnFailure::as_str)?
            .unwrap_or_default(),
        lines: fields.lines(),
    };
    refuse_conflicts(fields, &change)?;
    Ok(change)
}

/// The name of `key`, which must be there.
pub(super) fn identifier(
    fields: &Fields<'_>,
    key: &'static str,
    example: &'static str,
) -> Result<String, MigrationError> {
    let name = fields.required(key, example)?.to_owned();
    match identifier_problem(&name) {
        Some(problem) => {
            Err(MigrationError::BadIdentifier { at: fields.place(key), key, name, problem })
        }
        None => Ok(name),
    }
}

fn type_name(fields: &Fields<'_>) -> Result<String, MigrationError> {
    let text = fields.required("type", "type = \"TEXT\" or another plain type")?;
    parse_type_name(text).map_err(|problem| MigrationError::BadType {
        at: fields.place("type"),
        type_name: text.to_owned(),
        problem,
    })
}

/// The SQL of `key`, where it is there.
pub(super) fn expression(
    fields: &Fields<'_>,
    key: &'static str,
) -> Result<Option<String>, MigrationError> {
    let Some(text) = fields.text(key)? else {
        return Ok(None);
    };
    match expression_problem(text) {
        Some(problem) => Err(MigrationError::BadText { at: fields.place(key), key, problem }),
        None => Ok(Some(text.trim().to_owned())),
    }
}

fn delivery(fields: &Fields<'_>) -> Result<Delivery, MigrationError> {
    if fields.text("delivery")? == Some("ship") {
        return Err(MigrationError::NotYet {
            at: fields.place("delivery"),
            key: "delivery",
            got: "ship",
            remedy: "use derive",
        });
    }
    let word = fields.word("delivery", &Delivery::ALL, Delivery::as_str)?;
    Ok(word.unwrap_or_default())
}

fn refuse_conflicts(fields: &Fields<'_>, change: &ColumnChange) -> Result<(), MigrationError> {
    let conflict = |key: &str, problem: &'static str, remedy: &'static str| {
        let at = fields.place(key);
        Err(MigrationError::Conflict { at, problem, remedy })
    };
    match change.delivery {
        Delivery::Virtual if change.writable => conflict(
            "delivery",
            "delivery = \"virtual\" makes a column that nobody can write",
            "add writable = false, or use delivery = \"derive\"",
        ),
        Delivery::Virtual if change.value.is_none() => conflict(
            "delivery",
            "delivery = \"virtual\" has no \"value\" to compute",
            "add value = \"an SQL expression\"",
        ),
        Delivery::Elide if change.filter.is_some() => conflict(
            "where",
            "delivery = \"elide\" writes no row, so \"where\" cannot choose among them",
            "remove where, or use delivery = \"derive\"",
        ),
        Delivery::Elide | Delivery::Derive | Delivery::Native if !change.writable => conflict(
            "writable",
            "writable = false can only be enforced by a generated column",
            "use delivery = \"virtual\" or \"auto\", or remove writable",
        ),
        _ => Ok(()),
    }
}
