//! Does one contestant's job on one database and tells how long it took.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use rusqlite::Connection;
use serde_json::Value;

use crate::contestant::{CHEAP_IN_PYTHON, Column, Contestant, Delivery, Job, Transactions};
use crate::failed::{Failed, Outcome, fail};
use crate::fixture::alter;
use crate::options::Options;
use crate::sqlite;
use crate::watch::Watch;

const ROWS_PER_TRANSACTION: u64 = 10_000;
const MIGRATION_ID: &str = "compare-owner";

/// What a job took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// From the first statement to the last commit; of another process, from start to exit.
    pub seconds: f64,
    /// What the job says about itself, if it does.
    pub own_seconds: Option<f64>,
    /// Emptying the WAL afterwards.
    pub checkpoint_seconds: f64,
    /// Largest anonymous memory of the process, if it had one of its own.
    pub anonymous_bytes: Option<u64>,
}

/// Does the job; `mark` is called when the clock starts and when it stops.
pub fn work(
    contestant: &Contestant,
    db: &Path,
    options: &Options,
    mark: &mut dyn FnMut(Mark),
) -> Outcome<Took> {
    match contestant.job {
        Job::Update(transactions, column) => {
            update(contestant, transactions, column, db, options, mark)
        }
        Job::Convert => convert(db, options, mark),
        Job::Dotfill(delivery) => dotfill(contestant, delivery, db, options, mark),
    }
}

/// The two ends of the measured time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The clock starts.
    Begun,
    /// The clock stops.
    Ended,
}

fn timed<T>(mark: &mut dyn FnMut(Mark), job: impl FnOnce() -> Outcome<T>) -> Outcome<(f64, T)> {
    mark(Mark::Begun);
    let began = Instant::now();
    let result = job();
    let seconds = began.elapsed().as_secs_f64();
    mark(Mark::Ended);
    Ok((seconds, result?))
}

fn update(
    contestant: &Contestant,
    transactions: Transactions,
    column: Column,
    db: &Path,
    options: &Options,
    mark: &mut dyn FnMut(Mark),
) -> Outcome<Took> {
    let extension = contestant.layout.extension(options)?;
    let connection = sqlite::connect(db, extension)?;
    if matches!(column, Column::AlteredBefore) {
        alter(&connection)?;
        sqlite::checkpoint(&connection)?;
    }
    let (seconds, ()) = timed(mark, || {
        add_column(&connection, column)?;
        fill(&connection, transactions, contestant.value, options.rows)
    })?;
    let checkpoint_seconds = sqlite::checkpoint(&connection)?;
    sqlite::close(connection, extension)?;
    Ok(Took { seconds, checkpoint_seconds, ..Took::default() })
}

fn add_column(connection: &Connection, column: Column) -> Outcome<()> {
    match column {
        Column::There | Column::AlteredBefore => Ok(()),
        Column::Added => {
            Ok(connection.execute_batch("ALTER TABLE machines ADD COLUMN owner TEXT")?)
        }
        Column::Altered => alter(connection),
    }
}

fn fill(
    connection: &Connection,
    transactions: Transactions,
    value: &str,
    rows: u64,
) -> Outcome<()> {
    let all = format!("UPDATE machines SET owner = {value}");
    match transactions {
        Transactions::One => Ok(connection.execute_batch(&all)?),
        Transactions::TenThousandRows => fill_ranges(connection, &all, rows),
    }
}

fn fill_ranges(connection: &Connection, all: &str, rows: u64) -> Outcome<()> {
    let mut update = connection.prepare(&format!("{all} WHERE id > ?1 AND id <= ?2"))?;
    for low in (0..rows).step_by(usize::try_from(ROWS_PER_TRANSACTION)?) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        update.execute([low.cast_signed(), (low + ROWS_PER_TRANSACTION).cast_signed()])?;
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}

fn convert(db: &Path, options: &Options, mark: &mut dyn FnMut(Mark)) -> Outcome<Took> {
    let mut command = Command::new(&options.sqlite_utils);
    command.arg("convert").arg(db).args(["machines", "id", CHEAP_IN_PYTHON]);
    command.args(["--output", "owner", "--output-type", "text", "--silent"]);
    let (took, _) = child(command, db, mark)?;
    Ok(took)
}

fn dotfill(
    contestant: &Contestant,
    delivery: Delivery,
    db: &Path,
    options: &Options,
    mark: &mut dyn FnMut(Mark),
) -> Outcome<Took> {
    let file = options.work.join(format!("{MIGRATION_ID}.toml"));
    std::fs::write(&file, migration(contestant.value, delivery))?;
    let mut command = Command::new(&options.dotfill);
    command.arg("run").arg(&file).arg("--db").arg(db).arg("--json").args(delivery.arguments);
    let (mut took, output) = child(command, db, mark)?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| Failed("dotfill exited 0 without printing a JSON object".into()))?;
    if said["outcome"] != "complete" {
        return fail(format!("the outcome is {}", said["outcome"]));
    }
    took.own_seconds = said["seconds"].as_f64();
    Ok(took)
}

fn migration(value: &str, delivery: Delivery) -> String {
    let writable = delivery.name != "virtual";
    format!(
        "id = \"{MIGRATION_ID}\"\n\n[[change]]\nkind = \"column\"\ntable = \"machines\"\n\
         column = \"owner\"\ntype = \"TEXT\"\nvalue = \"{value}\"\ndelivery = \"{}\"\n\
         writable = {writable}\n",
        delivery.name
    )
}

/// Runs a program to its end and then empties the WAL that it may have left.
fn child(mut command: Command, db: &Path, mark: &mut dyn FnMut(Mark)) -> Outcome<(Took, Output)> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (seconds, (output, peaks)) = timed(mark, || {
        let child = command.spawn().map_err(|error| Failed(format!("{program}: {error}")))?;
        let watch = Watch::memory(child.id());
        let output = child.wait_with_output();
        Ok((output, watch))
    })
    .and_then(|(seconds, (output, watch))| Ok((seconds, (output?, watch.finish()?))))?;
    if !output.status.success() {
        return fail(complaint(&output));
    }
    let connection = sqlite::connect(db, None)?;
    let checkpoint_seconds = sqlite::checkpoint(&connection)?;
    sqlite::close(connection, None)?;
    let anonymous_bytes = Some(peaks.anonymous_bytes);
    Ok((Took { seconds, checkpoint_seconds, anonymous_bytes, ..Took::default() }, output))
}

/// The last line of what a program that failed complained of.
pub fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("said nothing");
    format!("{}: {last}", output.status)
}
