//! `--keys-of KEYS`: where the receiver has the same keys as this replica, by its key digest, so that
//! they need not be shipped; and cutting a table along those places.
//!
//! # Invariants
//! The digest decides what is shipped, not what is written: the receiver compares the keys of each
//! block with its own. So nothing wrong can come of keys that change after they were compared here.

use std::path::Path;

use rusqlite::{Connection, params_from_iter};

use super::ExportOptions;
use super::source::Source;
use crate::db::quote::list;
use crate::db::{Affinity, Datum, DbError, Doing, Table};
use crate::engine::RunError;
use crate::engine::keys::sum_all;
use crate::engine::watch::Watch;
use crate::layout::RangeSql;
use crate::migration::Migration;
use crate::monitor::{Monitor, Stage};
use crate::split::{Position, Range, Splitter};
use crate::verify::{KeySum, KeysReport, TableKeys, key_shape};

/// Rows of a piece.
const RANGE_ROWS: u64 = 8192;

/// Rows after those of the region before, up to and including a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Region {
    through: Position,
    /// Rows that were found here.
    rows: u64,
    /// True where the receiver has the same keys.
    implied: bool,
}

/// A range of rows that becomes a block, or several where they are large.
pub(super) struct Piece {
    pub range: Range,
    /// True where its keys are not shipped.
    pub implied: bool,
}

/// The regions of each change, compared with what the receiver said of its keys.
///
/// # Errors
/// [`RunError::Refused`] where the key digest is of something else; else when keys cannot be read.
pub(super) fn regions(
    db: &Path,
    migration: &Migration,
    sources: &[Source],
    keys: &KeysReport,
    options: &ExportOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Vec<Region>>, RunError> {
    check_migration(migration, keys)?;
    let watch = Watch::new(Stage::Exporting, "comparing keys", &options.cancel, monitor);
    let mut tables = Vec::new();
    for source in sources {
        tables.push(match source.ownership {
            Some(_) => Some(check_table(migration, source.subject.table(), keys)?),
            None => None,
        });
    }
    let mut regions: Vec<Vec<Region>> = Vec::new();
    for (i, known) in tables.iter().enumerate() {
        let Some(known) = known else {
            regions.push(Vec::new());
            continue;
        };
        // Several columns of one table have the same keys.
        let before = tables[..i].iter().position(|t| t.is_some_and(|t| std::ptr::eq(t, *known)));
        let found = match before {
            Some(same) => regions[same].clone(),
            None => compare(db, sources[i].subject.table(), known, options.threads, &watch)?,
        };
        regions.push(found);
    }
    Ok(regions)
}

fn refused(migration: &Migration, problem: &str) -> RunError {
    let id = migration.id.as_str();
    let remedy = "give --keys-of what `dotfill digest MIGRATION --db FILE --keys` prints on the \
                  replica that the deltas are for, with the migration file that was run here";
    RunError::refused(id, format!("--keys-of: {problem}"), remedy)
}

fn check_migration(migration: &Migration, keys: &KeysReport) -> Result<(), RunError> {
    if keys.migration != migration.id.as_str() {
        return Err(refused(migration, &format!("it is of migration {}", keys.migration)));
    }
    let digest = blake3::Hash::from(migration.digest).to_hex();
    if keys.migration_digest != digest.as_str() {
        return Err(refused(migration, "it was made with another file of that migration"));
    }
    Ok(())
}

/// What the receiver said of the keys of a table.
fn check_table<'k>(
    migration: &Migration,
    table: &Table,
    keys: &'k KeysReport,
) -> Result<&'k TableKeys, RunError> {
    let name = table.sql();
    let known = keys.tables.iter().find(|known| known.table.eq_ignore_ascii_case(&table.name));
    let Some(known) = known else {
        return Err(refused(migration, &format!("it says nothing of table {name}")));
    };
    let here = key_shape(table);
    if known.key != here {
        let problem =
            format!("rows of table {name} are told by ({}) there and by ({here}) here", known.key);
        return Err(refused(migration, &problem));
    }
    if !is_in_order(table, known)? {
        let problem = format!("the ranges of table {name} are not in the order of its key");
        return Err(refused(migration, &problem));
    }
    Ok(known)
}

/// True where the ranges end at keys of this table that rise, as `SQLite` orders them.
fn is_in_order(table: &Table, known: &TableKeys) -> Result<bool, DbError> {
    let what = "order the ranges of a key digest";
    if known.ranges.iter().any(|range| range.through.len() != table.key.len()) {
        return Ok(false);
    }
    let columns = table.key.iter().enumerate().map(|(i, key)| {
        // Values are stored as they are.
        let affinity = Affinity::Blob.declaration();
        format!("k{i} {affinity} COLLATE {}", key.collation)
    });
    let names = || (0..table.key.len()).map(|i| format!("k{i}"));
    let order = table
        .scan
        .terms
        .iter()
        .zip(names())
        .map(|(term, name)| format!("{name}{}", if term.descending { " DESC" } else { "" }));
    let values = (0..=table.key.len()).map(|i| format!("?{}", i + 1));
    let conn = Connection::open_in_memory().doing(what)?;
    // A key that comes again would be ordered the other way round.
    conn.execute_batch(&format!("CREATE TABLE k (n, {})", list(columns))).doing(what)?;
    let insert = format!("INSERT INTO k (n, {}) VALUES ({})", list(names()), list(values));
    let mut statement = conn.prepare(&insert).doing(what)?;
    for (n, range) in (0_i64..).zip(&known.ranges) {
        let n = Datum::Integer(n);
        statement.execute(params_from_iter([&n].into_iter().chain(&range.through))).doing(what)?;
    }
    let select = format!("SELECT n FROM k ORDER BY {}, n DESC", list(order));
    let mut statement = conn.prepare(&select).doing(what)?;
    let numbers = statement.query_map([], |row| row.get::<_, i64>(0)).doing(what)?;
    let numbers = numbers.collect::<Result<Vec<_>, _>>().doing(what)?;
    Ok(numbers.into_iter().zip(0..).all(|(n, place)| n == place))
}

/// Sums the keys of the receiver's ranges here, and joins neighbours that are found alike.
fn compare(
    db: &Path,
    table: &Table,
    known: &TableKeys,
    threads: usize,
    watch: &Watch<'_>,
) -> Result<Vec<Region>, RunError> {
    let here = sum_all(db, table, threads, watch, |send| {
        let mut after = None;
        for range in &known.ranges {
            let through = Position(range.through.clone());
            let after = after.replace(through.clone());
            if !send.range(Range { after, through, rows: range.keys.rows }) {
                break;
            }
        }
        Ok(())
    })?;
    Ok(joined(here.into_iter().zip(known.ranges.iter().map(|range| range.keys))))
}

fn joined(ranges: impl Iterator<Item = ((Range, KeySum), KeySum)>) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for ((Range { through, .. }, here), there) in ranges {
        let implied = here == there;
        match regions.last_mut() {
            Some(last) if last.implied == implied => {
                last.through = through;
                last.rows += here.rows;
            }
            _ => regions.push(Region { through, rows: here.rows, implied }),
        }
    }
    regions
}

/// Cuts a table into pieces, none of which lies in two regions; after the last region, keys are
/// shipped.
pub(super) struct Cutter<'c> {
    conn: &'c Connection,
    table: &'c Table,
    regions: std::slice::Iter<'c, Region>,
    /// What is left of a piece that was begun before.
    begun: Option<Piece>,
    /// What is left of the region that is being cut.
    rest: Option<Piece>,
    after: Option<Position>,
    /// What comes after the last region.
    tail: Option<Splitter<'c>>,
}

impl<'c> Cutter<'c> {
    /// Cuts what comes after a key: first to the end of the piece that the key lies in, where that is
    /// not the key itself.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) fn new(
        conn: &'c Connection,
        table: &'c Table,
        (after, piece): (Option<Position>, Option<Position>),
        regions: &'c [Region],
    ) -> Result<Self, DbError> {
        let regions = regions.iter();
        let mut cutter = Self { conn, table, regions, begun: None, rest: None, after, tail: None };
        if cutter.after.is_some() {
            cutter.skip()?;
            if let Some(end) = piece {
                cutter.go_on(end)?;
            }
        }
        Ok(cutter)
    }

    /// Begins with what is left of a piece up to `end`, where that is in one region.
    fn go_on(&mut self, end: Position) -> Result<(), DbError> {
        let region = self.regions.clone().next();
        if let Some(region) = region {
            let after = Some(region.through.clone());
            if self.is_any(&Range { after, through: end.clone(), rows: 0 })? {
                return Ok(());
            }
        }
        let implied = region.is_some_and(|region| region.implied);
        let range = Range { after: self.after.replace(end.clone()), through: end, rows: 0 };
        self.begun = Some(Piece { range, implied });
        self.skip()
    }

    /// True where a range after a key has a row.
    fn is_any(&self, range: &Range) -> Result<bool, DbError> {
        let (sql, what) = (exists(self.table), "look for the place to continue at");
        let parameters = params_from_iter(range.parameters());
        self.conn.prepare_cached(&sql).and_then(|mut s| s.exists(parameters)).doing(what)
    }

    /// Passes the regions of which no row comes after the key: the next one begins there, or has
    /// been begun.
    fn skip(&mut self) -> Result<(), DbError> {
        while let Some(region) = self.regions.clone().next() {
            if self.is_any(&self.range_of(region))? {
                break;
            }
            self.regions.next();
        }
        Ok(())
    }

    fn range_of(&self, region: &Region) -> Range {
        Range { after: self.after.clone(), through: region.through.clone(), rows: region.rows }
    }

    /// The next piece; `None` after the last row.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) fn next_piece(&mut self) -> Result<Option<Piece>, DbError> {
        if let Some(piece) = self.begun.take() {
            return Ok(Some(piece));
        }
        if self.rest.is_none()
            && let Some(region) = self.regions.next()
        {
            self.rest = Some(Piece { range: self.range_of(region), implied: region.implied });
        }
        if let Some(Piece { range, implied }) = self.rest.take() {
            let (range, rest) = range.cut(self.conn, self.table, RANGE_ROWS)?;
            self.rest = rest.map(|range| Piece { range, implied });
            self.after = Some(range.through.clone());
            return Ok(Some(Piece { range, implied }));
        }
        let (conn, table, after) = (self.conn, self.table, &mut self.after);
        let tail =
            self.tail.get_or_insert_with(|| Splitter::new(conn, table, RANGE_ROWS, after.take()));
        Ok(tail.next_range()?.map(|range| Piece { range, implied: false }))
    }
}

/// Whether a range after a key has a row.
fn exists(table: &Table) -> String {
    let within = RangeSql::new(&table.scan).within(true);
    format!("SELECT 1 FROM {} WHERE {within} LIMIT 1", table.sql())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_to_continue_at_is_sought() {
        for mut place in crate::layout::plans::places() {
            place.target.table.walk_by_key();
            place.assert_seeks(&exists(&place.target.table));
        }
    }

    #[test]
    fn neighbours_that_are_alike_are_one_region() {
        let range = |n: i64, here: u64, there: u64| {
            let through = Position(vec![Datum::Integer(n)]);
            let keys = |rows| KeySum { rows, sum: rows };
            ((Range { after: None, through, rows: there }, keys(here)), keys(there))
        };
        let ranges =
            [range(1, 5, 5), range(2, 6, 6), range(3, 7, 8), range(4, 9, 0), range(5, 1, 1)];
        let found = joined(ranges.into_iter());
        let want = [(2, 11, true), (4, 16, false), (5, 1, true)];
        let told: Vec<_> =
            found.iter().map(|r| (r.through.to_string(), r.rows, r.implied)).collect();
        let want: Vec<_> =
            want.iter().map(|(n, rows, alike)| (n.to_string(), *rows, *alike)).collect();
        assert_eq!(told, want);
    }
}
