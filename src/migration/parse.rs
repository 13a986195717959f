//! From text to [`Migration`]: TOML, the top of the file, the budget and the list of changes.
//! What one `[[change]]` may say is in `parse_column`.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::between;
use super::bytes::parse_bytes;
use super::change::Change;
use super::digest::digest;
use super::error::{MigrationError, Section, quoted};
use super::fields::{BUDGET_KEYS, Fields, TOP_KEYS};
use super::file::Source;
use super::id::MigrationId;
use super::names::label_problem;
use super::{Budget, CHANGES_MAX, FILE_BYTES_MAX, Migration, parse_column};

/// Parses and validates `text`.
pub(super) fn migration(text: &str, path: &Path) -> Result<Migration, MigrationError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(MigrationError::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    let source = Source::new(text, path);
    let table = DeTable::parse(text).map_err(|error| syntax(&source, &error))?;
    let top = Fields { source: &source, section: Section::Top, table: table.get_ref(), header: 0 };
    top.refuse_unknown(TOP_KEYS)?;
    let id = id(&top)?;
    let epoch = label(&top, "epoch")?;
    let minimum_client = label(&top, "minimum_client")?;
    let budget = budget(&top)?;
    let changes = changes(&top)?;
    let digest = digest(&id, epoch.as_deref(), minimum_client.as_deref(), &changes);
    let (path, text) = (path.to_owned(), text.to_owned());
    Ok(Migration { id, epoch, minimum_client, budget, changes, path, text, digest })
}

fn syntax(source: &Source<'_>, error: &toml::de::Error) -> MigrationError {
    let span = error.span();
    let at = source.place(span.as_ref().map(|span| span.start));
    if error.message() == "duplicate key" {
        let key = span.map(|span| source.slice(span)).unwrap_or_default().to_owned();
        let remedy = match key.as_str() {
            "change" => "write every [[change]] with two brackets on each side",
            _ => "remove one of the two",
        };
        return MigrationError::DuplicateKey { at, key, remedy };
    }
    let excerpt = match span.map(|span| source.line_text(span.start)) {
        None => "the file".to_owned(),
        Some("") => "what is missing there".to_owned(),
        Some(line) => quoted(line),
    };
    MigrationError::Syntax { at, problem: error.message().to_owned(), excerpt }
}

fn id(top: &Fields<'_>) -> Result<MigrationId, MigrationError> {
    let text = top.required("id", "id = \"a-name-of-your-choice\"")?;
    MigrationId::new(text).map_err(|source| MigrationError::BadId { at: top.place("id"), source })
}

fn label(top: &Fields<'_>, key: &'static str) -> Result<Option<String>, MigrationError> {
    let Some(text) = top.text(key)? else {
        return Ok(None);
    };
    match label_problem(text) {
        Some(problem) => Err(MigrationError::BadText { at: top.place(key), key, problem }),
        None => Ok(Some(text.to_owned())),
    }
}

fn budget(top: &Fields<'_>) -> Result<Budget, MigrationError> {
    let Some(value) = top.value("budget") else {
        return Ok(Budget::default());
    };
    let DeValue::Table(table) = value.get_ref() else {
        return Err(top.wrong_type("budget", "a section", value));
    };
    let header = value.span().start;
    let fields = Fields { source: top.source, section: Section::Budget, table, header };
    fields.refuse_unknown(BUDGET_KEYS)?;
    Ok(Budget {
        change_records_per_row_max: records_max(&fields)?,
        wire_bytes_max: wire_bytes_max(&fields)?,
    })
}

fn records_max(budget: &Fields<'_>) -> Result<Option<f64>, MigrationError> {
    const KEY: &str = "change_records_per_row_max";
    let Some(value) = budget.value(KEY) else {
        return Ok(None);
    };
    let number = match value.get_ref() {
        DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse::<f64>().ok(),
        DeValue::Integer(_) => None,
        _ => return Err(budget.wrong_type(KEY, "a number", value)),
    };
    match number {
        Some(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
        _ => Err(bad_budget(
            budget,
            KEY,
            value,
            "no number of records; write a decimal number, 0 or more",
        )),
    }
}

fn wire_bytes_max(budget: &Fields<'_>) -> Result<Option<u64>, MigrationError> {
    const KEY: &str = "wire_bytes_max";
    let Some(value) = budget.value(KEY) else {
        return Ok(None);
    };
    match value.get_ref() {
        DeValue::String(text) => parse_bytes(text).map(Some).map_err(|problem| {
            MigrationError::BadBudget { at: budget.place(KEY), key: KEY, problem }
        }),
        DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix())
            .map(Some)
            .map_err(|_| bad_budget(budget, KEY, value, "no size in bytes; write 0 or more")),
        _ => Err(budget.wrong_type(KEY, "a size", value)),
    }
}

fn bad_budget(
    budget: &Fields<'_>,
    key: &'static str,
    value: &Spanned<DeValue<'_>>,
    problem: &str,
) -> MigrationError {
    let problem = format!("{} is {problem}", quoted(budget.source.slice(value.span())));
    MigrationError::BadBudget { at: budget.place(key), key, problem }
}

fn changes(top: &Fields<'_>) -> Result<Vec<Change>, MigrationError> {
    let Some(value) = top.value("change") else {
        return Err(MigrationError::NoChange { at: top.place("change") });
    };
    let DeValue::Array(sections) = value.get_ref() else {
        return Err(top.wrong_type("change", "a list of sections", value));
    };
    if sections.is_empty() {
        return Err(MigrationError::NoChange { at: top.place("change") });
    }
    if let Some(extra) = sections.get(CHANGES_MAX) {
        let at = top.source.place(Some(extra.span().start));
        return Err(MigrationError::TooManyChanges { at, changes_max: CHANGES_MAX });
    }
    let mut changes = Vec::with_capacity(sections.len());
    for section in sections {
        let DeValue::Table(table) = section.get_ref() else {
            return Err(top.wrong_type("change", "a list of sections", section));
        };
        let header = section.span().start;
        let fields = Fields { source: top.source, section: Section::Change, table, header };
        let change = parse_column::change(&fields)?;
        between::check(&fields, &changes, &change)?;
        changes.push(change);
    }
    Ok(changes)
}
