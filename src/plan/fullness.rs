//! How full the leaf pages of a b-tree are, and making those of a sample as full: whether an
//! UPDATE that lengthens rows splits pages depends on nothing else as much.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::db::quote::ident;
use crate::db::{DbError, Doing};

/// Differences of fullness below this part of a page are left alone.
const TOLERANCE: f64 = 0.01;

/// Stretches of pages that are imitated, spread over those that were seen.
const RUNS: usize = 8;

/// The column, and the function, that a sample's rows are lengthened with for a moment.
const PAD: &str = "_dotfill_pad";

/// How the rows of a table can be lengthened for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lengthen {
    /// By one more column.
    NewColumn,
    /// By more text in this column, which saves the byte of another column's type: it counts where
    /// rows are short.
    Text(&'static str),
}

/// What was seen of a b-tree's leaf pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Fullness {
    /// Bytes that they use, page headers included.
    used: u64,
    /// Bytes that they have.
    bytes: u64,
    /// Rows on them.
    cells: u64,
    /// Rows on each of them, in the b-tree's order.
    pages: Vec<u16>,
}

impl Fullness {
    /// Looks at the leaf pages of a table's b-tree, in its order, for about `limit`.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn look(conn: &Connection, table: &str, limit: Duration) -> Result<Self, DbError> {
        let what = format!("look at the pages of {}", ident(table));
        let sql = "SELECT ncell, unused, pgsize FROM dbstat WHERE name = ?1 AND pagetype = 'leaf'";
        let mut statement = conn.prepare_cached(sql).doing(&what)?;
        let mut rows = statement.query([table]).doing(&what)?;
        let began = Instant::now();
        let mut seen = Self::default();
        while let Some(row) = rows.next().doing(&what)? {
            let read = || Ok((row.get::<_, u16>(0)?, row.get::<_, u64>(1)?, row.get::<_, u64>(2)?));
            let (cells, unused, bytes) = read().doing(&what)?;
            seen.used += bytes.saturating_sub(unused);
            seen.bytes += bytes;
            seen.cells += u64::from(cells);
            seen.pages.push(cells);
            if seen.pages.len().is_multiple_of(256) && began.elapsed() > limit {
                break;
            }
        }
        Ok(seen)
    }

    /// The part of the leaf pages that is used, from 0 to 1.
    fn part(&self) -> f64 {
        ratio(self.used, self.bytes)
    }

    /// How much pages differ: the mean deviation of their rows from the mean, as part of it.
    fn spread(&self) -> f64 {
        let pages = self.pages.len() as u64;
        let mean = ratio(self.cells, pages);
        let off: f64 = self.pages.iter().map(|cells| (f64::from(*cells) - mean).abs()).sum();
        off / mean.max(1.0) / ratio(pages, 1).max(1.0)
    }

    /// Makes the leaf pages of the same table in a sample as full as these, page by page.
    ///
    /// Pages are packed, with rows that are longer by so much that as many are on each page as in
    /// the original; then the rows are shortened: `SQLite` never joins pages because a row shrank
    /// in place.
    ///
    /// # Errors
    /// When the sample cannot be written.
    pub fn imitate(
        &self,
        sample: &Connection,
        table: &str,
        by: Lengthen,
        without_rowid: bool,
    ) -> Result<(), DbError> {
        let built = Self::look(sample, table, Duration::MAX)?;
        let alike = (self.part() - built.part()).abs() < TOLERANCE
            && (self.spread() - built.spread()).abs() < 5.0 * TOLERANCE;
        if self.cells == 0 || built.cells == 0 || alike {
            return Ok(());
        }
        // A b-tree without rowids keeps one row between two leaf pages on the page above.
        let pads = self.pads(&built, by, usize::from(without_rowid));
        lengthen(sample, table, by, pads).doing(format!("imitate the pages of {}", ident(table)))
    }

    /// By how many bytes each row of a sample is to be longer.
    fn pads(&self, built: &Self, by: Lengthen, between: usize) -> Vec<u32> {
        let page = ratio(self.bytes, self.pages.len() as u64);
        let own = if by == Lengthen::NewColumn { 1.0 } else { 0.0 };
        let cell = ratio(built.used, built.cells);
        let rows = usize::try_from(built.cells).unwrap_or(0) + between * built.pages.len();
        let mut pads: Vec<u32> = Vec::with_capacity(rows);
        for run in 0..RUNS {
            let first = self.pages.len() * run / RUNS;
            let end = rows * (run + 1) / RUNS;
            for cells in self.pages.iter().cycle().skip(first) {
                if pads.len() >= end {
                    break;
                }
                let count = f64::from((*cells).max(1));
                // Half a row is left free, so that the next page's first row does not fit.
                let pad = (page - count * (cell + own) - cell / 2.0).max(0.0);
                let upto = |i: u16| whole(pad * f64::from(i) / count);
                pads.extend((0..*cells).map(|i| upto(i + 1) - upto(i)));
                pads.extend(std::iter::repeat_n(0, between.max(usize::from(*cells == 0))));
            }
        }
        pads
    }
}

/// Packs pages with rows that are longer by `pads`, in order, then shortens the rows.
fn lengthen(
    sample: &Connection,
    table: &str,
    by: Lengthen,
    pads: Vec<u32>,
) -> rusqlite::Result<()> {
    let (table, pad, pads) = (ident(table), ident(PAD), std::sync::Arc::new(pads));
    let restart = || {
        let (next, pads) = (AtomicUsize::new(0), std::sync::Arc::clone(&pads));
        sample.create_scalar_function(PAD, 0, FunctionFlags::SQLITE_UTF8, move |_| {
            Ok(pads.get(next.fetch_add(1, Ordering::Relaxed)).copied().unwrap_or(0))
        })
    };
    restart()?;
    match by {
        Lengthen::NewColumn => sample.execute_batch(&format!(
            "ALTER TABLE {table} ADD COLUMN {pad} BLOB; \
             UPDATE {table} SET {pad} = zeroblob({pad}()); \
             VACUUM; ALTER TABLE {table} DROP COLUMN {pad};"
        )),
        Lengthen::Text(column) => {
            sample.execute_batch(&format!(
                "UPDATE {table} SET {column} = {column} || \
                 replace(hex(zeroblob({pad}())), '00', '0'); VACUUM;"
            ))?;
            restart()?;
            sample.execute_batch(&format!(
                "UPDATE {table} SET {column} = substr({column}, 1, length({column}) - {pad}())"
            ))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most the bytes of a page, and never negative"
)]
fn whole(value: f64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(order: &str) -> Connection {
        let conn = Connection::open_in_memory().expect("memory");
        conn.execute_batch(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
             CREATE TABLE c (k INT, n TEXT, v INT NOT NULL, ts TEXT, PRIMARY KEY (k, n))
             WITHOUT ROWID, STRICT;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO t SELECT i, hex(zeroblob(40)) FROM n ORDER BY {order};
             INSERT INTO c SELECT id, 'name', 1, '0' FROM t ORDER BY (id * 7919) % 20011;"
        ))
        .expect("rows");
        conn
    }

    fn look(conn: &Connection, table: &str) -> Fullness {
        Fullness::look(conn, table, Duration::MAX).expect("pages")
    }

    #[test]
    fn a_sample_becomes_as_full_as_the_table() {
        let loose = rows("(i * 7919) % 20011");
        for (table, by) in [("t", Lengthen::NewColumn), ("c", Lengthen::Text("ts"))] {
            let sample = rows("i");
            if table == "c" {
                sample
                    .execute_batch(
                        "CREATE TEMP TABLE s AS SELECT * FROM c; DELETE FROM c; \
                                    INSERT INTO c SELECT * FROM s ORDER BY k; DROP TABLE s;",
                    )
                    .expect("in order");
            }
            let want = look(&loose, table);
            want.imitate(&sample, table, by, table == "c").expect("imitated");
            let got = look(&sample, table);
            assert!((got.part() - want.part()).abs() < 0.02, "{} {}", got.part(), want.part());
            assert!((got.spread() - want.spread()).abs() < 0.04);
            let short: i64 = sample
                .query_row("SELECT count(*) FROM c WHERE ts = '0'", [], |row| row.get(0))
                .expect("rows");
            assert_eq!(short, 20_000);
        }
    }

    #[test]
    fn a_loose_sample_is_packed() {
        let sample = rows("(i * 7919) % 20011");
        look(&rows("i"), "t").imitate(&sample, "t", Lengthen::NewColumn, false).expect("imitated");
        assert!(look(&sample, "t").part() > 0.95);
    }
}
