//! From one `[[change]]` section with `kind = "or_set"` to an [`OrSetChange`]. Owns the rules
//! within the section.

use super::change::OnFailure;
use super::error::MigrationError;
use super::fields::{Fields, OR_SET_KEYS};
use super::names::identifier_problem;
use super::or_set::{Malformed, OldWrites, OrSetChange, SetFormat, SetSource};
use super::parse_column::identifier;

/// The most columns that a key may have: the limit of `SQLite`'s indexes.
const KEY_COLUMNS_MAX: usize = 2000;

/// Reads the section.
pub(super) fn or_set(fields: &Fields<'_>) -> Result<OrSetChange, MigrationError> {
    fields.refuse_unknown(OR_SET_KEYS)?;
    let change = OrSetChange {
        table: identifier(fields, "table", "table = \"the table of the objects\"")?,
        source: source(fields)?,
        adds: identifier(fields, "adds", "adds = \"a name for the table of adds\"")?,
        removes: identifier(fields, "removes", "removes = \"a name for the table of removes\"")?,
        view: identifier(fields, "view", "view = \"a name for the view of what is visible\"")?,
        old_writes: fields
            .word("old_writes", &OldWrites::ALL, OldWrites::as_str)?
            .unwrap_or_default(),
        malformed: fields
            .word("malformed", &Malformed::ALL, Malformed::as_str)?
            .unwrap_or_default(),
        on_failure: fields
            .word("on_failure", &OnFailure::ALL, OnFailure::as_str)?
            .unwrap_or_default(),
        lines: fields.lines(),
    };
    refuse_shared_names(fields, &change)?;
    Ok(change)
}

fn source(fields: &Fields<'_>) -> Result<SetSource, MigrationError> {
    match (fields.value("source").is_some(), fields.value("source_table").is_some()) {
        (true, true) => Err(MigrationError::Conflict {
            at: fields.place("source_table"),
            problem: "\"source\" and \"source_table\" both say where the old form is",
            remedy: "keep source for a column of the table, or source_table for a table of rows",
        }),
        (_, false) => {
            let alone = ["element", "source_key"].into_iter().find(|k| fields.value(k).is_some());
            match alone {
                Some(key) => conflict(fields, key, "add source_table, or remove it"),
                None => column(fields),
            }
        }
        (false, true) if fields.value("format").is_some() => {
            conflict(fields, "format", "remove it: each row of source_table is one element")
        }
        (false, true) => child(fields),
    }
}

fn conflict<T>(
    fields: &Fields<'_>,
    key: &'static str,
    remedy: &'static str,
) -> Result<T, MigrationError> {
    let problem = match key {
        "format" => "\"format\" is about a text in a column, not about \"source_table\"",
        "element" => "\"element\" is about a column of \"source_table\", which is absent",
        _ => "\"source_key\" is about columns of \"source_table\", which is absent",
    };
    Err(MigrationError::Conflict { at: fields.place(key), problem, remedy })
}

fn column(fields: &Fields<'_>) -> Result<SetSource, MigrationError> {
    let column = identifier(
        fields,
        "source",
        "source = \"the column that holds the old form\", or source_table = \"a table of rows\"",
    )?;
    fields.required("format", "format = \"json\", \"csv\" or \"lines\"")?;
    let format = fields.word("format", &SetFormat::ALL, SetFormat::as_str)?;
    Ok(SetSource::Column { column, format: format.unwrap_or(SetFormat::Json) })
}

fn child(fields: &Fields<'_>) -> Result<SetSource, MigrationError> {
    Ok(SetSource::Table {
        table: identifier(fields, "source_table", "source_table = \"a table of rows\"")?,
        element: identifier(fields, "element", "element = \"its column that holds the element\"")?,
        key: source_key(fields)?,
    })
}

fn source_key(fields: &Fields<'_>) -> Result<Option<Vec<String>>, MigrationError> {
    const KEY: &str = "source_key";
    let Some(names) = fields.texts(KEY, "a list of column names")? else {
        return Ok(None);
    };
    let problem = |problem| MigrationError::BadText { at: fields.place(KEY), key: KEY, problem };
    if names.is_empty() || names.len() > KEY_COLUMNS_MAX {
        return Err(problem("has no columns, or too many; name one for each column of the key"));
    }
    let mut key: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        if let Some(problem) = identifier_problem(name) {
            let (at, name) = (fields.place(KEY), name.to_owned());
            return Err(MigrationError::BadIdentifier { at, key: KEY, name, problem });
        }
        if key.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(problem("names a column twice; name one for each column of the key"));
        }
        key.push(name.to_owned());
    }
    Ok(Some(key))
}

/// `SQLite` keeps tables and views in one space of names, without regard to ASCII case.
fn refuse_shared_names(fields: &Fields<'_>, change: &OrSetChange) -> Result<(), MigrationError> {
    let mut seen: Vec<(&'static str, &str)> = change.read().collect();
    for (key, name) in change.made() {
        if let Some((other, _)) = seen.iter().find(|(_, other)| other.eq_ignore_ascii_case(name)) {
            return Err(MigrationError::SharedName {
                at: fields.place(key),
                key,
                name: name.to_owned(),
                other,
            });
        }
        seen.push((key, name));
    }
    Ok(())
}
