//! Building one index: looked at first, paused by the same signals as a batch, told how long it will
//! hold the write lock, and built in one transaction.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::look::{is_interrupted, look, problem};
use crate::db::quote::ident;
use crate::engine::job::Job;
use crate::engine::{RunError, Stop};
use crate::monitor::Stage;
use crate::plan::{Found, build_cost};
use crate::state;
use crate::write::{Committed, PreparedIndex, WriteError, build_index};

/// The longest gap that is left to others after the build.
const GAP_MAX: Duration = Duration::from_secs(1);

/// How often the build begins again because others changed the schema or a row meanwhile.
const TRIES: u32 = 20;

/// Builds the index, unless it is there. Returns the seconds that the build took, or why it did not
/// come to that.
///
/// # Errors
/// [`WriteError::Index`] naming what stands in the way; nothing was built then.
pub(in crate::engine) fn fill(
    job: &mut Job<'_>,
    ready: &mut PreparedIndex,
) -> Result<Result<Option<f64>, Stop>, RunError> {
    let mut last = None;
    for _ in 0..TRIES {
        job.session.accept_schema()?;
        match Found::look(job.session.conn(), &ready.target)? {
            Found::Same => return Ok(Ok(adopt(job, ready)?)),
            Found::Other(differences) => return Err(taken(job, ready, &differences)),
            Found::Absent => {}
        }
        match look(job, &ready.target)? {
            Ok(rows) => ready.change.rows_total = rows,
            Err(stop) => return Ok(Err(stop)),
        }
        announce(job, ready)?;
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Err(stop));
        }
        job.pace.stage(Stage::Building, 0, ready.change.rows_total);
        let began = Instant::now();
        match build_index(&mut job.session, ready) {
            Ok(done) => {
                // What others need after it is a turn, and no gap as long as the build.
                let done = Committed { hold: done.hold.min(GAP_MAX), ..done };
                *ready = job.pace.after_batch(done, 0, 0);
                job.pace.passed(ready.change.rows_total);
                return Ok(Ok(Some(began.elapsed().as_secs_f64())));
            }
            Err(WriteError::SchemaChanged) => {}
            Err(WriteError::Db(error)) if is_interrupted(&error) => {
                return Ok(Err(Stop::Interrupted));
            }
            // Somebody has written such a row since we looked: the next look names it.
            Err(WriteError::Db(error)) if error.is_row_error() => last = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(says) => Err(problem(
            &ready.target,
            &format!("others go on writing rows that it does not allow: {says}"),
        )
        .into()),
        None => Err(WriteError::SchemaChanged.into()),
    }
}

/// One that is there with that definition is not built again; whose it is stays as it is recorded.
fn adopt(job: &mut Job<'_>, ready: &mut PreparedIndex) -> Result<Option<f64>, RunError> {
    if !ready.change.filled {
        let mut after = ready.change.clone();
        after.filled = true;
        job.session.transact_again(|conn| Ok(after.save(conn)?))?;
        ready.change = after;
    }
    Ok(None)
}

fn taken(job: &Job<'_>, ready: &PreparedIndex, differences: &str) -> RunError {
    let name = ident(&ready.target.name);
    RunError::refused(
        job.id(),
        format!("somebody has made {name} with another definition: {differences}"),
        format!("`DROP INDEX {name}`, or give the migration's index another name, then repeat"),
    )
}

/// Says how long nobody else will be able to write, and records it for whoever asks for the status.
fn announce(job: &mut Job<'_>, ready: &PreparedIndex) -> Result<(), RunError> {
    let rows = ready.change.rows_total;
    let (name, table) = (ident(&ready.target.name), ready.target.table.sql());
    let building = format!("building index {name} of {table} is one transaction");
    let cost = match build_cost(job.session.conn(), &ready.target, &[], rows) {
        Ok(cost) => cost,
        // The temporary folder is full: the build is as safe without the estimate.
        Err(error) => {
            job.monitor.warn(&format!("{building}, of an unknown length: {error}"));
            return Ok(());
        }
    };
    let tuning = job.pace.tuning();
    let mut says = format!(
        "{building}: others cannot write for about {} (an estimate from {} rows), and the WAL grows by \
         about {}",
        seconds(cost.lock_seconds),
        cost.sample_rows,
        megabytes(cost.wal_bytes)
    );
    if cost.lock_seconds * 1000.0 > as_f64(tuning.hold_ms) {
        let _ = write!(says, "; --hold-ms {} cannot hold there", tuning.hold_ms);
    }
    if cost.wal_bytes > tuning.wal_bytes_max {
        let _ = write!(says, "; --wal-bytes-max {} cannot hold there", tuning.wal_bytes_max);
    }
    job.monitor.warn(&says);
    let id = job.id().to_owned();
    job.session.transact_again(|conn| Ok(state::event(conn, &id, "building", &says)?))?;
    Ok(())
}

fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", (seconds * 1000.0).max(1.0))
    } else {
        format!("{seconds:.1} s")
    }
}

fn megabytes(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{bytes} bytes")
    } else {
        format!("{:.1} MiB", as_f64(bytes) / 1_048_576.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "for a comparison with an estimate")]
fn as_f64(n: u64) -> f64 {
    n as f64
}
