//! From one `[[change]]` section with `kind = "index"` to an [`IndexChange`]. Owns the rules within
//! the section.

use super::change::OnFailure;
use super::error::MigrationError;
use super::fields::{Fields, INDEX_KEYS};
use super::index::{IndexChange, IndexTerms};
use super::names::{expression_problem, identifier_problem};
use super::parse_column::{expression, identifier};

/// The most terms that an index may have: what `PostgreSQL` allows, and more than anybody needs.
const TERMS_MAX: usize = 32;

/// What both keys want.
const WANT: &str = "a list of strings";

/// Reads the section.
pub(super) fn index(fields: &Fields<'_>) -> Result<IndexChange, MigrationError> {
    fields.refuse_unknown(INDEX_KEYS)?;
    let change = IndexChange {
        name: identifier(fields, "name", "name = \"a name for the index\"")?,
        table: identifier(fields, "table", "table = \"the table to index\"")?,
        terms: terms(fields)?,
        filter: expression(fields, "where")?,
        unique: fields.flag("unique", false)?,
        on_failure: fields
            .word("on_failure", &OnFailure::ALL, OnFailure::as_str)?
            .unwrap_or_default(),
        lines: fields.lines(),
    };
    // Tables and indexes share one space of names.
    if change.name.eq_ignore_ascii_case(&change.table) {
        let (at, name) = (fields.place("name"), change.name);
        return Err(MigrationError::SharedName { at, key: "name", name, other: "table" });
    }
    Ok(change)
}

fn terms(fields: &Fields<'_>) -> Result<IndexTerms, MigrationError> {
    match (fields.texts("columns", WANT)?, fields.texts("expressions", WANT)?) {
        (Some(_), Some(_)) => Err(MigrationError::Conflict {
            at: fields.place("expressions"),
            problem: "\"columns\" and \"expressions\" both say what is indexed",
            remedy: "keep one; among expressions, a column is written as its quoted name",
        }),
        (None, None) => Err(MigrationError::MissingKey {
            at: fields.place("columns"),
            key: "columns",
            section: fields.section,
            example: "columns = [\"a column\"], or expressions = [\"an SQL expression\"]",
        }),
        (Some(names), None) => columns(fields, &names).map(IndexTerms::Columns),
        (None, Some(texts)) => expressions(fields, &texts).map(IndexTerms::Expressions),
    }
}

fn columns(fields: &Fields<'_>, names: &[&str]) -> Result<Vec<String>, MigrationError> {
    const KEY: &str = "columns";
    check_count(fields, KEY, names)?;
    for (n, name) in names.iter().enumerate() {
        if let Some(problem) = identifier_problem(name) {
            let (at, name) = (fields.place(KEY), (*name).to_owned());
            return Err(MigrationError::BadIdentifier { at, key: KEY, name, problem });
        }
        // SQLite compares names without regard to ASCII case.
        if names[..n].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(bad(fields, KEY, "names a column twice; remove one of the two"));
        }
    }
    Ok(names.iter().map(|name| (*name).to_owned()).collect())
}

fn expressions(fields: &Fields<'_>, texts: &[&str]) -> Result<Vec<String>, MigrationError> {
    const KEY: &str = "expressions";
    check_count(fields, KEY, texts)?;
    for (n, text) in texts.iter().enumerate() {
        if let Some(problem) = expression_problem(text) {
            return Err(bad(fields, KEY, problem));
        }
        if texts[..n].iter().any(|other| other.trim() == text.trim()) {
            return Err(bad(fields, KEY, "has an expression twice; remove one of the two"));
        }
    }
    Ok(texts.iter().map(|text| text.trim().to_owned()).collect())
}

fn check_count(
    fields: &Fields<'_>,
    key: &'static str,
    terms: &[&str],
) -> Result<(), MigrationError> {
    if terms.is_empty() {
        return Err(bad(fields, key, "is empty; name what is to be indexed"));
    }
    if terms.len() > TERMS_MAX {
        return Err(bad(fields, key, "has more than 32 terms; index fewer of them"));
    }
    Ok(())
}

fn bad(fields: &Fields<'_>, key: &'static str, problem: &'static str) -> MigrationError {
    MigrationError::BadText { at: fields.place(key), key, problem }
}
