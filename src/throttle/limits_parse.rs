//! From the text of a limits file to a [`Tuning`]: the keys, their types and their bounds.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::TuningError;
use super::tuning::{RECORDS_PER_TRANSACTION_MAX, Tuning};
use super::window::Window;
use crate::migration::{Place, parse_bytes};

/// The keys, named like the flags.
const KEYS: [&str; 11] = [
    "threads",
    "hold-ms",
    "batch-rows-max",
    "records-per-transaction",
    "rows-per-second",
    "bytes-per-second",
    "wal-bytes-max",
    "pause-file",
    "pause-when",
    "window",
    "stage",
];

/// What `text` says, and `base` where it says nothing; `path` is only named in messages.
///
/// Where the flags already lift the bound of `records-per-transaction`, the file may go as far.
pub(super) fn limits(text: &str, path: &Path, base: &Tuning) -> Result<Tuning, TuningError> {
    let file = LimitsText { text, path };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map(|span| span.start);
        file.problem(offset, format!("not valid TOML: {}; correct it", error.message()))
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut tuning = base.clone();
    for (key, value) in &entries {
        let name = key.get_ref().as_ref();
        set(&mut tuning, name, value.get_ref())
            .map_err(|problem| file.problem(Some(key.span().start), problem))?;
    }
    let records_max = base.records_per_transaction.max(RECORDS_PER_TRANSACTION_MAX);
    tuning.validate_lifted(records_max).map_err(|error| {
        let TuningError::Flag { flag, problem } = error else {
            return error;
        };
        match entries.iter().find(|(key, _)| key.get_ref().as_ref() == flag) {
            Some((key, _)) => file.problem(Some(key.span().start), format!("{flag} {problem}")),
            None => TuningError::Flag { flag, problem },
        }
    })?;
    Ok(tuning)
}

/// Sets one key, or says what is wrong with it.
fn set(tuning: &mut Tuning, key: &str, value: &DeValue<'_>) -> Result<(), String> {
    match key {
        "threads" => {
            let threads = count(key, value)?;
            tuning.threads = usize::try_from(threads).unwrap_or(usize::MAX);
        }
        "hold-ms" => tuning.hold_ms = count(key, value)?,
        "batch-rows-max" => tuning.batch_rows_max = count(key, value)?,
        "records-per-transaction" => tuning.records_per_transaction = count(key, value)?,
        "rows-per-second" => tuning.rows_per_second = Some(count(key, value)?),
        "bytes-per-second" => tuning.bytes_per_second = Some(bytes(key, value)?),
        "wal-bytes-max" => tuning.wal_bytes_max = bytes(key, value)?,
        "pause-file" => tuning.pause_file = Some(PathBuf::from(text(key, value)?)),
        "pause-when" => tuning.pause_when = Some(text(key, value)?.to_owned()),
        "window" => tuning.window = Some(window(text(key, value)?)?),
        "stage" => tuning.stage_percent = Some(percent(key, value)?),
        _ => return Err(unknown(key)),
    }
    Ok(())
}

fn unknown(key: &str) -> String {
    let dashed = key.to_ascii_lowercase().replace('_', "-");
    let hint = match KEYS.iter().find(|known| **known == dashed) {
        Some(known) => format!("did you mean {known}?"),
        None => format!("the keys are {}", KEYS.join(", ")),
    };
    format!("unknown key {key:?}; {hint}")
}

fn count(key: &str, value: &DeValue<'_>) -> Result<u64, String> {
    whole(value).ok_or_else(|| format!("{key} must be a whole number, 0 or more"))
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn bytes(key: &str, value: &DeValue<'_>) -> Result<u64, String> {
    if let DeValue::String(text) = value {
        return parse_bytes(text).map_err(|problem| format!("{key}: {problem}"));
    }
    whole(value).ok_or_else(|| format!("{key} must be a size such as \"64MiB\""))
}

fn percent(key: &str, value: &DeValue<'_>) -> Result<f64, String> {
    let digits = match value {
        DeValue::Float(float) => float.as_str(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        _ => "",
    };
    let number = digits.parse::<f64>();
    number.map_err(|_| format!("{key} must be a number of percent, such as 10 or 0.5"))
}

fn text<'a>(key: &str, value: &'a DeValue<'_>) -> Result<&'a str, String> {
    let text = value.as_str();
    text.ok_or_else(|| format!("{key} must be a text in quotes: {key} = \"...\""))
}

fn window(text: &str) -> Result<Window, String> {
    text.parse::<Window>().map_err(|error| format!("window: {error}"))
}

struct LimitsText<'a> {
    text: &'a str,
    path: &'a Path,
}

impl LimitsText<'_> {
    /// A problem with the line that holds the byte at `offset`.
    fn problem(&self, offset: Option<usize>, problem: String) -> TuningError {
        let before = offset.and_then(|offset| self.text.get(..offset));
        let line = before.map(|before| before.matches('\n').count() as u64 + 1);
        TuningError::File { at: Place { path: self.path.to_owned(), line }, problem }
    }
}
