//! Results for people, on standard output.

use crate::interference::Felt;
use crate::results::{Results, Turns};
use crate::rounds::{Fate, Sample, Standing};
use crate::table::Table;
use crate::targets::Target;

const MIB: f64 = 1024.0 * 1024.0;

/// Prints all of it.
pub fn print(results: &Results, targets: &[Target]) {
    let machine = &results.machine;
    println!(
        "{} UTC, {}, {} cores, SQLite {}; {} rows, medians of {} rounds",
        machine.date, machine.cpu, machine.cores, machine.sqlite, results.rows, results.repeat
    );
    for turns in &results.turns {
        heading(&turns.title, turns.others);
        print!("{}", turns_table(turns, results.rows).render());
    }
    if let Some(felt) = &results.foreground {
        heading("One-row transactions of another process, 100/s", results.foreground_others);
        print!("{}", felt_table(felt, results.rows).render());
    }
    if let Some(deltas) = &results.deltas {
        heading("Deltas: values like u12345678-42", deltas.others);
        print!("{}\n{}", deltas.size_table().render(), deltas.race_table().render());
    }
    print!("\nTargets\n\n{}", target_table(targets).render());
}

fn heading(title: &str, others: f64) {
    let percent = 100.0 * others;
    println!("\n{title} (others kept {percent:.0} % of the machine busy)\n");
}

fn turns_table(turns: &Turns, rows: u64) -> Table {
    let mut table = Table::new(&[
        "",
        "seconds",
        "own clock",
        "checkpoint",
        "rows/s",
        "speed",
        "WAL peak",
        "growth",
        "records",
        "memory",
    ]);
    for standing in &turns.standings {
        table.push(line(standing, turns.standings.first(), rows));
    }
    table
}

fn line(standing: &Standing, base: Option<&Standing>, rows: u64) -> Vec<String> {
    let name = standing.contestant.name.to_owned();
    let seconds = standing.median(|sample| sample.took.seconds);
    let last = match (trouble(&standing.fate), standing.samples.last()) {
        (Some(trouble), _) => return vec![name, trouble],
        (None, None) => return vec![name, "no samples".into()],
        (None, Some(last)) => last,
    };
    let own = last.took.own_seconds.and(standing.median(own_seconds));
    let ratio = base.and_then(|base| standing.times_faster_than(base, |s| s.took.seconds));
    let records = last.change_records.map(|records| records.to_string());
    vec![
        name,
        number(seconds, 3, ""),
        number(own, 3, ""),
        number(standing.median(|sample| sample.took.checkpoint_seconds), 3, ""),
        number(seconds.map(|seconds| rows as f64 / seconds / 1e6), 3, " M"),
        number(ratio, 2, "x"),
        number(standing.median(|sample| sample.wal_bytes_max as f64 / MIB), 1, " MiB"),
        number(standing.median(|sample| sample.growth_bytes as f64 / MIB), 1, " MiB"),
        records.unwrap_or_else(|| "-".into()),
        number(memory_mib(standing), 1, " MiB"),
    ]
}

fn own_seconds(sample: &Sample) -> f64 {
    sample.took.own_seconds.unwrap_or(f64::NAN)
}

fn memory_mib(standing: &Standing) -> Option<f64> {
    let peak = standing.samples.iter().filter_map(|sample| sample.took.anonymous_bytes).max()?;
    Some(peak as f64 / MIB)
}

/// What to say instead of numbers.
pub fn trouble(fate: &Fate) -> Option<String> {
    match fate {
        Fate::Right => None,
        Fate::Failed(why) => Some(format!("failed: {why}")),
        Fate::Wrong(what) => Some(format!("WRONG DATA: {what}")),
    }
}

fn number(value: Option<f64>, decimals: usize, unit: &str) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.decimals$}{unit}"))
}

fn felt_table(all: &[Felt], rows: u64) -> Table {
    let mut table = Table::new(&[
        "",
        "samples",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "refused",
        "runs",
        "rows/s",
        "own clock",
    ]);
    for felt in all {
        table.push(felt_line(felt, rows));
    }
    table
}

fn felt_line(felt: &Felt, rows: u64) -> Vec<String> {
    let name = felt.scene.name.to_owned();
    if let Some(trouble) = trouble(&felt.fate) {
        return vec![name, trouble];
    }
    let own =
        felt.runs.first().and_then(|took| took.own_seconds).and_then(|_| {
            felt.rows_per_second(rows, |took| took.own_seconds.unwrap_or(took.seconds))
        });
    let rate = felt.rows_per_second(rows, |took| took.seconds);
    vec![
        name,
        felt.latencies_us.len().to_string(),
        number(felt.percentile_ms(0.5), 2, ""),
        number(felt.percentile_ms(0.99), 2, ""),
        number(felt.percentile_ms(0.999), 2, ""),
        number(felt.percentile_ms(1.0), 2, ""),
        felt.refused.to_string(),
        felt.runs.len().to_string(),
        number(rate.map(|rate| rate / 1e6), 3, " M"),
        number(own.map(|rate| rate / 1e6), 3, " M"),
    ]
}

fn target_table(targets: &[Target]) -> Table {
    let mut table = Table::new(&["target", "", "measured", " "]);
    for target in targets {
        let cells = vec![target.text.clone(), target.state.name().into(), target.measured.clone()];
        table.push(cells);
    }
    table
}
