//! `quarantine`: what was refused, and what an operator makes of it.

use std::fmt::Write;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::admit::decision_line;
use super::args::{
    QuarantineArgs, QuarantineCommand, QuarantineDropArgs, QuarantineListArgs, QuarantineSettleArgs,
};
use super::{Context, Failure, exit, output, units, which};
use crate::admit::{Admission, Admitted, Settled};
use crate::db::{self, Access};
use crate::engine::{self, HeldSettled, HeldVerdict};
use crate::monitor::Quiet;
use crate::state::{self, QuarantineFilter, QuarantineRow};

/// Rows that are read at a time.
const PAGE: u32 = 500;
/// Buffered operations that one transaction gives up.
const DROPPED_AT_A_TIME: usize = 200;

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit code 2 where there is nothing to do it to.
pub fn run(args: &QuarantineArgs, context: &Context) -> Result<u8, Failure> {
    match &args.command {
        QuarantineCommand::List(args) => list(args, context.voice.json),
        QuarantineCommand::Export(args) => export(args),
        QuarantineCommand::Replay(args) => settle(args, Verb::Replay),
        QuarantineCommand::Drop(args) if args.buffered => drop_buffered(&args.db.db),
        QuarantineCommand::Drop(args) => {
            let QuarantineDropArgs { ids, all, buffered: _, migration, db } = args.clone();
            settle(&QuarantineSettleArgs { ids, all, migration, db }, Verb::Drop)
        }
    }
}

fn filter(args: &QuarantineListArgs) -> Result<QuarantineFilter, Failure> {
    Ok(QuarantineFilter {
        migration: args.migration.as_deref().map(which::id).transpose()?,
        waiting_only: !args.all,
    })
}

fn list(args: &QuarantineListArgs, json: bool) -> Result<u8, Failure> {
    let conn = db::open(&args.db.db, Access::Read)?;
    let filter = filter(args)?;
    let total = QuarantineRow::count(&conn, &filter)?;
    let rows = QuarantineRow::page(&conn, &filter, 0, args.limit)?;
    let buffered = state::buffered_operations(&conn, None)?;
    if json {
        output::print_json(&json!({"rows_total": total, "rows": rows, "buffered": buffered}))?;
        return Ok(exit::DONE);
    }
    let db = args.db.db.display();
    let mut text = String::new();
    for row in &rows {
        text += &line(row);
    }
    let more = total.saturating_sub(rows.len() as u64);
    if more > 0 {
        let more = units::count(more);
        let _ = writeln!(text, "and {more} more: `dotfill quarantine export --db {db}` has all");
    }
    if total == 0 {
        text = format!("{db}: nothing is in quarantine\n");
    }
    if buffered > 0 {
        let _ = writeln!(text, "buffered operations: {}", units::count(buffered));
    }
    output::print(&text)?;
    Ok(exit::DONE)
}

/// One row for people.
fn line(row: &QuarantineRow) -> String {
    let text = |key: &str| row.detail[key].as_str().unwrap_or_default().to_owned();
    // Of an old-format write: what it was, and how its elements stand.
    let values = |key: &str| match &row.detail[key] {
        Value::Null => String::new(),
        Value::Array(values) if values.is_empty() => String::new(),
        other => other.to_string(),
    };
    let lines = [
        ("object", row.object.to_string()),
        ("why", text("message")),
        ("action", text("action")),
        ("wrote", values("source")),
        ("new", values("new")),
        ("removed", values("removed")),
        ("known", values("known")),
        ("flaws", values("flaws")),
    ];
    let lines: Vec<(&str, String)> =
        lines.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    format!(
        "{}  {}  {}  {}, {} ({})\n{}",
        row.id,
        row.at,
        row.migration.as_deref().unwrap_or("-"),
        row.source.as_str(),
        row.reason,
        row.status.as_str(),
        output::aligned(&lines)
    )
}

/// All rows as JSON lines, oldest first.
fn export(args: &QuarantineListArgs) -> Result<u8, Failure> {
    let conn = db::open(&args.db.db, Access::Read)?;
    let filter = filter(args)?;
    each(&conn, &filter, |rows| {
        let lines: Vec<String> = rows.iter().map(|row| format!("{}\n", json!(row))).collect();
        output::print_through(&lines.concat())
    })?;
    Ok(exit::DONE)
}

/// Hands over all rows, some at a time; a row that is settled meanwhile does not come twice.
fn each(
    conn: &Connection,
    filter: &QuarantineFilter,
    mut body: impl FnMut(&[QuarantineRow]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let rows = QuarantineRow::page(conn, filter, after, PAGE)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.id;
        body(&rows)?;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Replay,
    Drop,
}

impl Verb {
    /// What it means for an old-format write that has arrived.
    fn of_a_write(self) -> HeldVerdict {
        match self {
            Self::Replay => HeldVerdict::Replay,
            Self::Drop => HeldVerdict::Drop,
        }
    }
}

/// Replays or drops rows; the decisions that change by it are JSON lines on standard output. Exit
/// code 1 where one could not be.
fn settle(args: &QuarantineSettleArgs, verb: Verb) -> Result<u8, Failure> {
    let mut admission = Admission::of_quarantine(&args.db.db, &Quiet)?;
    let (mut done, mut failed) = (0_u64, 0_u64);
    let mut one = |id: i64| -> Result<(), Failure> {
        let settled = match engine::settle_held(&args.db.db, id, verb.of_a_write())? {
            HeldSettled::Done { .. } => Settled::Done(Vec::new()),
            HeldSettled::Before(status) => Settled::Before(status),
            HeldSettled::NotAWrite if verb == Verb::Replay => admission.replay(id)?,
            HeldSettled::NotAWrite => admission.give_up(id)?,
        };
        *if report(id, &settled)? { &mut done } else { &mut failed } += 1;
        if let Settled::Done(decisions) = &settled {
            admission.announced(decisions)?;
        }
        Ok(())
    };
    if args.all {
        let conn = db::open(&args.db.db, Access::Read)?;
        let migration = args.migration.as_deref().map(which::id).transpose()?;
        let filter = QuarantineFilter { migration, waiting_only: true };
        each(&conn, &filter, |rows| rows.iter().try_for_each(|row| one(row.id)))?;
    } else {
        args.ids.iter().try_for_each(|id| one(*id))?;
    }
    let word = if verb == Verb::Replay { "replayed" } else { "dropped" };
    let mut text = format!("{} {word}", units::count(done));
    if failed > 0 {
        let _ = write!(text, "; {} not", units::count(failed));
    }
    output::explain(&format!("{text}\n"))?;
    Ok(if failed == 0 { exit::DONE } else { exit::FAILED })
}

/// Rejects whatever waits in the buffer.
fn drop_buffered(db: &Path) -> Result<u8, Failure> {
    let mut admission = Admission::of_quarantine(db, &Quiet)?;
    let mut dropped = 0_u64;
    loop {
        let decisions = admission.give_up_buffered(DROPPED_AT_A_TIME)?;
        if decisions.is_empty() {
            break;
        }
        dropped += decisions.len() as u64;
        let lines: Vec<String> = decisions.iter().map(printed).collect();
        output::print_through(&lines.concat())?;
        admission.announced(&decisions)?;
    }
    output::explain(&format!("{} dropped\n", units::count(dropped)))?;
    Ok(exit::DONE)
}

/// Says what became of one row; true where it waits no more.
fn report(id: i64, settled: &Settled) -> Result<bool, Failure> {
    let why = match settled {
        Settled::Done(decisions) => {
            let lines: Vec<String> = decisions.iter().map(printed).collect();
            output::print_through(&lines.concat())?;
            return Ok(true);
        }
        Settled::StillRefused(one) => {
            output::print_through(&printed(one))?;
            "it is refused again, and waits as before".to_owned()
        }
        Settled::Before(status) => format!("it was {} before", status.as_str()),
        Settled::NotReplayable(why) => (*why).to_owned(),
        Settled::Unknown => "there is no such row".to_owned(),
    };
    output::explain(&format!("row {id}: {why}\n"))?;
    Ok(false)
}

fn printed(one: &Admitted) -> String {
    format!("{}\n", decision_line(one, None))
}
