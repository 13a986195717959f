//! What waits at a Corrosion agent, one by one, for people: versions that are there in part and the
//! gaps of each actor. Costs what there is to read; a signal reads [`super::Backlog`] instead.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{BUFFERED, GAPS, SEQS};
use crate::db::{DbError, Doing};

/// A version of an actor that waits in the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartVersion {
    /// The node that wrote it, as Corrosion prints it.
    pub actor: String,
    /// The version, which Corrosion calls `db_version`.
    pub version: i64,
    /// Rows that wait for it.
    pub buffered_changes: u64,
    /// Ranges of `seq` that have not arrived, both ends included; `None` where the bookkeeping is
    /// gone: the version was applied, and its rows are to be cleared away.
    pub missing: Option<Vec<(i64, i64)>>,
    /// What its rows name and this node lacks: `table x`, `column x.y`.
    pub unknown: Vec<String>,
}

impl PartVersion {
    /// True where every part has arrived.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing.as_ref().is_some_and(Vec::is_empty)
    }
}

/// Versions of an actor that this node lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The node that wrote them, as Corrosion prints it.
    pub actor: String,
    /// The ranges of versions, both ends included.
    pub ranges: Vec<(i64, i64)>,
}

/// Every version that waits, by actor and version; none of a table that this release lacks.
///
/// # Errors
/// When a table cannot be read.
pub fn part_versions(conn: &Connection) -> Result<Vec<PartVersion>, DbError> {
    let mut found: BTreeMap<(Vec<u8>, i64), PartVersion> = BTreeMap::new();
    if BUFFERED.is_here(conn)? {
        for (key, changes, unknown) in buffered(conn)? {
            let version = entry(&mut found, key);
            version.buffered_changes += changes;
            version.unknown.extend(unknown);
        }
    }
    if SEQS.is_here(conn)? {
        for (key, ranges, last_seq) in seqs(conn)? {
            entry(&mut found, key).missing = Some(missing(&ranges, last_seq));
        }
    }
    Ok(found.into_values().collect())
}

fn entry(
    found: &mut BTreeMap<(Vec<u8>, i64), PartVersion>,
    (site, version): (Vec<u8>, i64),
) -> &mut PartVersion {
    let actor = actor(&site);
    found.entry((site, version)).or_insert(PartVersion {
        actor,
        version,
        buffered_changes: 0,
        missing: None,
        unknown: Vec::new(),
    })
}

type Key = (Vec<u8>, i64);

/// Per version, table and column: rows, and what this node lacks of the two.
fn buffered(conn: &Connection) -> Result<Vec<(Key, u64, Option<String>)>, DbError> {
    let what = "read the agent's buffered changes";
    let mut statement = conn
        .prepare(
            "SELECT b.site_id, b.db_version, count(*), b.\"table\", b.cid, \
             EXISTS (SELECT 1 FROM pragma_table_info(b.\"table\")), b.cid = '-1' OR EXISTS \
             (SELECT 1 FROM pragma_table_info(b.\"table\") AS c WHERE c.name = b.cid) \
             FROM __corro_buffered_changes AS b \
             GROUP BY b.site_id, b.db_version, b.\"table\", b.cid",
        )
        .doing(what)?;
    let rows = statement.query_map([], |row| {
        let (table, column): (String, String) = (row.get(3)?, row.get(4)?);
        let unknown = match (row.get(5)?, row.get(6)?) {
            (false, _) => Some(format!("table {table}")),
            (true, false) => Some(format!("column {table}.{column}")),
            (true, true) => None,
        };
        Ok(((row.get(0)?, row.get(1)?), row.get(2)?, unknown))
    });
    rows.and_then(Iterator::collect).doing(what)
}

type Ranges = Vec<(i64, i64)>;

/// Per version: the ranges that are there, in order, and the last `seq` of the version.
fn seqs(conn: &Connection) -> Result<Vec<(Key, Ranges, i64)>, DbError> {
    let what = "read the agent's bookkeeping of parts";
    let mut statement = conn
        .prepare(
            "SELECT site_id, db_version, start_seq, end_seq, last_seq FROM \
             __corro_seq_bookkeeping ORDER BY site_id, db_version, start_seq",
        )
        .doing(what)?;
    let mut rows = statement.query([]).doing(what)?;
    let mut found: Vec<(Key, Ranges, i64)> = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let read = || Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?), row.get(4)?));
        let (key, range, last_seq) = read().doing(what)?;
        match found.last_mut() {
            Some((known, ranges, _)) if *known == key => ranges.push(range),
            _ => found.push((key, vec![range], last_seq)),
        }
    }
    Ok(found)
}

/// What `ranges`, which are sorted, leave out of `0..=last_seq`.
fn missing(ranges: &[(i64, i64)], last_seq: i64) -> Vec<(i64, i64)> {
    let mut left_out = Vec::new();
    let mut next = 0;
    for &(start, end) in ranges {
        if start > next {
            left_out.push((next, start - 1));
        }
        next = next.max(end.saturating_add(1));
    }
    if next <= last_seq {
        left_out.push((next, last_seq));
    }
    left_out
}

/// The gaps of each actor, by actor; none where this release lacks the table.
///
/// # Errors
/// When the table cannot be read.
pub fn gaps(conn: &Connection) -> Result<Vec<Gap>, DbError> {
    let what = "read the agent's gaps";
    let mut found: Vec<Gap> = Vec::new();
    if !GAPS.is_here(conn)? {
        return Ok(found);
    }
    let mut statement = conn
        .prepare(
            "SELECT actor_id, \"start\", \"end\" FROM __corro_bookkeeping_gaps \
             ORDER BY actor_id, \"start\"",
        )
        .doing(what)?;
    let mut rows = statement.query([]).doing(what)?;
    while let Some(row) = rows.next().doing(what)? {
        let read = || Ok((row.get::<_, Vec<u8>>(0)?, (row.get(1)?, row.get(2)?)));
        let (site, range) = read().doing(what)?;
        let actor = actor(&site);
        match found.last_mut() {
            Some(gap) if gap.actor == actor => gap.ranges.push(range),
            _ => found.push(Gap { actor, ranges: vec![range] }),
        }
    }
    Ok(found)
}

/// A site id as Corrosion prints it: a UUID with dashes.
fn actor(site: &[u8]) -> String {
    let hex: String = site.iter().map(|byte| format!("{byte:02x}")).collect();
    if hex.len() != 32 {
        return hex;
    }
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
