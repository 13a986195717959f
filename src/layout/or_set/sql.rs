//! The statements over objects and their adds. The query plan of each is tested: none scans.

use super::{ClosedObjects, OldForm, SetLayout, SetTarget};
use crate::db::quote::{ident, list};
use crate::layout::RangeSql;

/// The statements of one target.
#[derive(Clone, Debug)]
pub struct SetSql {
    /// The conditions over ranges of keys, alike for the table and for the adds.
    pub range: RangeSql,
    keys: usize,
    sources: [String; 4],
    adds_in: [String; 4],
    note_all: [String; 4],
    /// The object with the key `?1..`: no row where there is none, else as [`Self::sources`] has it
    /// after the key.
    pub source_of: String,
    /// Element and dot of the adds of the object with the key `?1..`.
    pub adds_of: String,
    /// Adds a row: key, element, dot. Does nothing where it is there.
    pub insert: String,
    /// As `insert`, and nothing where cr-sqlite has a clock row for it: a user has deleted it.
    pub insert_unless_clocked: String,
    /// Deletes a row: key, element, dot.
    pub delete: String,
    /// One row where cr-sqlite has a clock row for an add: key, element, dot.
    pub is_clocked: Option<String>,
    /// One row where users have added anything.
    pub any_key: Option<String>,
    /// Notes the key `?1..`.
    pub note: String,
    /// The first `?1` notes: id, key.
    pub take: String,
    /// Removes the notes up to the id `?1`.
    pub forget: String,
    /// One row where the key `?1..` is noted.
    pub is_noted: String,
    /// One row where the object `?1..` is in the cohort, where there is one.
    pub in_cohort: Option<String>,
    /// Remembers the last key that the fill has passed.
    pub set_frontier: String,
}

impl SetSql {
    /// Builds them.
    #[must_use]
    pub fn new(target: &SetTarget) -> Self {
        let range = RangeSql::new(&target.table.scan);
        let keys = target.table.key.len();
        let names = target.keys();
        let parameters = |first: usize, count: usize| list((first..first + count).map(number));
        let is_key = equal(&names, 1);
        let adds = ident(&target.adds);
        let all = list(names.iter().cloned().chain(["element".into(), "dot".into()]));
        let of_add = format!("{is_key} AND element = ?{} AND dot = ?{}", keys + 1, keys + 2);
        let (is_clocked, any_key) = clock(target, &of_add);
        let values = parameters(1, keys + 2);
        let guard = is_clocked.as_ref().map_or("true".into(), |sql| format!("NOT EXISTS ({sql})"));
        let (dirty, side) = (target.dirty_table(), list(target.side_keys()));
        Self {
            sources: bounds(&range).map(|within| sources(target, &range, &within)),
            adds_in: bounds(&range).map(|within| {
                let order = &range.order;
                format!("SELECT {all} FROM {adds} WHERE {within} ORDER BY {order}, element, dot")
            }),
            note_all: bounds(&range).map(|within| {
                let (table, keys) = (target.table.sql(), list(names.iter().cloned()));
                format!(
                    "INSERT INTO {dirty} ({side}) SELECT {keys} FROM {table} WHERE {within} \
                     UNION SELECT {keys} FROM {adds} WHERE {within}"
                )
            }),
            source_of: source_of(target, &is_key),
            adds_of: format!("SELECT element, dot FROM {adds} WHERE {is_key}"),
            insert: format!("INSERT INTO {adds} ({all}) VALUES ({values}) ON CONFLICT DO NOTHING"),
            insert_unless_clocked: format!(
                "INSERT INTO {adds} ({all}) SELECT {values} WHERE {guard} ON CONFLICT DO NOTHING"
            ),
            delete: format!("DELETE FROM {adds} WHERE {of_add}"),
            note: format!("INSERT INTO {dirty} ({side}) VALUES ({})", parameters(1, keys)),
            take: format!("SELECT id, {side} FROM {dirty} ORDER BY id LIMIT ?1"),
            forget: format!("DELETE FROM {dirty} WHERE id <= ?1"),
            in_cohort: (target.closed == ClosedObjects::Cohort).then(|| {
                let is_key = equal(&target.side_keys(), 1);
                format!("SELECT 1 FROM {} WHERE {is_key}", target.cohort_table())
            }),
            is_noted: format!("SELECT 1 FROM {dirty} WHERE {}", equal(&target.side_keys(), 1)),
            set_frontier: format!(
                "INSERT OR REPLACE INTO {} (one, {side}) VALUES (1, {})",
                target.frontier_table(),
                parameters(1, keys)
            ),
            is_clocked,
            any_key,
            range,
            keys,
        }
    }

    /// The columns of a key.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// The old form of the objects of a range, in order: the key, then the text; or the key, whether
    /// there is a row, and its element, for each row of a child table. Parameters: the bounds that
    /// there are.
    #[must_use]
    pub fn sources(&self, lower: bool, upper: bool) -> &str {
        &self.sources[place(lower, upper)]
    }

    /// The adds of a range of keys, in order: key, element, dot.
    #[must_use]
    pub fn adds_in(&self, lower: bool, upper: bool) -> &str {
        &self.adds_in[place(lower, upper)]
    }

    /// Notes every key of a range, of the table and of the adds. Parameters as for the range.
    #[must_use]
    pub fn note_all(&self, lower: bool, upper: bool) -> &str {
        &self.note_all[place(lower, upper)]
    }
}

fn number(i: usize) -> String {
    format!("?{i}")
}

fn equal(names: &[String], first: usize) -> String {
    let pairs: Vec<_> =
        names.iter().enumerate().map(|(i, name)| format!("{name} = ?{}", i + first)).collect();
    pairs.join(" AND ")
}

fn place(lower: bool, upper: bool) -> usize {
    usize::from(lower) + 2 * usize::from(upper)
}

/// The conditions by [`place`].
fn bounds(range: &RangeSql) -> [String; 4] {
    [
        range.after(false).to_owned(),
        range.after(true).to_owned(),
        range.within(false),
        range.within(true),
    ]
}

fn sources(target: &SetTarget, range: &RangeSql, within: &str) -> String {
    let (table, keys) = (target.table.sql(), list(target.keys()));
    match &target.old {
        OldForm::Column { column, .. } => {
            let column = ident(column);
            format!("SELECT {keys}, {column} FROM {table} WHERE {within} ORDER BY {}", range.order)
        }
        OldForm::Rows { table: rows, element, key } => {
            let sides = target.side_keys();
            let named = target.keys().into_iter().zip(&sides).map(|(k, s)| format!("{k} AS {s}"));
            let objects = format!("SELECT {} FROM {table} WHERE {within}", list(named));
            // The plus takes the object's affinity off, so that an index of the rows can be used.
            let on = key.iter().zip(&sides).map(|(k, s)| format!("c.{} = +o.{s}", ident(k)));
            let order = range.terms.iter().zip(&target.table.scan.terms).map(|(sql, term)| {
                let at = target.keys().iter().position(|key| key == sql).unwrap_or(0);
                format!("o.{}{}", sides[at], if term.descending { " DESC" } else { "" })
            });
            format!(
                "SELECT {}, c.{} IS NOT NULL, c.{} FROM ({objects}) AS o LEFT JOIN {} AS c ON {} \
                 ORDER BY {}",
                list(sides.iter().map(|side| format!("o.{side}"))),
                ident(&key[0]),
                ident(element),
                ident(rows),
                on.collect::<Vec<_>>().join(" AND "),
                list(order)
            )
        }
    }
}

fn source_of(target: &SetTarget, is_key: &str) -> String {
    let table = target.table.sql();
    match &target.old {
        OldForm::Column { column, .. } => {
            format!("SELECT {} FROM {table} WHERE {is_key}", ident(column))
        }
        OldForm::Rows { table: rows, element, key } => {
            let names: Vec<_> = key.iter().map(|name| format!("c.{}", ident(name))).collect();
            format!(
                "SELECT {} IS NOT NULL, c.{} FROM (SELECT 1 FROM {table} WHERE {is_key}) AS o \
                 LEFT JOIN {} AS c ON {}",
                names[0],
                ident(element),
                ident(rows),
                equal(&names, 1)
            )
        }
    }
}

/// The look at the clock row of an add, and at whether there are any.
fn clock(target: &SetTarget, of_add: &str) -> (Option<String>, Option<String>) {
    match &target.layout {
        SetLayout::Plain => (None, None),
        SetLayout::CrSqlite { adds } => {
            let (clock, pks) = (&adds.clock, &adds.pks);
            let key = format!("(SELECT __crsql_key FROM {pks} WHERE {of_add})");
            (
                Some(format!("SELECT 1 FROM {clock} WHERE key = {key}")),
                Some(format!("SELECT 1 FROM {pks} LIMIT 1")),
            )
        }
    }
}
