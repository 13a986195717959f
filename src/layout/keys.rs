//! SQL conditions over keys: a range of the table's own order, and the match of a key in one of
//! our side tables.

use super::Target;
use crate::db::ScanKey;

/// The condition that a row lies in a half-open range `(after, up to and including]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSql {
    /// The quoted terms, in order.
    pub terms: Vec<String>,
    /// The condition `key > (?1..)`; `None` for a range from the table's beginning.
    after: String,
    /// The condition `key <= (?n..)`, with its parameters after those of `after`.
    through: String,
    /// The condition `key <= (?1..)` alone.
    through_first: String,
    /// The condition `key >= (?1..)`.
    from: String,
    /// The ORDER BY list that the b-tree has anyway.
    pub order: String,
}

impl RangeSql {
    /// The conditions for a table that is walked by `scan`.
    #[must_use]
    pub fn new(scan: &ScanKey) -> Self {
        let terms: Vec<String> = scan.terms.iter().map(|t| t.sql.clone()).collect();
        let order = scan
            .terms
            .iter()
            .map(|t| format!("{}{}", t.sql, if t.descending { " DESC" } else { "" }));
        Self {
            after: beyond(scan, 1, Side::After),
            through: beyond(scan, terms.len() + 1, Side::Through),
            through_first: beyond(scan, 1, Side::Through),
            from: beyond(scan, 1, Side::From),
            order: crate::db::quote::list(order),
            terms,
        }
    }

    /// The condition; parameters are the lower key (where `bounded`), then the upper key.
    #[must_use]
    pub fn within(&self, bounded: bool) -> String {
        if bounded {
            format!("{} AND {}", self.after, self.through)
        } else {
            self.through_first.clone()
        }
    }

    /// The condition for rows from one key through another, both included, which are the parameters.
    #[must_use]
    pub fn between(&self) -> String {
        format!("{} AND {}", self.from, self.through)
    }

    /// The condition for rows after a key, which is the parameters; all rows where not `bounded`.
    #[must_use]
    pub fn after(&self, bounded: bool) -> &str {
        if bounded { &self.after } else { "true" }
    }

    /// The first parameter number that is free.
    #[must_use]
    pub fn next_parameter(&self, bounded: bool) -> usize {
        if bounded { 2 * self.terms.len() + 1 } else { self.terms.len() + 1 }
    }
}

/// On which side of a key rows lie, in the b-tree's order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// After it.
    After,
    /// At it, or after it.
    From,
    /// At it, or before it.
    Through,
}

/// `key > parameters`, `key >= parameters` or `key <= parameters`, in the b-tree's order.
fn beyond(scan: &ScanKey, first: usize, side: Side) -> String {
    let terms = &scan.terms;
    let descending = terms.iter().filter(|t| t.descending).count();
    if descending == 0 || descending == terms.len() {
        let operator = match (side, descending > 0) {
            (Side::After, false) => ">",
            (Side::After, true) => "<",
            (Side::Through, false) | (Side::From, true) => "<=",
            (Side::Through, true) | (Side::From, false) => ">=",
        };
        let names = crate::db::quote::list(terms.iter().map(|t| t.sql.clone()));
        let values = crate::db::quote::list((first..first + terms.len()).map(|i| format!("?{i}")));
        return if terms.len() == 1 {
            format!("{names} {operator} {values}")
        } else {
            format!("({names}) {operator} ({values})")
        };
    }
    mixed(scan, first, side)
}

/// The lexicographic comparison spelled out, for keys whose columns differ in direction. The
/// condition on the first column alone is implied; it is what the index search uses.
fn mixed(scan: &ScanKey, first: usize, side: Side) -> String {
    let before = side == Side::Through;
    let operator = |descending: bool| if descending == before { ">" } else { "<" };
    let mut alternatives = Vec::new();
    for (i, term) in scan.terms.iter().enumerate() {
        let mut parts: Vec<String> = scan.terms[..i]
            .iter()
            .enumerate()
            .map(|(j, t)| format!("{} = ?{}", t.sql, first + j))
            .collect();
        parts.push(format!("{} {} ?{}", term.sql, operator(term.descending), first + i));
        alternatives.push(format!("({})", parts.join(" AND ")));
    }
    if side != Side::After {
        let equal: Vec<String> = scan
            .terms
            .iter()
            .enumerate()
            .map(|(j, t)| format!("{} = ?{}", t.sql, first + j))
            .collect();
        alternatives.push(format!("({})", equal.join(" AND ")));
    }
    let lead = &scan.terms[0];
    let bound = format!("{} {}= ?{first}", lead.sql, operator(lead.descending));
    format!("{bound} AND ({})", alternatives.join(" OR "))
}

/// SQL that finds a row of the table, or of a side table, by its key.
#[derive(Clone, Debug)]
pub struct KeyMatch;

impl KeyMatch {
    /// The side tables' names of the key columns: `k1, k2, ..`.
    #[must_use]
    pub fn side_columns(target: &Target, prefix: char) -> Vec<String> {
        (1..=target.table.key.len()).map(|i| format!("{prefix}{i}")).collect()
    }

    /// The condition that a row of `side` has the key of the table's current row.
    #[must_use]
    pub fn of_row(target: &Target, side: &str) -> String {
        let sides = Self::side_columns(target, 'k');
        let pairs = target.key_sql().zip(sides).map(|(key, k)| format!("{side}.{k} IS {key}"));
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    /// The condition that the table's row has the key given as parameters from `?1`.
    #[must_use]
    pub fn row_is(target: &Target) -> String {
        let pairs = target.key_sql().enumerate().map(|(i, key)| format!("{key} IS ?{}", i + 1));
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    /// The condition that a row of a side table has the key given as parameters from `?1`.
    #[must_use]
    pub fn side_is(target: &Target) -> String {
        let sides = Self::side_columns(target, 'k');
        let pairs = sides.iter().enumerate().map(|(i, k)| format!("{k} IS ?{}", i + 1));
        pairs.collect::<Vec<_>>().join(" AND ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::ScanTerm;

    fn scan(terms: &[(&str, bool)]) -> ScanKey {
        let terms = terms
            .iter()
            .map(|(sql, descending)| ScanTerm { sql: (*sql).to_owned(), descending: *descending })
            .collect();
        ScanKey { terms, stable: true }
    }

    #[test]
    fn one_column_is_compared_directly() {
        let range = RangeSql::new(&scan(&[("id", false)]));
        assert_eq!(range.within(true), "id > ?1 AND id <= ?2");
        assert_eq!(range.within(false), "id <= ?1");
        assert_eq!(range.between(), "id >= ?1 AND id <= ?2");
        assert_eq!(range.next_parameter(true), 3);
    }

    #[test]
    fn equal_directions_are_a_row_value() {
        let range = RangeSql::new(&scan(&[("a", true), ("b", true)]));
        assert_eq!(range.within(true), "(a, b) < (?1, ?2) AND (a, b) >= (?3, ?4)");
        assert_eq!(range.between(), "(a, b) <= (?1, ?2) AND (a, b) >= (?3, ?4)");
        assert_eq!(range.order, "a DESC, b DESC");
    }

    #[test]
    fn mixed_directions_are_spelled_out() {
        let range = RangeSql::new(&scan(&[("a", false), ("b", true)]));
        assert_eq!(range.after(true), "a >= ?1 AND ((a > ?1) OR (a = ?1 AND b < ?2))");
        assert_eq!(
            range.within(false),
            "a <= ?1 AND ((a < ?1) OR (a = ?1 AND b > ?2) OR (a = ?1 AND b = ?2))"
        );
        assert_eq!(
            range.between(),
            "a >= ?1 AND ((a > ?1) OR (a = ?1 AND b < ?2) OR (a = ?1 AND b = ?2)) AND \
             a <= ?3 AND ((a < ?3) OR (a = ?3 AND b > ?4) OR (a = ?3 AND b = ?4))"
        );
    }
}
