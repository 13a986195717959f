//! `status`: the migrations of a database, from outside.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::args::StatusArgs;
use super::{Failure, exit, output, units, which};
use crate::state::Mode;
use crate::status::{MigrationStatus, StatusReader};

/// Time between the two looks that a rate is told from.
const SAMPLE: Duration = Duration::from_millis(200);

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit code 2 for a migration that the database does not know.
pub fn run(args: &StatusArgs, db: &Path, json: bool) -> Result<u8, Failure> {
    let id = args.migration.as_deref().map(which::id).transpose()?;
    let reader = StatusReader::open(db)?;
    let look = || match &id {
        Some(id) => match reader.one(id)? {
            Some(one) => Ok(vec![one]),
            None => Err(which::unknown(id, db)),
        },
        None => Ok(reader.all()?),
    };
    let first = look()?;
    if json {
        output::print_json(&first)?;
        return Ok(code(&first));
    }
    if first.is_empty() {
        let db = db.display();
        output::print(&format!(
            "{db} has no migrations: `dotfill run FILE --db {db}` begins one\n"
        ))?;
        return Ok(exit::DONE);
    }
    let began = Instant::now();
    let (now, rates) = if first.iter().any(|one| one.running) {
        std::thread::sleep(SAMPLE);
        let now = look()?;
        let rates = now.iter().map(|one| rate(one, &first, began.elapsed())).collect();
        (now, rates)
    } else {
        let rates = vec![None; first.len()];
        (first, rates)
    };
    output::print(&table(&now, &rates))?;
    Ok(code(&now))
}

/// 5 where one is running, 4 where one is resumable, 0 where all are done.
fn code(all: &[MigrationStatus]) -> u8 {
    if all.iter().any(|one| one.running) {
        exit::ELSEWHERE
    } else if all.iter().any(MigrationStatus::is_resumable) {
        exit::RESUMABLE
    } else {
        exit::DONE
    }
}

/// Rows per second between two looks.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(now: &MigrationStatus, before: &[MigrationStatus], time: Duration) -> Option<f64> {
    let then = before.iter().find(|then| then.id == now.id && then.running)?;
    let rows = now.rows_passed.saturating_sub(then.rows_passed);
    (now.running && rows > 0).then(|| rows as f64 / time.as_secs_f64())
}

const HEAD: [&str; 6] = ["migration", "phase", "done", "rows", "noted", "runner"];

fn table(all: &[MigrationStatus], rates: &[Option<f64>]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for (one, rate) in all.iter().zip(rates) {
        lines.push([
            one.id.clone(),
            phase(one),
            format!("{:.1} %", one.percent),
            format!("{} of {}", units::count(one.rows_passed), units::count(one.rows_total)),
            units::count(one.dirty_rows),
            runner(one, *rate),
        ]);
    }
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0))
        .collect();
    let rows: String = lines.iter().map(|line| row(line, &widths)).collect();
    all.iter().fold(rows, |text, one| text + &notes(one))
}

/// The phase, and the mode where there is one.
fn phase(one: &MigrationStatus) -> String {
    match (one.mode, one.cohort_percent) {
        (None, _) => one.phase.to_string(),
        (Some(Mode::ReadNewWriteBoth), percent) if percent > 0 => {
            format!("{}, {} ({percent} % closed)", one.phase, Mode::ReadNewWriteBoth)
        }
        (Some(mode), _) => format!("{}, {mode}", one.phase),
    }
}

/// What sets have come to beside their rows, one line each.
fn notes(one: &MigrationStatus) -> String {
    let mut text = String::new();
    let counts = [
        (one.disagreements, "objects whose old and new form differ"),
        (one.pending_writes, "old writes pending"),
        (one.quarantined, "in quarantine"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = writeln!(text, "  {}: {} {what}", one.id, units::count(count));
    }
    for count in &one.old_writes {
        let _ = writeln!(
            text,
            "  {}: {} old writes {} ({})",
            one.id,
            units::count(count.writes),
            count.outcome,
            count.reason
        );
    }
    text
}

/// Names to the left, numbers to the right.
fn row(cells: &[String; 6], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
        if (2..5).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
    });
    let text = padded.collect::<Vec<_>>().join("  ");
    format!("{}\n", text.trim_end())
}

fn runner(one: &MigrationStatus, rate: Option<f64>) -> String {
    let Some(owner) = &one.owner else {
        return match &one.failure {
            Some(reason) if one.is_resumable() && one.percent < 100.0 => {
                format!("nobody; failed: {reason}")
            }
            _ if one.pending_rows > 0 => {
                format!("nobody; {} values wait for their rows", units::count(one.pending_rows))
            }
            _ => "nobody".to_owned(),
        };
    };
    let mut text = owner.clone();
    if let Some(rate) = rate {
        let _ = write!(text, ", {}", units::rate(rate, "rows"));
        let left = rest(one, rate);
        let _ = write!(text, ", {} left", units::seconds(left));
    }
    if let Some(reason) = &one.throttle_reason {
        let _ = write!(text, ", paused: {reason}");
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
fn rest(one: &MigrationStatus, rate: f64) -> f64 {
    one.rows_total.saturating_sub(one.rows_passed) as f64 / rate
}
