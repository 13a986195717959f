//! `verify`: the local proof, made again, and the comparison with another replica.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;

use super::args::VerifyArgs;
use super::progress::Show;
use super::{Context, Failure, against, exit, output, units, which};
use crate::engine::{
    self, CompareOptions, Comparison, Difference, Held, LookOptions, RowVerdict, Verdict,
    VerifyReport,
};

/// Runs the command.
///
/// # Errors
/// [`Failure`]; nothing is written to a database in any case.
pub fn run(args: &VerifyArgs, context: &Context) -> Result<u8, Failure> {
    let db = &args.one.db.db;
    let migration = which::migration(&args.one)?;
    let other = args.against.as_deref().map(against::resolve).transpose()?;
    let (threads, cancel) = (args.threads, Arc::clone(&context.cancel));
    let show = Show::new(context.voice, &context.bars);
    let result = match &other {
        None => {
            let options = LookOptions { threads, integrity: args.integrity, cancel };
            engine::verify(db, &migration, &options, &show)
        }
        Some(other) => {
            let diff = args.diff.clone();
            let options = CompareOptions { threads, diff, cancel, ..CompareOptions::default() };
            engine::verify_against(db, &migration, other, &options, &show)
        }
    };
    show.finish();
    let report = result?;
    if context.voice.json {
        output::print_json(&report)?;
    } else {
        output::print(&render(&report))?;
    }
    Ok(match report.verdict {
        Verdict::Equal => exit::DONE,
        Verdict::Diverged => exit::DIVERGED,
        Verdict::Inconclusive => exit::FAILED,
    })
}

fn render(report: &VerifyReport) -> String {
    let mut text = format!(
        "{}: {}; {} rows compared in {}, {} differ\n",
        report.migration,
        report.verdict,
        units::count(report.rows_compared),
        units::seconds(report.seconds),
        units::count(report.rows_different)
    );
    if let Some(reason) = &report.reason {
        let _ = writeln!(text, "  {reason}");
    }
    for change in &report.changes {
        for example in &change.examples {
            let _ = writeln!(text, "  {}: row ({example})", change.table);
        }
    }
    for change in &report.changes {
        if let Some(index) = change.index.as_ref().filter(|index| index.problem.is_none()) {
            let looked = if index.integrity { "every row was looked up in it" } else { "counted" };
            let entries = units::count(index.entries);
            let _ = writeln!(text, "  index {}: {entries} entries, {looked}", change.column);
        }
        if let Some(set) = &change.set {
            let _ = writeln!(text, "  {}: {} migrated adds", change.table, units::count(set.adds));
            for (flaw, count) in &set.malformed {
                let count = units::count(*count);
                let _ = writeln!(text, "  {}: {count} malformed: {flaw}", change.table);
            }
            for example in &set.malformed_examples {
                let _ = writeln!(text, "  {}: row {example}", change.table);
            }
        }
    }
    if report.rows_pending > 0 {
        let pending = units::count(report.rows_pending);
        let _ = writeln!(text, "  {pending} rows are noted and will be derived again");
    }
    if let Some(comparison) = &report.comparison {
        render_comparison(comparison, &mut text);
    }
    text
}

fn render_comparison(comparison: &Comparison, text: &mut String) {
    let least = if comparison.in_flight_is_lower_bound { "at least " } else { "" };
    let _ = writeln!(
        text,
        "  against {}: {} rows there; {least}{} in flight, {least}{} diverged",
        comparison.against,
        units::count(comparison.rows_there),
        units::count(comparison.rows_in_flight),
        units::count(comparison.rows_diverged)
    );
    for note in &comparison.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    for difference in &comparison.differences {
        let _ = writeln!(text, "  {}", line(difference));
    }
}

fn line(difference: &Difference) -> String {
    let verdict = match difference.verdict {
        RowVerdict::Diverged => "diverged",
        RowVerdict::InFlight => "in flight",
    };
    let (table, key) = (&difference.table, &difference.key_sql);
    let side = |held: &Option<Held>| match held {
        None => "no such row".to_owned(),
        Some(held) => {
            let cell = (&difference.column, &held.cell);
            let all = std::iter::once(cell).chain(&held.sources);
            all.map(|(name, value): (&String, &Value)| format!("{name} = {value}"))
                .collect::<Vec<_>>()
                .join(", ")
        }
    };
    format!(
        "{table}: row ({key}) {verdict}: here {}; there {}",
        side(&difference.here),
        side(&difference.there)
    )
}
