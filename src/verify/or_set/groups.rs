//! The adds of a range as they are there, key by key, and keys as bytes and back.

use rusqlite::{Connection, Row};

use crate::db::{Datum, DbError, Doing, encode};
use crate::layout::or_set::SetSql;
use crate::scan::or_set::Bounds;
use crate::transform::dot::Dot;

/// The adds of one key, as they are there.
pub(super) type Group = (Vec<Datum>, Vec<(Datum, Datum)>);

pub(super) fn encode_key(key: &[Datum], out: &mut Vec<u8>) {
    for value in key {
        encode(value.as_ref(), out);
    }
}

pub(super) fn is_dot(datum: &Datum, dot: Dot) -> bool {
    matches!(datum, Datum::Blob(bytes) if bytes[..] == dot.0[..])
}

pub(super) fn decode(mut bytes: &[u8]) -> Vec<Datum> {
    let mut key = Vec::new();
    while let Some((datum, rest)) = Datum::decode(bytes) {
        key.push(datum);
        bytes = rest;
    }
    key
}

/// The adds of a range, key by key.
pub(super) fn groups(
    conn: &Connection,
    sql: &SetSql,
    bounds: &Bounds,
) -> Result<Vec<Group>, DbError> {
    let what = "read the adds";
    let keys = sql.keys();
    let text = sql.adds_in(bounds.after.is_some(), bounds.through.is_some());
    let mut statement = conn.prepare_cached(text).doing(what)?;
    let mut rows = statement.query(rusqlite::params_from_iter(bounds.parameters())).doing(what)?;
    let mut groups: Vec<Group> = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let add = (row.get(keys).doing(what)?, row.get(keys + 1).doing(what)?);
        match groups.last_mut() {
            Some((key, adds)) if has_key(row, key).doing(what)? => adds.push(add),
            _ => {
                let key = (0..keys).map(|i| row.get(i)).collect::<Result<_, _>>().doing(what)?;
                groups.push((key, vec![add]));
            }
        }
    }
    Ok(groups)
}

fn has_key(row: &Row<'_>, key: &[Datum]) -> rusqlite::Result<bool> {
    for (i, value) in key.iter().enumerate() {
        if row.get_ref(i)? != value.as_ref() {
            return Ok(false);
        }
    }
    Ok(true)
}
