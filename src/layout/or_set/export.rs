//! The SQL of shipping sets: objects with their adds, of a range or of one key. Pure text; the query
//! plan of each is tested: none scans.

use super::{SetLayout, SetTarget};
use crate::db::quote::{ident, list};
use crate::layout::RangeSql;

/// The statements of one target.
#[derive(Clone, Debug)]
pub struct SetExportSql {
    select: [String; 2],
    /// As [`Self::select`], of the object with the key `?1..`.
    pub select_one: String,
    clocked: Option<[String; 2]>,
    /// As [`Self::clocked`], of the object with the key `?1..`.
    pub clocked_one: Option<String>,
}

impl SetExportSql {
    /// The statements for `target`, which tell objects that are noted where `noted`.
    #[must_use]
    pub fn new(target: &SetTarget, noted: bool) -> Self {
        let range = RangeSql::new(&target.table.scan);
        let keys = target.keys();
        let pairs = keys.iter().enumerate().map(|(i, key)| format!("{key} = ?{}", i + 1));
        let is_key = pairs.collect::<Vec<_>>().join(" AND ");
        let within = [false, true].map(|bounded| range.within(bounded));
        let clocked = |within: &String| match &target.layout {
            SetLayout::Plain => None,
            SetLayout::CrSqlite { adds } => {
                Some(format!("SELECT dot FROM {} WHERE {within}", adds.pks))
            }
        };
        let [first, bounded] = &within;
        Self {
            select: within.clone().map(|within| select(target, &within, noted)),
            select_one: select(target, &is_key, noted),
            clocked: clocked(first).zip(clocked(bounded)).map(|(a, b)| [a, b]),
            clocked_one: clocked(&is_key),
        }
    }

    /// The objects of a range in order, each once for each of its adds, or once: the key, whether it
    /// is noted, element and dot, or NULL and NULL.
    #[must_use]
    pub fn select(&self, bounded: bool) -> &str {
        &self.select[usize::from(bounded)]
    }

    /// Dots of a range that may have clock rows; `None` where nothing has.
    #[must_use]
    pub fn clocked(&self, bounded: bool) -> Option<&str> {
        self.clocked.as_ref().map(|sql| sql[usize::from(bounded)].as_str())
    }
}

fn select(target: &SetTarget, within: &str, noted: bool) -> String {
    let (keys, sides) = (target.keys(), target.side_keys());
    let named = keys.iter().zip(&sides).map(|(key, side)| format!("{key} AS {side}"));
    let on = keys.iter().zip(&sides).map(|(key, side)| format!("a.{key} = o.{side}"));
    let order = RangeSql::new(&target.table.scan).terms;
    let order = order.iter().zip(&target.table.scan.terms).map(|(sql, term)| {
        let at = keys.iter().position(|key| key == sql).unwrap_or(0);
        format!("o.{}{}", sides[at], if term.descending { " DESC" } else { "" })
    });
    let is_noted = if noted {
        let same = sides.iter().map(|side| format!("d.{side} = o.{side}")).collect::<Vec<_>>();
        let dirty = target.dirty_table();
        format!("EXISTS (SELECT 1 FROM {dirty} AS d WHERE {})", same.join(" AND "))
    } else {
        "0".to_owned()
    };
    format!(
        "SELECT {}, {is_noted}, a.element, a.dot FROM (SELECT {} FROM {} WHERE {within}) AS o \
         LEFT JOIN {} AS a ON {} ORDER BY {}",
        list(sides.iter().map(|side| format!("o.{side}"))),
        list(named),
        target.table.sql(),
        ident(&target.adds),
        on.collect::<Vec<_>>().join(" AND "),
        list(order)
    )
}
