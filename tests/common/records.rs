//! What a replica would ship: its change records and its vector of versions per site.

use std::collections::BTreeMap;

use rusqlite::types::Value;

use super::{Client, Replica};

/// One row of `crsql_changes`.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeRecord {
    pub table: String,
    pub pk: Vec<u8>,
    pub column: String,
    pub value: Value,
    pub col_version: i64,
    pub db_version: i64,
    pub site_id: Vec<u8>,
    pub causal_length: i64,
    pub seq: i64,
    pub ts: String,
}

/// What identifies a record: site, version, sequence, key, column.
type Place<'a> = (&'a [u8], i64, i64, &'a [u8], &'a str);

impl ChangeRecord {
    /// The record under its place, so that many can be compared.
    fn place(&self) -> (Place<'_>, &Self) {
        let Self { site_id, pk, column, .. } = self;
        ((site_id, self.db_version, self.seq, pk, column), self)
    }
}

/// All change records of a replica and its versions, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    pub changes: Vec<ChangeRecord>,
    pub versions: BTreeMap<Vec<u8>, i64>,
}

impl Records {
    /// What the replica has now.
    ///
    /// Read by a connection of their own: one that has read `crsql_changes` and committed nothing
    /// since keeps cr-sqlite's idea of the columns over someone else's ALTER (see
    /// `live_connections_learn_the_column`).
    pub fn of(replica: &Replica) -> Self {
        let reader = replica.connect();
        Self { changes: changes(&reader), versions: versions(&reader) }
    }

    /// The records of one column.
    pub fn of_column<'a>(&'a self, column: &'a str) -> impl Iterator<Item = &'a ChangeRecord> {
        self.changes.iter().filter(move |change| change.column == column)
    }

    /// Panics if `replica` has a record that is not in `self`, or another version of any site.
    /// Records that are gone are no news for any peer, and allowed.
    pub fn assert_none_created(&self, replica: &Replica) {
        let now = Self::of(replica);
        let known: BTreeMap<_, _> = self.changes.iter().map(ChangeRecord::place).collect();
        let created: Vec<_> = (now.changes.iter().map(ChangeRecord::place))
            .filter(|(place, change)| known.get(place) != Some(change))
            .collect();
        assert!(created.is_empty(), "change records were created: {created:#?}");
        assert_eq!(now.versions, self.versions, "a site's db_version moved");
    }
}

fn changes(client: &Client) -> Vec<ChangeRecord> {
    let mut statement = client
        .prepare(
            "SELECT \"table\", pk, cid, val, col_version, db_version, site_id, cl, seq, ts
             FROM crsql_changes ORDER BY site_id, db_version, seq",
        )
        .unwrap();
    let record = |row: &rusqlite::Row<'_>| {
        Ok(ChangeRecord {
            table: row.get(0)?,
            pk: row.get(1)?,
            column: row.get(2)?,
            value: row.get(3)?,
            col_version: row.get(4)?,
            db_version: row.get(5)?,
            site_id: row.get(6)?,
            causal_length: row.get(7)?,
            seq: row.get(8)?,
            ts: row.get(9)?,
        })
    };
    statement.query_map([], record).unwrap().map(Result::unwrap).collect()
}

/// What the replica has seen of every site, itself included.
pub fn versions(client: &Client) -> BTreeMap<Vec<u8>, i64> {
    let mut statement =
        client.prepare("SELECT site_id, db_version FROM crsql_db_versions").unwrap();
    let version = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    statement.query_map([], version).unwrap().map(Result::unwrap).collect()
}
