//! `advance`: one mode forward, with every condition of the gate.

use std::fmt::Write;

use super::args::AdvanceArgs;
use super::progress::Show;
use super::{Context, Failure, exit, next, output, units, which};
use crate::engine::{self, AdvanceOptions, AdvanceReport, Outcome};
use crate::phase::gate::Condition;
use crate::state::Mode;

/// Runs the command.
///
/// # Errors
/// [`Failure`]; the same command can be repeated.
pub fn run(args: &AdvanceArgs, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let options = args.tuning.resolve(&context.cancel);
    let asked = AdvanceOptions {
        to: args.to.into(),
        fleet: args.fleet.clone(),
        alone: args.alone,
        percent: args.percent,
        export: args.export.clone(),
        no_export: args.no_export,
    };
    let show = Show::new(context.voice, &context.bars);
    let result = engine::advance(&args.one.db.db, &migration, &asked, &options, &show);
    show.finish();
    let report = result?;
    if context.voice.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report, args))?;
    }
    Ok(if report.gate { exit::of(report.outcome) } else { exit::GATE })
}

fn text(report: &AdvanceReport, args: &AdvanceArgs) -> String {
    let db = &args.one.db.db;
    let id = &report.migration;
    let mut text = conditions(&report.conditions);
    let moved = match (report.gate, report.outcome) {
        (false, _) => {
            format!("{id}: still in {}: the gate to {} does not hold\n", report.mode, report.to)
        }
        (true, Outcome::Complete) if !report.advanced && report.compaction.is_none() => {
            format!("{id}: in {} already\n", report.mode)
        }
        (true, Outcome::Complete) => format!("{id}: {} -> {}\n", report.from, report.mode),
        (true, _) => format!(
            "{id}: in {}, not done: {}\n  next  {} continues\n",
            report.mode,
            report.reason.as_deref().unwrap_or_default(),
            next("advance", &args.one.migration, db)
        ),
    };
    text.push_str(&moved);
    if report.advanced && report.to == Mode::ReadNewWriteNew {
        let _ = writeln!(
            text,
            "  next  `dotfill export {} --db {} --snapshot FILE` writes what refused clients resync \
             from",
            args.one.migration,
            db.display()
        );
    }
    if args.percent.is_some() && report.advanced {
        let _ = writeln!(
            text,
            "  the epoch of {} % of the objects is closed; {} joined",
            report.cohort_percent,
            units::count(report.objects_joined)
        );
    }
    if let Some(done) = &report.compaction {
        let _ = writeln!(
            text,
            "  {} rows of the old form removed, {} kept{}",
            units::count(done.rows_removed),
            units::count(done.rows_exported),
            done.export.as_ref().map(|path| format!(" in {}", path.display())).unwrap_or_default()
        );
    }
    text
}

/// Each condition with its evidence, and what helps where it fails.
pub(super) fn conditions(conditions: &[Condition]) -> String {
    let width = conditions.iter().map(|condition| condition.name.len()).max().unwrap_or(0);
    conditions
        .iter()
        .map(|Condition { name, holds, evidence, remedy }| {
            let mark = if *holds { "ok  " } else { "FAIL" };
            let remedy = remedy.as_ref().map(|remedy| format!("        -> {remedy}\n"));
            format!("  {mark}  {name:width$}  {evidence}\n{}", remedy.unwrap_or_default())
        })
        .collect()
}
