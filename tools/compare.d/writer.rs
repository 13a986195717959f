//! The foreground: a process that changes one row per transaction, a hundred times a second, and
//! notes how long after the moment that the schedule gave each was done. A transaction that
//! could not start on time counts its wait: nothing is left out because the database was busy.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::failed::Outcome;
use crate::fixture::Random;
use crate::options::Writer;
use crate::sqlite;

/// The time between two transactions.
pub const PERIOD: Duration = Duration::from_millis(10);
/// What the writer says once its first transaction is done.
pub const READY: &str = "ready";

/// One transaction of the foreground.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// When it was due, in microseconds since 1970.
    pub due_us: u64,
    /// How long after that it was done, in microseconds.
    pub latency_us: u64,
    /// Whether it was done at all, or refused as busy after 5 s.
    pub done: bool,
}

impl Note {
    /// As a line.
    fn line(self) -> String {
        format!("{} {} {}", self.due_us, self.latency_us, u8::from(self.done))
    }

    /// From a line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').map(|field| field.parse::<u64>().ok());
        let (due_us, latency_us) = (fields.next()??, fields.next()??);
        Some(Self { due_us, latency_us, done: fields.next()?? == 1 })
    }
}

/// Writes until the standard input ends, then prints what was noted.
pub fn write_until_told(writer: &Writer) -> Outcome<()> {
    let connection = sqlite::connect(&writer.db, writer.crsqlite.as_deref())?;
    let mut random = Random(7);
    change_one_row(&connection, &mut random, writer.rows)?;
    println!("{READY}");
    std::io::stdout().flush()?;
    let notes = write_on_schedule(&connection, &mut random, writer.rows, &end_of_input())?;
    sqlite::close(connection, writer.crsqlite.as_deref())?;
    let mut out = std::io::stdout().lock();
    notes.iter().try_for_each(|note| writeln!(out, "{}", note.line()))?;
    Ok(())
}

fn end_of_input() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    std::thread::spawn(move || {
        let read = std::io::stdin().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::Relaxed);
        read
    });
    ended
}

/// Every transaction that is due when the end is told is still done.
fn write_on_schedule(
    connection: &Connection,
    random: &mut Random,
    rows: u64,
    ended: &AtomicBool,
) -> Outcome<Vec<Note>> {
    let mut notes = Vec::new();
    let (start, start_us) = (Instant::now(), now_us()?);
    let mut due = Duration::ZERO;
    loop {
        if let Some(early) = due.checked_sub(start.elapsed()) {
            if ended.load(Ordering::Relaxed) {
                return Ok(notes);
            }
            std::thread::sleep(early);
        }
        let done = match change_one_row(connection, random, rows) {
            Ok(()) => true,
            Err(error) if is_busy(&error) => false,
            Err(error) => return Err(error.into()),
        };
        let latency_us = u64::try_from((start.elapsed().saturating_sub(due)).as_micros())?;
        let due_us = start_us + u64::try_from(due.as_micros())?;
        notes.push(Note { due_us, latency_us, done });
        due += PERIOD;
    }
}

fn change_one_row(connection: &Connection, random: &mut Random, rows: u64) -> rusqlite::Result<()> {
    let id = 1 + random.next() % rows;
    let note = format!("written by the foreground {:016x}", random.next());
    let mut update = connection.prepare_cached("UPDATE machines SET note = ?2 WHERE id = ?1")?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    update.execute(params![id.cast_signed(), note])?;
    connection.execute_batch("COMMIT")
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// Now, in microseconds since 1970.
pub fn now_us() -> Outcome<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}
