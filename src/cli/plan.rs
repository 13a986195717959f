//! The plan as people read it: a table of ways, and what the numbers leave out.

use std::fmt::Write;

use super::units;
use crate::db::quote::ident;
use crate::plan::{ChangePlan, Cost, Estimate, IndexPlan, Plan, SetPlan, UserTrigger};

/// Columns of a terminal that the text fits into.
const WIDTH: usize = 100;

/// Widths of the table's columns: the way, then records, disk, wire, WAL, time.
const COLUMNS: [usize; 6] = [16, 25, 9, 9, 9, 12];

/// The plan, as lines of at most 100 columns.
#[must_use]
pub fn render(plan: &Plan) -> String {
    let mut out = String::new();
    let replicas = match plan.replicas {
        1 => "one replica (--replicas N for the fleet)".to_owned(),
        n => format!("{} replicas", units::count(n)),
    };
    wrap(&mut out, "", &format!("{} on {}, {replicas}", plan.migration, plan.database));
    for change in &plan.changes {
        out.push('\n');
        render_change(&mut out, change, plan.replicas);
    }
    for index in &plan.indexes {
        out.push('\n');
        render_index(&mut out, index);
    }
    out
}

fn render_index(out: &mut String, index: &IndexPlan) {
    let cost = &index.cost;
    let headline = format!(
        "index {} of {} ({}): {} rows{}",
        ident(&index.name),
        ident(&index.table),
        if index.exists { "exists" } else { "new" },
        units::count(cost.rows),
        if index.replicated { ", replicated by cr-sqlite" } else { "" },
    );
    wrap(out, "", &headline);
    wrap(out, "  ", &index.sql);
    let what = if index.exists {
        "there already with this definition: a run counts its entries, and builds nothing"
            .to_owned()
    } else {
        format!(
            "one transaction: holds the write lock for about {}, estimated from {} of the rows, built \
             here and now; {} of disk, {} of WAL{}",
            units::seconds(cost.lock_seconds),
            units::count(cost.sample_rows),
            units::bytes(cost.file_bytes),
            units::bytes(cost.wal_bytes),
            match cost.temp_bytes {
                0 => String::new(),
                bytes => format!(", {} of temporary files", units::bytes(bytes)),
            }
        )
    };
    wrap(out, "  ", &what);
    section(out, "owes:", &index.owes);
}

fn render_change(out: &mut String, change: &ChangePlan, replicas: u64) {
    wrap(out, "", &headline(change));
    wrap(out, "  ", &format!("{}: {}", change.delivery, change.why));
    out.push('\n');
    let head = ["", "change records", "disk", "wire", "WAL", "time"].map(str::to_owned);
    line(out, ' ', &head);
    for cost in &change.costs {
        render_cost(out, cost);
    }
    out.push('\n');
    wrap(out, "  ", &legend(change, replicas));
    let triggers: Vec<String> = change.triggers.iter().map(trigger).collect();
    match &change.set {
        None => section(out, "cells:", &cells(change)),
        Some(set) => section(out, "elements:", &elements(set)),
    }
    section(out, "owes:", &change.owes);
    section(out, "your triggers that would fire:", &triggers);
    section(out, "hints:", &change.hints);
}

fn headline(change: &ChangePlan) -> String {
    if let Some(set) = &change.set {
        return format!(
            "{}.{} as {}, {}, {}: {} objects of {} B, {} key{}",
            ident(&change.table),
            ident(&change.column),
            ident(&set.adds),
            ident(&set.removes),
            ident(&set.view),
            units::count(change.rows),
            units::count(change.row_bytes),
            change.key_kind,
            if change.replicated { ", replicated by cr-sqlite" } else { "" },
        );
    }
    format!(
        "{}.{} ({}): {} rows of {} B, {}, {}{}",
        ident(&change.table),
        ident(&change.column),
        if change.column_exists { "exists" } else { "new" },
        units::count(change.rows),
        units::count(change.row_bytes),
        match change.key_kind.as_str() {
            "integer" => "integer key".to_owned(),
            other => other.to_owned(),
        },
        match change.ranges {
            1 => "1 range".to_owned(),
            n => format!("{} ranges", units::count(n)),
        },
        if change.replicated { ", replicated by cr-sqlite" } else { "" },
    )
}

fn render_cost(out: &mut String, cost: &Cost) {
    let mark = if cost.chosen { '*' } else { ' ' };
    if let Some(why_not) = &cost.why_not {
        let start = out.len();
        let indent = " ".repeat(COLUMNS[0] + 4);
        wrap(out, &indent, why_not);
        let way = format!("{mark} {:<width$}  ", cost.way.as_str(), width = COLUMNS[0]);
        out.replace_range(start..start + indent.len(), &way);
        return;
    }
    let records = Estimate {
        about: cost.change_records,
        min: cost.change_records_min,
        max: cost.change_records_max,
    };
    line(
        out,
        mark,
        &[
            cost.way.as_str().to_owned(),
            estimate(&records),
            units::bytes(cost.disk_bytes),
            units::bytes(cost.wire_bytes),
            units::bytes(cost.wal_peak_bytes),
            units::seconds(cost.seconds),
        ],
    );
}

/// A count, with `~` where it is not known exactly.
fn estimate(estimate: &Estimate) -> String {
    let mark = if estimate.is_exact() { "" } else { "~" };
    format!("{mark}{}", units::count(estimate.about))
}

fn line(out: &mut String, mark: char, cells: &[String; 6]) {
    let mut text = format!("{mark} {:<width$}", cells[0], width = COLUMNS[0]);
    for (cell, width) in cells.iter().zip(COLUMNS).skip(1) {
        let _ = write!(text, "  {cell:>width$}");
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

fn legend(change: &ChangePlan, replicas: u64) -> String {
    let fleet = match replicas {
        1 => "Disk is this file's growth; nothing travels without --replicas.".to_owned(),
        n => format!(
            "Change records, disk and wire are sums over {} replicas, WAL and time are each \
             replica's own.",
            units::count(n)
        ),
    };
    let rows = if change.set.is_some() { "objects" } else { "rows" };
    format!(
        "* is what run does. {fleet} Measured on a sample of {} {rows}.",
        units::count(change.sample_rows)
    )
}

/// What is known of the cells, where not every one of them is filled and known.
fn cells(change: &ChangePlan) -> Vec<String> {
    let cells = &change.cells;
    let mut lines = Vec::new();
    let mut say = |what: &str, estimate: &Estimate| {
        let bounds = if estimate.is_exact() {
            String::new()
        } else {
            format!(
                " (between {} and {}; --exact counts)",
                units::count(estimate.min),
                units::count(estimate.max)
            )
        };
        lines.push(format!("{what}: {}{bounds}", self::estimate(estimate)));
    };
    say("to fill", &cells.to_fill);
    say("with a value other than NULL", &cells.with_value);
    if change.column_exists {
        say("users', left alone", &cells.users);
    }
    lines
}

/// What is known of the elements of a set.
fn elements(set: &SetPlan) -> Vec<String> {
    let how = if set.how == "counted" { "" } else { " (from the sample; --exact counts)" };
    let mut lines = vec![
        format!("in the old form: {}{how}", estimate(&set.elements)),
        format!("adds to write: {}{how}", estimate(&set.to_write)),
    ];
    for (what, count) in &set.flawed {
        lines.push(format!("malformed, {what}: {} seen", units::count(*count)));
    }
    lines
}

fn trigger(trigger: &UserTrigger) -> String {
    let names = |tables: &[String]| tables.iter().map(|t| ident(t)).collect::<Vec<_>>().join(", ");
    let mut text = ident(&trigger.name);
    if !trigger.writes.is_empty() {
        let _ = write!(text, " writes {}", names(&trigger.writes));
    }
    if !trigger.replicated.is_empty() {
        let _ = write!(
            text,
            "; {} is replicated: run refuses without --user-triggers allow",
            names(&trigger.replicated)
        );
    }
    text
}

fn section(out: &mut String, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = write!(out, "\n  {title}\n");
    for item in items {
        let start = out.len();
        wrap(out, "      ", item);
        out.replace_range(start..start + 6, "    - ");
    }
}

/// Breaks `text` at spaces into lines of at most 100 columns, each after `indent`.
fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > WIDTH {
            out.push('\n');
            width = 0;
        }
        if width == 0 {
            out.push_str(indent);
            width = indent.len();
        } else {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::migration::Migration;
    use crate::plan::{PlanOptions, plan};

    fn rendered(schema: &str, delivery: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.db");
        rusqlite::Connection::open(&path).and_then(|c| c.execute_batch(schema)).expect("rows");
        let text = format!(
            "id = \"m\"\n[[change]]\nkind = \"column\"\ntable = \"t\"\ncolumn = \"owner\"\n\
             type = \"TEXT\"\nvalue = \"'o-' || app\"\n{delivery}\n"
        );
        let migration = Migration::parse(&text, Path::new("m.toml")).expect("a migration");
        let options = PlanOptions { replicas: 3, ..PlanOptions::default() };
        render(&plan(&path, &migration, &options).expect("a plan"))
    }

    const ROWS: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, app TEXT, note TEXT); \
        CREATE TABLE log (at); \
        CREATE TRIGGER logged AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.id); END; \
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
        INSERT INTO t SELECT i, 'a', hex(zeroblob(150)) FROM n;";

    #[test]
    fn the_chosen_way_is_marked_and_lines_are_short() {
        let text = rendered(ROWS, "");
        assert!(text.is_ascii() && text.lines().all(|line| line.len() <= WIDTH), "{text}");
        let marked: Vec<&str> = text.lines().filter(|line| line.starts_with("* ")).collect();
        assert_eq!(marked.len(), 1, "{text}");
        assert!(marked[0].starts_with("* derive "), "{text}");
        assert!(text.contains("(new): 2,000 rows of 306 B, integer key, 1 range\n"), "{text}");
        assert!(text.contains("    - \"logged\" writes \"log\"\n"), "{text}");
        assert!(text.contains("narrow side"), "{text}");
        assert!(text.contains("virtual           applications may write"), "{text}");
    }

    #[test]
    fn numbers_are_aligned_right() {
        let text = rendered(ROWS, "");
        let rows: Vec<&str> = text
            .lines()
            .filter(|l| l.contains("time") && l.contains("disk") && l.contains("WAL  "))
            .collect();
        assert_eq!(rows.len(), 1, "{text}");
        let ends: Vec<usize> = text
            .lines()
            .filter(|l| l.contains("naive") || l.starts_with("* "))
            .map(str::len)
            .collect();
        assert!(ends.iter().all(|end| *end == rows[0].len()), "{text}");
    }

    #[test]
    fn a_generated_column_costs_nothing_but_our_tables() {
        let text = rendered(ROWS, "writable = false");
        assert!(text.contains("* virtual "), "{text}");
        assert!(text.contains("generated column"), "{text}");
    }
}
