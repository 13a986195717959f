//! One section of the file, read key by key. Owns the checks that every key shares: that it is
//! known, that it is there, that its value has the right TOML type.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::change::KeyLines;
use super::error::{MigrationError, Place, Section, quoted};
use super::file::Source;
use super::nearest::nearest;

/// The keys that mean something at the top of the file.
pub(super) const TOP_KEYS: &[&str] = &["id", "epoch", "minimum_client", "budget", "change"];
/// The keys of `[budget]`.
pub(super) const BUDGET_KEYS: &[&str] = &["change_records_per_row_max", "wire_bytes_max"];
/// The keys of a `[[change]]` with `kind = "column"`.
pub(super) const COLUMN_KEYS: &[&str] = &[
    "kind",
    "table",
    "column",
    "type",
    "value",
    "where",
    "delivery",
    "fill_null",
    "writable",
    "on_error",
    "on_failure",
];

/// The keys of a `[[change]]` with `kind = "or_set"`.
pub(super) const OR_SET_KEYS: &[&str] = &[
    "kind",
    "table",
    "source",
    "format",
    "source_table",
    "source_key",
    "element",
    "adds",
    "removes",
    "view",
    "old_writes",
    "malformed",
    "on_failure",
];

/// The keys of a `[[change]]` with `kind = "index"`.
pub(super) const INDEX_KEYS: &[&str] =
    &["kind", "name", "table", "columns", "expressions", "where", "unique", "on_failure"];

/// A section's table, with what messages need to know about it.
pub(super) struct Fields<'a> {
    /// The file.
    pub(super) source: &'a Source<'a>,
    /// Which section this is.
    pub(super) section: Section,
    /// Its keys and values.
    pub(super) table: &'a DeTable<'a>,
    /// The offset of its header.
    pub(super) header: usize,
}

impl<'a> Fields<'a> {
    /// The place of `key`, or of the header when the key is absent.
    pub(super) fn place(&self, key: &str) -> Place {
        let entry = self.table.get_key_value(key);
        let offset = entry.map_or(self.header, |(key, _)| key.span().start);
        self.source.place(Some(offset))
    }

    /// The lines of the header and of each key.
    pub(super) fn lines(&self) -> KeyLines {
        let line = |key: &Spanned<_>| self.source.line(key.span().start);
        let keys: BTreeMap<String, u64> =
            self.table.keys().map(|key| (key.get_ref().to_string(), line(key))).collect();
        KeyLines { header: Some(self.source.line(self.header)), keys }
    }

    /// Refuses the first key, in file order, that is not one of `known`.
    pub(super) fn refuse_unknown(&self, known: &[&str]) -> Result<(), MigrationError> {
        let unknown = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        Err(MigrationError::UnknownKey {
            at: self.source.place(Some(key.span().start)),
            key: key.get_ref().to_string(),
            section: self.section,
            hint: key_hint(key.get_ref(), known),
        })
    }

    /// The value of `key`, if it is there.
    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// The text of `key`, if it is there.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<&'a str>, MigrationError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let text = value.get_ref().as_str();
        text.map(Some).ok_or_else(|| self.wrong_type(key, "a string", value))
    }

    /// The text of `key`, which must be there.
    pub(super) fn required(
        &self,
        key: &'static str,
        example: &'static str,
    ) -> Result<&'a str, MigrationError> {
        self.text(key)?.ok_or_else(|| MigrationError::MissingKey {
            at: self.place(key),
            key,
            section: self.section,
            example,
        })
    }

    /// The texts of the array `key`, if it is there; `want` is what messages call such an array.
    pub(super) fn texts(
        &self,
        key: &'static str,
        want: &'static str,
    ) -> Result<Option<Vec<&'a str>>, MigrationError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let array = value.get_ref().as_array();
        let texts: Option<Vec<&str>> =
            array.and_then(|array| array.iter().map(|item| item.get_ref().as_str()).collect());
        texts.map(Some).ok_or_else(|| self.wrong_type(key, want, value))
    }

    /// Whether `key` is true; `default` when it is absent.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> Result<bool, MigrationError> {
        let Some(value) = self.value(key) else {
            return Ok(default);
        };
        let flag = value.get_ref().as_bool();
        flag.ok_or_else(|| self.wrong_type(key, "true or false", value))
    }

    /// The word of `key` among `choices`; `None` when the key is absent.
    pub(super) fn word<T: Copy>(
        &self,
        key: &'static str,
        choices: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, MigrationError> {
        let Some(got) = self.text(key)? else {
            return Ok(None);
        };
        let choice = choices.iter().copied().find(|choice| name(*choice) == got);
        choice.map(Some).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().copied().map(&name).collect();
            self.unknown_word(key, got, &words)
        })
    }

    /// The error for a word that is none of `words`.
    pub(super) fn unknown_word(
        &self,
        key: &'static str,
        got: &str,
        words: &[&str],
    ) -> MigrationError {
        let hint = match nearest(got, words) {
            Some(word) => format!("did you mean {word:?}?"),
            None => format!("write one of {}", words.join(", ")),
        };
        MigrationError::UnknownWord { at: self.place(key), key, got: got.to_owned(), hint }
    }

    /// The error for a value of `key` that is not `want`.
    pub(super) fn wrong_type(
        &self,
        key: &'static str,
        want: &'static str,
        value: &Spanned<DeValue<'_>>,
    ) -> MigrationError {
        MigrationError::WrongType {
            at: self.place(key),
            key,
            want,
            got: type_words(value.get_ref()),
            remedy: self.type_remedy(key, want, value),
        }
    }

    fn type_remedy(&self, key: &str, want: &'static str, value: &Spanned<DeValue<'_>>) -> String {
        if want != "a string" {
            return format!("write {}", example(key));
        }
        let raw = self.source.slice(value.span());
        let is_sql = matches!(key, "value" | "where");
        match value.get_ref() {
            DeValue::Array(_) | DeValue::Table(_) => format!("write one string: {key} = \"...\""),
            DeValue::Datetime(_) if is_sql => {
                format!("write SQL in a string: {key} = {}", quoted(&format!("'{raw}'")))
            }
            _ if is_sql => format!("write SQL in a string: {key} = {}", quoted(raw)),
            _ => format!("write it in quotes: {key} = {}", quoted(raw)),
        }
    }
}

/// What to do about an unknown key.
fn key_hint(key: &str, known: &[&str]) -> String {
    if let Some(key) = nearest(key, known) {
        return format!("did you mean {key:?}?");
    }
    if TOP_KEYS.contains(&key) {
        return "move it to the top of the file, before the first [header]".to_owned();
    }
    if BUDGET_KEYS.contains(&key) {
        return "move it under [budget]".to_owned();
    }
    if [COLUMN_KEYS, OR_SET_KEYS, INDEX_KEYS].iter().any(|keys| keys.contains(&key)) {
        return "move it under a [[change]] header".to_owned();
    }
    format!("the keys here are {}", known.join(", "))
}

/// How a value of the keys that are no strings is written.
fn example(key: &str) -> &'static str {
    match key {
        "change" => "[[change]], with two brackets on each side",
        "budget" => "[budget] on a line of its own",
        "fill_null" => "fill_null = true or fill_null = false",
        "writable" => "writable = true or writable = false",
        "unique" => "unique = true or unique = false",
        "columns" => "columns = [\"a column\"]",
        "expressions" => "expressions = [\"an SQL expression\"]",
        "source_key" => "source_key = [\"a column\"]",
        "change_records_per_row_max" => "a number such as change_records_per_row_max = 1.0",
        _ => "a size such as wire_bytes_max = \"64MiB\"",
    }
}

fn type_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
