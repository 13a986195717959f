//! The file itself: its journal mode, its WAL and who keeps that from being reset, and its write
//! lock.

use std::time::Duration;

use super::{Finding, Patient, process, shell};
use crate::db::locks::LockWatch;
use crate::db::{DbError, Doing, beside};

/// A WAL of more bytes than this should have been reset.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// How often the write lock is looked at before somebody is said to hold on to it.
const LOOKS: u32 = 10;
/// The time between two of these looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(super) fn examine(patient: &Patient<'_>, locks: &LockWatch) -> Result<Vec<Finding>, DbError> {
    let mut findings = vec![journal(patient)?, wal(patient, locks)?];
    findings.extend(writer(locks, &|| std::thread::sleep(LOOK_AGAIN)));
    Ok(findings)
}

fn journal(patient: &Patient<'_>) -> Result<Finding, DbError> {
    let number = |pragma: &str| {
        patient
            .conn
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, u64>(0))
            .doing(format!("read the {pragma}"))
    };
    let mode: String = patient
        .conn
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .doing("read the journal mode")?;
    let (page, pages, free) =
        (number("page_size")?, number("page_count")?, number("freelist_count")?);
    let size = format!(
        "{} MiB in pages of {page} bytes, {free} of {pages} pages free",
        (page * pages) >> 20
    );
    Ok(match mode.as_str() {
        "wal" => Finding::ok("file", format!("readable, in WAL mode, {size}")),
        other => Finding::ok(
            "file",
            format!("readable, {size}; in journal mode {other}: `dotfill run` makes that WAL"),
        ),
    })
}

fn wal(patient: &Patient<'_>, locks: &LockWatch) -> Result<Finding, DbError> {
    let name = beside(patient.db, "-wal");
    let bytes = match std::fs::metadata(&name) {
        Ok(meta) => meta.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        Err(source) => {
            return Err(DbError::Io { path: name, doing: "look at it", source });
        }
    };
    let size = format!("{bytes} bytes ({} MiB)", bytes >> 20);
    if bytes <= WAL_BYTES_MAX {
        return Ok(Finding::ok("wal", size));
    }
    let checkpoint = shell::sqlite(patient.db, "PRAGMA wal_checkpoint(TRUNCATE)");
    let readers = locks.readers();
    if readers.is_empty() {
        let detail = format!("{size}; nobody holds it back now");
        return Ok(Finding::owed("wal", detail, checkpoint));
    }
    let who = process::names(&readers);
    Ok(Finding::owed(
        "wal",
        format!("{size}; held back by a read transaction of {who}"),
        format!("end that transaction, then: {checkpoint}"),
    ))
}

/// Who is writing. A lock is taken and given back all the time; only one that is never free is a
/// finding.
fn writer(locks: &LockWatch, wait: &dyn Fn()) -> Option<Finding> {
    let first = locks.writer()?;
    let who = process::names(&[first]);
    for _ in 1..LOOKS {
        wait();
        if locks.writer() != Some(first) {
            return Some(Finding::ok("write lock", format!("{who} was writing just now")));
        }
    }
    let detail = format!("held by {who} at each of {LOOKS} looks in half a second: others wait");
    let next = format!("end the transaction of {who}, unless it is a job at work");
    Some(Finding::owed("write lock", detail, next))
}
