//! Statements that take long, while a second session watches how far they are and who is in the
//! way.

use std::time::{Duration, Instant};

use crate::ensure::Fault;
use crate::ensure::backend::{Go, Stop, Watch, Work};
use crate::ensure::link::settings::{self, Purpose};
use crate::ensure::link::{Link, Session, Started, cell};
use crate::ensure::verdict::Example;
use crate::ensure::wanted::Wanted;
use crate::monitor::IndexProgress;

use super::sessions;

/// Time between two looks at the end of a statement.
const END_EVERY: Duration = Duration::from_millis(20);
/// Time between two looks at its progress.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time between two attempts to have a session that looks.
const LOOKER_EVERY: Duration = Duration::from_secs(5);
/// How long a cancelled statement may take to end.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// How many keys are told.
const EXAMPLES: u32 = 5;

/// Runs a statement of the session `pid`.
///
/// # Errors
/// [`Stop`].
pub fn run(
    link: &Link,
    session: &Session,
    pid: i32,
    wanted: &Wanted,
    (work, sql): (Work, String),
    watch: Watch<'_>,
) -> Result<(), Stop> {
    let mut looker = Looker::new(link);
    let doing = match work {
        Work::Build => "build the index",
        Work::Remove => "remove the invalid index",
    };
    let started = session.start(doing, sql);
    let mut last_look: Option<Instant> = None;
    while !started.is_over() {
        let mut progress = None;
        if last_look.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            progress = looker.look(&wanted.name, pid);
            last_look = Some(Instant::now());
        }
        match watch(progress.as_ref()) {
            Go::On => std::thread::sleep(END_EVERY),
            Go::Leave => return Err(Stop::Left),
            Go::Cancel => return cancel(session, started),
        }
    }
    started.end(CANCEL_MAX)?;
    Ok(())
}

fn cancel(session: &Session, started: Started) -> Result<(), Stop> {
    // Where the server cannot be asked, the statement's end shows it.
    let asked = session.cancel();
    match started.end(CANCEL_MAX) {
        Ok(_) if asked.is_ok() => Ok(()),
        _ => Err(Stop::Cancelled),
    }
}

/// Some keys that several rows have, found by reading the table once, within a minute.
pub fn examples(session: &Session, wanted: &Wanted, table: &str, watch: Watch<'_>) -> Vec<Example> {
    let asked = settings::set(session, "statement_timeout", "60s").and_then(|()| {
        let started = session.start("look for duplicate keys", wanted.duplicates(table, EXAMPLES));
        while !started.is_over() {
            if watch(None) != Go::On {
                session.cancel()?;
                break;
            }
            std::thread::sleep(END_EVERY);
        }
        started.end(CANCEL_MAX)?.iter().map(example).collect::<Result<Vec<_>, _>>()
    });
    // It only makes the verdict say more; without it, one key is known.
    let unset = settings::set(session, "statement_timeout", "0");
    asked.and_then(|found| unset.map(|()| found)).unwrap_or_default()
}

fn example(row: &tokio_postgres::Row) -> Result<Example, Fault> {
    let rows: i64 = cell(row, 1)?;
    Ok(Example { key: cell(row, 0)?, rows: u64::try_from(rows).unwrap_or_default() })
}

/// A second session. The build does without where none can be had.
struct Looker<'a> {
    link: &'a Link,
    session: Option<Session>,
    tried: Option<Instant>,
}

impl<'a> Looker<'a> {
    fn new(link: &'a Link) -> Self {
        Self { link, session: None, tried: None }
    }

    fn look(&mut self, index: &str, pid: i32) -> Option<IndexProgress> {
        if self.session.is_none() && self.tried.is_none_or(|at| at.elapsed() >= LOOKER_EVERY) {
            self.tried = Some(Instant::now());
            let opened = self.link.open();
            self.session = opened
                .and_then(|session| settings::apply(&session, Purpose::Look).map(|()| session))
                .ok();
        }
        match sessions::progress(self.session.as_ref()?, index, pid) {
            Ok(progress) => progress,
            Err(fault) => {
                self.session = None;
                let waits = Some(format!("an answer of the server ({fault})"));
                let index = index.to_owned();
                Some(IndexProgress { index, waits, ..IndexProgress::default() })
            }
        }
    }
}
