//! The size of change records as they are shipped: one definition, for what is predicted and for
//! what was really published.
//!
//! # Definition
//! A record is a row of `crsql_changes`. Its bytes are the payload of its fields: the bytes of
//! `table`, `cid` and `ts`; of the packed key (a byte for the count of columns, then per column a
//! byte of type and length, and the value: integers in as few bytes as hold them, REALs in 8, text
//! and blobs after their length); of the value (text and blobs their bytes, numbers 8, NULL none);
//! 8 each for `col_version`, `db_version`, `cl` and `seq`; 16 for the site. Framing, compression,
//! retransmission and gossip are the transport's own and come on top.

use rusqlite::Connection;
use serde::Serialize;

use crate::db::quote::{ident, text};
use crate::db::{Datum, DbError, Doing};
use crate::layout::crsqlite::CrTable;
use crate::layout::{Layout, Target};

/// `col_version`, `db_version`, `cl` and `seq` of 8 bytes each, and a site of 16.
pub(super) const FIXED_BYTES: usize = 4 * 8 + 16;

/// Change records, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Records {
    /// How many.
    pub count: u64,
    /// Their bytes, by this file's definition.
    pub bytes: u64,
}

impl std::ops::AddAssign for Records {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

/// The records of the target column that the site with this ordinal (0 is this replica itself)
/// wrote after version `after`, as they would be shipped now. None for a plain table.
///
/// # Errors
/// When cr-sqlite's tables cannot be read.
pub fn record_bytes(
    conn: &Connection,
    target: &Target,
    ordinal: i64,
    after: i64,
) -> Result<Records, DbError> {
    let Layout::CrSqlite(cr) = &target.layout else {
        return Ok(Records::default());
    };
    conn.prepare_cached(&sql(target, cr))
        .and_then(|mut s| {
            s.query_row([ordinal, after], |row| {
                Ok(Records { count: row.get(0)?, bytes: row.get(1)? })
            })
        })
        .doing(format!("measure the change records of {}", target.table.sql()))
}

/// Walks the clock's index of versions, then seeks key and row.
fn sql(target: &Target, cr: &CrTable) -> String {
    let (clock, pks, table) = (&cr.clock, &cr.pks, target.table.sql());
    let keys: Vec<String> = target.table.key.iter().map(|key| ident(&key.name)).collect();
    let same = keys.iter().map(|key| format!("{table}.{key} = {pks}.{key}"));
    let packed: String =
        keys.iter().map(|key| format!(" + {}", packed(&format!("{table}.{key}")))).collect();
    let fixed = FIXED_BYTES + target.table.name.len() + target.column.len() + 1;
    let value = format!("{table}.{}", target.column_sql());
    format!(
        "SELECT count(*), coalesce(sum({fixed}{packed} + {} + octet_length({clock}.ts)), 0) \
         FROM {clock} CROSS JOIN {pks} ON {pks}.__crsql_key = {clock}.key CROSS JOIN {table} \
         ON {} WHERE {clock}.site_id = ?1 AND {clock}.db_version > ?2 AND {clock}.col_name = {}",
        payload(&value),
        same.collect::<Vec<_>>().join(" AND "),
        text(&target.column)
    )
}

/// The bytes of a value.
fn payload(value: &str) -> String {
    format!(
        "CASE typeof({value}) WHEN 'null' THEN 0 WHEN 'integer' THEN 8 WHEN 'real' THEN 8 \
         ELSE octet_length({value}) END"
    )
}

/// The bytes of one column of a packed key.
fn packed(key: &str) -> String {
    let whole = |number: &str| {
        let steps: String = (1..8)
            .map(|bytes| format!(" WHEN {number} < {} THEN {bytes}", 1_i64 << (8 * bytes)))
            .collect();
        format!("CASE WHEN {number} < 0 THEN 8 WHEN {number} = 0 THEN 0{steps} ELSE 8 END")
    };
    let length = format!("octet_length({key})");
    format!(
        "CASE typeof({key}) WHEN 'null' THEN 1 WHEN 'real' THEN 9 WHEN 'integer' THEN 1 + {} \
         ELSE 1 + {} + {length} END",
        whole(key),
        whole(&length)
    )
}

/// The bytes of one column of a packed key, as [`packed`] has them in SQL.
pub(super) fn packed_bytes(value: &Datum) -> u64 {
    let whole = |number: u64| u64::from((64 - number.leading_zeros()).div_ceil(8));
    match value {
        Datum::Null => 1,
        Datum::Real(_) => 9,
        Datum::Integer(i) => 1 + u64::try_from(*i).map_or(8, whole),
        Datum::Text(bytes) | Datum::Blob(bytes) => {
            let length = bytes.len() as u64;
            1 + whole(length) + length
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_measured_as_cr_sqlite_packs_them() {
        let conn = Connection::open_in_memory().expect("memory");
        // Value, and the length of `pk` in crsql_changes of the real extension, less the count.
        let seen = [
            ("0", 1),
            ("1", 2),
            ("127", 2),
            ("128", 2),
            ("255", 2),
            ("256", 3),
            ("65536", 4),
            ("1099511627776", 7),
            ("-1", 9),
            ("1.5", 9),
            ("'abc'", 5),
            ("x'0011'", 4),
            ("printf('%300s', 'a')", 303),
            ("x''", 1),
        ];
        for (value, want) in seen {
            let sql = format!("SELECT {} FROM (SELECT {value} AS k)", packed("k"));
            let got: i64 = conn.query_row(&sql, [], |row| row.get(0)).expect(value);
            assert_eq!(got, want, "{value}");
            let sql = format!("SELECT {value}");
            let datum: Datum = conn.query_row(&sql, [], |row| row.get(0)).expect(value);
            assert_eq!(i64::try_from(packed_bytes(&datum)), Ok(want), "{value}");
        }
    }
}
