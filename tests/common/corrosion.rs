//! The tables of a Corrosion agent in a replica's file, and what an agent has in them when it is
//! behind.

use rusqlite::Connection;

/// The actor whose changes wait in these tests.
pub const ACTOR: &str = "00112233-4455-6677-8899-aabbccddeeff";

const SITE: &str = "x'00112233445566778899aabbccddeeff'";

/// Makes the agent's own tables, empty.
pub fn corrosion_tables(conn: &Connection) {
    conn.execute_batch(include_str!("corrosion.sql")).unwrap();
}

/// A version of [`ACTOR`] of which the changes `0..changes` have arrived, of `0..=last`; they name
/// `column` of `machines`.
pub fn receive_part(conn: &Connection, version: u32, changes: u32, last: u32, column: &str) {
    conn.execute_batch(&format!(
        "BEGIN;
         WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i + 1 < {changes})
         INSERT INTO __corro_buffered_changes
           SELECT 'machines', x'010901', '{column}', 'v', 1, {version}, {SITE}, i, 1, '0' FROM s;
         INSERT INTO __corro_seq_bookkeeping
           VALUES ({SITE}, {version}, 0, {changes} - 1, {last}, '0');
         COMMIT"
    ))
    .unwrap();
}

/// Versions `start..=end` of [`ACTOR`] are known to be lacking.
pub fn miss(conn: &Connection, start: u32, end: u32) {
    let sql = format!("INSERT INTO __corro_bookkeeping_gaps VALUES ({SITE}, {start}, {end})");
    conn.execute_batch(&sql).unwrap();
}

/// Everything that waited is applied or has arrived.
pub fn catch_up(conn: &Connection) {
    conn.execute_batch(
        "BEGIN; DELETE FROM __corro_buffered_changes; DELETE FROM __corro_seq_bookkeeping;
         DELETE FROM __corro_bookkeeping_gaps; COMMIT",
    )
    .unwrap();
}
