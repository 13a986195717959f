//! Which objects a share of the fleet's objects is: a deterministic part by the hash of the key, so
//! that every replica closes the epoch of the same objects, and a larger share holds a smaller one.
//!
//! # Definitions
//! `H = BLAKE3.keyed_hash(K, value(key)..)`, with `K` derived from migration and table; an object is
//! in the share of `p` percent when the first eight bytes of `H`, as u64 LE, are below `p / 100` of
//! 2^64. Its key is in `_dotfill_cohort_<n>` once the epoch of the object is closed here.

use rusqlite::Connection;

use super::triggers::cohort_table;
use crate::db::quote::list;
use crate::db::{Datum, DbError, Doing, encode};
use crate::layout::or_set::{SetSql, SetTarget};
use crate::scan::or_set::Bounds;

/// Tells the objects of a share.
#[derive(Clone, Debug)]
pub struct Share {
    key: [u8; 32],
    below: u128,
}

impl Share {
    /// The share of `percent` (0 to 100) of the objects of `table`.
    #[must_use]
    pub fn new(migration: &str, table: &str, percent: u8) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 cohort v1");
        for field in [migration, table] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        let below = (1_u128 << 64) * u128::from(percent.min(100)) / 100;
        Self { key: *hasher.finalize().as_bytes(), below }
    }

    /// True where the object with this key is in it.
    #[must_use]
    pub fn has(&self, key: &[Datum]) -> bool {
        let mut bytes = Vec::new();
        key.iter().for_each(|value| encode(value.as_ref(), &mut bytes));
        let hash = blake3::keyed_hash(&self.key, &bytes);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u128::from(u64::from_le_bytes(first)) < self.below
    }
}

/// Lets the objects of a range join that are in the share, and are not noted: what they show is what
/// their old form says. Returns how many joined. The caller holds a write transaction.
///
/// # Errors
/// When the database cannot be read or written.
pub fn join(
    conn: &Connection,
    target: &SetTarget,
    share: &Share,
    bounds: &Bounds,
) -> Result<u64, DbError> {
    let what = "close the epoch of objects";
    let sql = SetSql::new(target);
    let keys = list(target.keys());
    let within = match &bounds.through {
        Some(_) => sql.range.within(bounds.after.is_some()),
        None => sql.range.after(bounds.after.is_some()).to_owned(),
    };
    let select = format!("SELECT {keys} FROM {} WHERE {within}", target.table.sql());
    let columns = target.side_keys().len();
    let all: Vec<Vec<Datum>> = conn
        .prepare_cached(&select)
        .and_then(|mut s| {
            s.query_map(rusqlite::params_from_iter(bounds.parameters()), |row| {
                (0..columns).map(|i| row.get(i)).collect()
            })?
            .collect()
        })
        .doing(what)?;
    let insert = format!(
        "INSERT OR IGNORE INTO {} ({}) SELECT {} WHERE NOT EXISTS ({})",
        cohort_table(target.n),
        list(target.side_keys()),
        list((1..=columns).map(|i| format!("?{i}"))),
        sql.is_noted
    );
    let mut insert = conn.prepare_cached(&insert).doing(what)?;
    let mut joined = 0;
    for key in all.iter().filter(|key| share.has(key)) {
        joined += insert.execute(rusqlite::params_from_iter(key)).doing(what)? as u64;
    }
    Ok(joined)
}

/// How many objects have joined.
///
/// # Errors
/// When they cannot be counted.
pub fn size(conn: &Connection, n: i64) -> Result<u64, DbError> {
    conn.prepare_cached(&format!("SELECT count(*) FROM {}", cohort_table(n)))
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .doing("count the cohort")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_and_have_about_their_size() {
        let shares = [0, 10, 50, 100].map(|percent| Share::new("m", "projects", percent));
        let mut counts = [0_u32; 4];
        for i in 0..10_000 {
            let is_in = shares.each_ref().map(|share| share.has(&[Datum::Integer(i)]));
            assert!(is_in.windows(2).all(|pair| pair[0] <= pair[1]), "{i}: {is_in:?}");
            for (count, is_in) in counts.iter_mut().zip(is_in) {
                *count += u32::from(is_in);
            }
        }
        assert_eq!((counts[0], counts[3]), (0, 10_000));
        assert!((900..1100).contains(&counts[1]), "{counts:?}");
        assert!((4800..5200).contains(&counts[2]), "{counts:?}");
        let other = Share::new("n", "projects", 50);
        assert!(
            (0..100)
                .any(|i| other.has(&[Datum::Integer(i)]) != shares[2].has(&[Datum::Integer(i)]))
        );
    }

    #[test]
    fn a_share_is_the_same_everywhere() {
        let share = Share::new("tags-or-set", "projects", 10);
        let members: Vec<i64> = (0..60).filter(|i| share.has(&[Datum::Integer(*i)])).collect();
        assert_eq!(members, Vec::<i64>::new());
    }
}
