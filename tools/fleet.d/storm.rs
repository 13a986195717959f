//! The table of `tools/fleet storm`: every way side by side, on the same rows, in one run.

use std::time::Duration;

use crate::failed::Outcome;
use crate::foreground::percentile;
use crate::machine;
use crate::measure::{Measured, measure};
use crate::options::Options;
use crate::table::Table;
use crate::way::Way;

/// Measures the ways and prints the table, a line as soon as each is known on standard error.
pub fn storm(options: &Options, only: &[String]) -> Outcome<()> {
    let wanted = |way: &Way| {
        *way == Way::Idle
            || only.is_empty()
            || only.iter().any(|text| way.title().contains(text.as_str()))
    };
    let mut all: Vec<Measured> = Vec::new();
    for way in Way::ALL.into_iter().filter(wanted) {
        eprintln!("fleet: {}", way.title());
        all.push(measure(options, way)?);
        eprintln!("{}", render(&all));
    }
    println!("{}", heading(options)?);
    println!("{}", render(&all));
    for measured in &all {
        if let Some(why) = &measured.worked.failed {
            println!("{}: {why}", measured.way.title());
        }
    }
    Ok(())
}

/// When, with what, and on how much this was measured.
pub fn heading(options: &Options) -> Outcome<String> {
    let machine = machine::machine()?;
    let version = std::process::Command::new(&options.agent).arg("--version").output();
    let version = match version {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Ok(format!(
        "{} UTC, {} agents ({version}), {} rows, {}, {} cores",
        machine.date, options.nodes, options.rows, machine.cpu, machine.cores
    ))
}

/// The bytes that all nodes send per row, above the idle of the same run.
pub fn bytes_per_row(idle: &Measured, way: &Measured) -> Option<f64> {
    let rate = idle.bytes? as f64 / idle.window.as_secs_f64();
    Some((way.bytes? as f64 - rate * way.window.as_secs_f64()) / way.rows as f64)
}

fn render(all: &[Measured]) -> String {
    let mut table = Table::new(&[
        "",
        "records/row",
        "wire B/row",
        "equal after",
        "write p50",
        "p99",
        "visible p50",
        "p99",
        "unseen",
        "stuck versions",
    ]);
    for measured in all {
        table.push(line(&all[0], measured));
    }
    table.render()
}

fn line(idle: &Measured, one: &Measured) -> Vec<String> {
    let bytes = bytes_per_row(idle, one).map_or("-".to_owned(), |bytes| format!("{bytes:.1}"));
    let equal = match one.equal_after {
        Some(after) => seconds(Some(after)),
        None if one.way.fills() => "never".to_owned(),
        None => "-".to_owned(),
    };
    vec![
        one.way.title(),
        format!("{:.3}", one.records as f64 / one.rows as f64),
        bytes,
        equal,
        milliseconds(percentile(&one.felt.write, 50)),
        milliseconds(percentile(&one.felt.write, 99)),
        milliseconds(percentile(&one.felt.visible, 50)),
        milliseconds(percentile(&one.felt.visible, 99)),
        one.felt.lost.to_string(),
        format!("{}", one.backlog.partial + one.backlog.gaps),
    ]
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
}
