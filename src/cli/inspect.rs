//! `inspect`: what deltas hold, and whether they are whole.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::InspectArgs;
use super::progress::Show;
use super::{Context, Failure, exit, output, units};
use crate::db::quote::ident;
use crate::delta::{ChangeSurvey, ImpliedRange, Survey, survey};
use crate::monitor::{Monitor, Progress, Stage};

/// How often progress is shown at most.
const SHOW: Duration = Duration::from_millis(100);

/// Runs the command: exit code 0 where the deltas are whole, 1 where they are not.
///
/// # Errors
/// [`Failure`] where there is nothing that could be read.
pub fn run(args: &InspectArgs, context: &Context) -> Result<u8, Failure> {
    let show = Show::new(context.voice, &context.bars);
    let mut progress = Progress { phase: Stage::Inspecting, ..Progress::default() };
    let mut shown: Option<Instant> = None;
    let mut go_on = |found: &Survey| {
        if shown.is_none_or(|at| at.elapsed() >= SHOW) {
            shown = Some(Instant::now());
            progress.rows_done = found.changes.iter().map(|change| change.rows).sum();
            show.progress(&progress);
        }
        !context.cancel.load(Ordering::Relaxed)
    };
    let result = survey(&args.path, args.rows, &mut go_on);
    show.finish();
    let found = result.map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let Some(found) = found else {
        let message = "interrupted while inspecting; nothing was written";
        return Err(Failure::new(exit::RESUMABLE, message).with("outcome", "interrupted"));
    };
    if context.voice.json {
        output::print_json(&machine(&args.path, &found))?;
    } else {
        output::print(&people(&args.path, &found, args.rows))?;
    }
    Ok(if found.whole { exit::DONE } else { exit::FAILED })
}

fn machine(path: &Path, found: &Survey) -> serde_json::Value {
    let mut value = json!(found);
    value["path"] = json!(path.display().to_string());
    value["bytes_per_row"] = json!(per_row(found.bytes, found.rows));
    value["facts"] = found.facts.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    for (change, survey) in found.changes.iter().enumerate() {
        let target = &mut value["changes"][change];
        target["bytes_per_row"] = json!(per_row(survey.bytes, survey.rows));
        for (i, column) in survey.columns.iter().enumerate() {
            target["columns"][i]["bytes_per_row"] = json!(per_row(column.bytes, survey.rows));
        }
    }
    value
}

/// Bytes of each row; `None` without rows.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn per_row(bytes: u64, rows: u64) -> Option<f64> {
    (rows > 0).then(|| (bytes as f64 / rows as f64 * 100.0).round() / 100.0)
}

fn people(path: &Path, found: &Survey, rows: u64) -> String {
    let mut out = match (&found.migration, found.scope) {
        (Some(id), Some("some")) => format!("{}: {id}, some of its rows\n", path.display()),
        (Some(id), _) => format!("{}: {id}\n", path.display()),
        (None, _) => format!("{}\n", path.display()),
    };
    let state = match &found.problem {
        None => "whole".to_owned(),
        Some(problem) => format!("NOT whole: {problem}"),
    };
    let mut lines = vec![("chain", state)];
    if found.files > 0 {
        lines.push(("holds", size(found)));
    }
    lines.extend(found.digest.clone().map(|digest| ("digest", digest)));
    lines.extend(
        found.tool_version.iter().zip(&found.sqlite_version).map(|(tool, sqlite)| {
            ("made by", format!("dotfill {tool}, values by SQLite {sqlite}"))
        }),
    );
    out.push_str(&output::aligned(&lines));
    for (name, value) in &found.facts {
        let _ = writeln!(out, "  {name}: {value}");
    }
    for (i, change) in found.changes.iter().enumerate() {
        out.push_str(&describe(change));
        for range in change.implied.iter().zip(0..rows).map(|(range, _)| range) {
            out.push_str(&implied(range));
        }
        for row in found.examples.iter().filter(|row| row.change == i) {
            let key =
                if row.implied { "the receiver's key".to_owned() } else { row.key.join(", ") };
            let _ = writeln!(out, "    ({key}) = {}", row.value);
        }
    }
    out
}

fn size(found: &Survey) -> String {
    format!(
        "{} rows in {} segments, {}{}",
        units::count(found.rows),
        units::count(found.segments),
        units::bytes(found.bytes),
        each(found.bytes, found.rows)
    )
}

/// `, 4.93 B a row`.
fn each(bytes: u64, rows: u64) -> String {
    per_row(bytes, rows).map_or_else(String::new, |each| format!(", {each:.2} B a row"))
}

/// One block without keys.
fn implied(range: &ImpliedRange) -> String {
    let key = |key: &[String]| if key.is_empty() { "..".to_owned() } else { key.join(", ") };
    format!(
        "    segment {}, block {}: the receiver's keys from ({}) through ({}), {} with a value, {} \
         without, {}\n",
        range.segment,
        range.block,
        key(&range.first),
        key(&range.last),
        units::count(range.rows),
        units::count(range.rows_absent),
        units::bytes(range.bytes)
    )
}

fn describe(change: &ChangeSurvey) -> String {
    let what = if change.sets {
        let (objects, elements) = (units::count(change.rows), units::count(change.elements));
        format!("sets of {objects} objects with {elements} elements")
    } else {
        let (rows, null) = (units::count(change.rows), units::count(change.rows_null));
        format!("{rows} rows, {null} of them NULL")
    };
    let mut out = format!(
        "\n{}.{}: {what}, in {} blocks, {}{}\n",
        ident(&change.table),
        ident(&change.column),
        units::count(change.blocks),
        units::bytes(change.bytes),
        each(change.bytes, change.rows)
    );
    if change.rows_again > 0 {
        let _ = writeln!(out, "  {} of them again, the last wins", units::count(change.rows_again));
    }
    if change.rows_implied > 0 {
        let _ = writeln!(
            out,
            "  {} rows without their keys, which the receiver must have: {} blocks, {}",
            units::count(change.rows_implied),
            units::count(change.blocks_implied),
            units::bytes(change.bytes_implied)
        );
    }
    if change.rows > 0 {
        let columns: u64 = change.columns.iter().map(|column| column.bytes).sum();
        let mut parts: Vec<(String, u64)> =
            change.columns.iter().map(|column| (ident(&column.name), column.bytes)).collect();
        parts.push(("headers and digests".to_owned(), change.bytes.saturating_sub(columns)));
        let lines: Vec<(&str, String)> = parts
            .iter()
            .map(|(name, bytes)| {
                (name.as_str(), format!("{}{}", units::bytes(*bytes), each(*bytes, change.rows)))
            })
            .collect();
        out.push_str(&output::aligned(&lines));
    }
    out
}
