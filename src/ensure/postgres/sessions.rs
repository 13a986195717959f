//! Other sessions: who builds, how far that is, who holds the build lock, and who is in the way.
//! All of it is read from views that any role may read; what they hide from this role is said to be
//! hidden.

use crate::ensure::Fault;
use crate::ensure::decide::Builder;
use crate::ensure::link::{Session, cell};
use crate::monitor::IndexProgress;

/// Sessions with a lock on the table that a build, and no write, takes. A build of this index is
/// certain where the server says so; the view hides that from roles without `pg_read_all_stats`.
const BUILDERS: &str = "SELECT l.pid, coalesce(a.backend_type, ''), p.index_relid
  FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN pg_stat_progress_create_index p ON p.pid = l.pid
  WHERE l.locktype = 'relation' AND l.granted AND l.relation = $1 AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock')
  ORDER BY (p.index_relid = $2) DESC NULLS LAST, l.pid";

const HOLDER: &str = "SELECT pid FROM pg_locks
  WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2 AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

const PROGRESS: &str = "SELECT phase::text, blocks_done, blocks_total, tuples_done, tuples_total,
    lockers_done, lockers_total
  FROM pg_stat_progress_create_index WHERE pid = $1 AND phase IS NOT NULL";

const BLOCKERS: &str = "SELECT DISTINCT unnest(pg_blocking_pids($1))";

const SESSION: &str = "SELECT coalesce(usename::text, ''), coalesce(application_name, ''),
    coalesce(state, ''), coalesce(query, ''), coalesce(backend_type, ''),
    extract(epoch FROM clock_timestamp() - coalesce(xact_start, query_start))::float8,
    to_char(coalesce(xact_start, query_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
  FROM pg_stat_activity WHERE pid = $1";

/// How much of a statement is shown, in characters.
const QUERY_CHARS: usize = 120;

/// Who may be building index `index` (0 where it is not there) of `table`; our own session apart.
///
/// # Errors
/// A [`Fault`].
pub fn builder(session: &Session, table: u32, index: u32) -> Result<Option<(i32, Builder)>, Fault> {
    for row in session.rows("look who builds", BUILDERS, &[&table, &index])? {
        let (pid, kind, builds): (i32, String, Option<u32>) =
            (cell(&row, 0)?, cell(&row, 1)?, cell(&row, 2)?);
        // It gives way by itself to whoever waits for its lock.
        if kind == "autovacuum worker" || builds.is_some_and(|oid| oid != 0 && oid != index) {
            continue;
        }
        let certain = index != 0 && builds == Some(index);
        return Ok(Some((pid, Builder { name: brief(session, pid)?, certain })));
    }
    Ok(None)
}

/// The session that has an advisory lock.
///
/// # Errors
/// A [`Fault`].
pub fn holder(session: &Session, key: i64) -> Result<Option<i32>, Fault> {
    let [high, low] = halves(key);
    let rows = session.rows("look who has the build lock", HOLDER, &[&high, &low])?;
    rows.first().map(|row| cell(row, 0)).transpose()
}

/// How the server's view of locks shows a key of 64 bits.
fn halves(key: i64) -> [u32; 2] {
    let bytes = key.to_be_bytes();
    let half = |n: usize| u32::from_be_bytes([bytes[n], bytes[n + 1], bytes[n + 2], bytes[n + 3]]);
    [half(0), half(4)]
}

/// How far the build of a session is, and what it waits for; `None` where it does neither.
///
/// # Errors
/// A [`Fault`].
pub fn progress(session: &Session, index: &str, pid: i32) -> Result<Option<IndexProgress>, Fault> {
    let rows = session.rows("look how far the build is", PROGRESS, &[&pid])?;
    let waits = blockers(session, pid)?;
    if rows.is_empty() && waits.is_none() {
        return Ok(None);
    }
    let mut progress = IndexProgress {
        index: index.to_owned(),
        by: brief(session, pid)?,
        phase: "waiting to begin".to_owned(),
        waits,
        ..IndexProgress::default()
    };
    if let Some(row) = rows.first() {
        progress.phase = cell(row, 0)?;
        // The counters of a phase before stay where they are; the phase says which ones count.
        let phase = progress.phase.as_str();
        let (column, unit) = if phase.starts_with("waiting") {
            (5, "transactions")
        } else if phase.contains("scanning") {
            (1, "blocks")
        } else {
            (3, "rows")
        };
        progress.unit = unit;
        progress.done = count(cell(row, column)?);
        progress.total = count(cell(row, column + 1)?);
    }
    Ok(Some(progress))
}

fn count(n: Option<i64>) -> u64 {
    n.and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
}

/// Who holds the locks that a session waits for.
///
/// # Errors
/// A [`Fault`].
pub fn blockers(session: &Session, pid: i32) -> Result<Option<String>, Fault> {
    let rows = session.rows("look who is in the way", BLOCKERS, &[&pid])?;
    let mut texts = Vec::new();
    for row in rows.iter().take(3) {
        texts.push(detailed(session, cell(row, 0)?)?);
    }
    if rows.len() > 3 {
        texts.push(format!("{} more", rows.len() - 3));
    }
    Ok(if texts.is_empty() { None } else { Some(texts.join(", and ")) })
}

/// `pid 4711 (dotfill owner-index web-3:12)`.
///
/// # Errors
/// A [`Fault`].
pub fn brief(session: &Session, pid: i32) -> Result<String, Fault> {
    let rows = session.rows("look at a session", SESSION, &[&pid])?;
    let name: String = match rows.first() {
        Some(row) => cell(row, 1)?,
        None => String::new(),
    };
    Ok(if name.is_empty() { format!("pid {pid}") } else { format!("pid {pid} ({name})") })
}

/// `pid 4711 (psql, user app, idle in transaction since 2026-11-21 12:03:11 UTC, 42 s: UPDATE ..)`.
fn detailed(session: &Session, pid: i32) -> Result<String, Fault> {
    // A transaction that was prepared for a two-phase commit has no session.
    if pid == 0 {
        return Ok("a prepared transaction (pg_prepared_xacts lists them)".to_owned());
    }
    let rows = session.rows("look at a session", SESSION, &[&pid])?;
    let Some(row) = rows.first() else { return Ok(format!("pid {pid}, which has gone")) };
    let (user, name, state, query, kind): (String, String, String, String, String) =
        (cell(row, 0)?, cell(row, 1)?, cell(row, 2)?, cell(row, 3)?, cell(row, 4)?);
    let (age, since): (Option<f64>, Option<String>) = (cell(row, 5)?, cell(row, 6)?);
    let mut words = Vec::new();
    words.extend(
        [name, kind].into_iter().filter(|word| !word.is_empty() && word != "client backend"),
    );
    words.push(format!("user {user}"));
    let since = since.zip(age).map(|(at, age)| format!(" since {at} UTC, {age:.0} s"));
    words.push(match (state.is_empty(), since) {
        (true, _) => {
            "what it does is hidden from this role; GRANT pg_read_all_stats shows it".into()
        }
        (false, since) => format!("{state}{}", since.unwrap_or_default()),
    });
    let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = query.chars().take(QUERY_CHARS).collect();
    let dots = if cut.len() < query.len() { ".." } else { "" };
    let shown =
        if cut.is_empty() || state.is_empty() { String::new() } else { format!(": {cut}{dots}") };
    Ok(format!("pid {pid} ({}{shown})", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_in_halves() {
        assert_eq!(halves(0x0102_0304_0506_0708), [0x0102_0304, 0x0506_0708]);
        assert_eq!(halves(-1), [u32::MAX, u32::MAX]);
    }
}
