//! The SQL of a fill: the statements that the writer, the readers and the proof execute for a
//! range of rows. Pure text; the query plan of each is tested: none scans.

use super::crsqlite::CrTable;
use super::{Delivery, KeyMatch, Layout, RangeSql, Target};
use crate::db::KeyKind;

/// Which side tables hold anything, and so must be looked at for each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Keys are noted and not yet drained: such a row is left to the drain.
    pub dirty: bool,
    /// Users' cells are known: such a row is left alone.
    pub user: bool,
}

/// Builds the statements of one target.
#[derive(Clone, Debug)]
pub struct FillSql<'a> {
    target: &'a Target,
    /// The conditions over ranges of its table.
    pub range: RangeSql,
}

impl<'a> FillSql<'a> {
    /// The statements for `target`.
    #[must_use]
    pub fn new(target: &'a Target) -> Self {
        Self { target, range: RangeSql::new(&target.table.scan) }
    }

    /// Rows of the range whose cell is ours and still to be filled.
    fn to_fill(&self, bounded: bool, filter: Filter) -> String {
        let target = self.target;
        let column = target.column_sql();
        let open = if target.overwrite {
            target.differs_from(&target.derived())
        } else {
            match &target.filter {
                Some(condition) => format!("{column} IS NULL AND (\n{condition}\n)"),
                None => format!("{column} IS NULL"),
            }
        };
        format!("{} AND {open}{}", self.range.within(bounded), self.unclaimed(filter))
    }

    /// Rows that nobody else has a claim on. Where values are elided nothing is noted: the clock
    /// rows tell whose a cell is, and in a plain table a cell that differs is a user's.
    fn unclaimed(&self, filter: Filter) -> String {
        let absent = |side: &str| {
            format!(
                " AND NOT EXISTS (SELECT 1 FROM {side} WHERE {})",
                KeyMatch::of_row(self.target, side)
            )
        };
        let mut sql = match (self.target.delivery, &self.target.layout) {
            (Delivery::Elide, Layout::Plain) => " AND 0".to_owned(),
            (Delivery::Elide, Layout::CrSqlite(cr)) => format!(
                " AND NOT EXISTS (SELECT 1 FROM {} WHERE key = {} AND col_name = {})",
                cr.clock,
                cr.key_of_row(self.target),
                crate::db::quote::text(&self.target.column)
            ),
            (Delivery::Virtual | Delivery::Derive | Delivery::Native, _) => String::new(),
        };
        if filter.user {
            sql.push_str(&self.not_users());
        }
        if filter.dirty {
            sql.push_str(&absent(&self.target.dirty_table()));
        }
        sql
    }

    /// Rows whose cell no user owns. Rows may share a key that holds a NULL: which of them a user
    /// wrote is told by what they hold.
    fn not_users(&self) -> String {
        let target = self.target;
        let side = target.user_table();
        let match_key = KeyMatch::of_row(target, &side);
        let shared: Vec<String> = target
            .table
            .key
            .iter()
            .zip(target.key_sql())
            .filter(|(key, _)| target.table.may_be_null(&key.name))
            .map(|(_, sql)| format!("{sql} IS NULL"))
            .collect();
        let absent = format!("NOT EXISTS (SELECT 1 FROM {side} WHERE {match_key})");
        if shared.is_empty() || !target.fill_null || matches!(target.layout, Layout::CrSqlite(_)) {
            return format!(" AND {absent}");
        }
        let cell = format!("{}.{} IS NULL", target.table.sql(), target.column_sql());
        format!(" AND ({absent} OR {cell} AND ({}))", shared.join(" OR "))
    }

    /// Fills a range: parameters are its bounds.
    #[must_use]
    pub fn update(&self, bounded: bool, filter: Filter) -> String {
        let target = self.target;
        let value =
            if target.overwrite { target.derived() } else { format!("(\n{}\n)", target.value) };
        format!(
            "UPDATE {} SET {} = {value} WHERE {}",
            target.table.sql(),
            target.column_sql(),
            self.to_fill(bounded, filter)
        )
    }

    /// The scan keys and derived values of the rows of a range that are to be filled, in order.
    #[must_use]
    pub fn select_derived(&self, bounded: bool, filter: Filter) -> String {
        let target = self.target;
        format!(
            "SELECT {}, {}, {} FROM {} WHERE {} ORDER BY {}",
            self.range.terms.join(", "),
            self.sources(),
            target.derived(),
            target.table.sql(),
            self.to_fill_unevaluated(bounded, filter),
            self.range.order
        )
    }

    /// Like [`Self::to_fill`], but leaves the comparison with the derived value to the caller.
    fn to_fill_unevaluated(&self, bounded: bool, filter: Filter) -> String {
        let null = if self.target.overwrite {
            String::new()
        } else {
            format!(" AND {} IS NULL", self.target.column_sql())
        };
        format!("{}{null}{}", self.range.within(bounded), self.unclaimed(filter))
    }

    /// Writes one derived value: parameters are the scan key, then the value.
    #[must_use]
    pub fn update_one(&self, filter: Filter) -> String {
        let target = self.target;
        let terms = &self.range.terms;
        let key: Vec<String> =
            terms.iter().enumerate().map(|(i, t)| format!("{t} = ?{}", i + 1)).collect();
        let value = format!("?{}", terms.len() + 1);
        let column = target.column_sql();
        let open = if target.overwrite {
            target.differs_from(&value)
        } else {
            format!("{column} IS NULL")
        };
        format!(
            "UPDATE {} SET {column} = {value} WHERE {} AND {open}{}",
            target.table.sql(),
            key.join(" AND "),
            self.unclaimed(filter)
        )
    }

    /// The scan key of each row of a range, in order.
    #[must_use]
    pub fn select_keys(&self, bounded: bool) -> String {
        format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {}",
            self.range.terms.join(", "),
            self.target.table.sql(),
            self.range.within(bounded),
            self.range.order
        )
    }

    /// Scan key, source columns, cell, (where `evaluate`) whether the cell differs from the derived
    /// value, and the key where that is not the scan key, for each row of a range, in order.
    #[must_use]
    pub fn select_proof(&self, bounded: bool, evaluate: bool) -> String {
        let target = self.target;
        let column = target.column_sql();
        let differs =
            if evaluate { target.differs_from(&target.derived()) } else { "0".to_owned() };
        let keys: String = match target.table.key_kind {
            KeyKind::Integer | KeyKind::WithoutRowid => String::new(),
            KeyKind::Rowid => target.key_sql().map(|key| format!(", {key}")).collect(),
        };
        format!(
            "SELECT {}, {}, {column}, {differs}{keys} FROM {} WHERE {} ORDER BY {}",
            self.range.terms.join(", "),
            self.sources(),
            target.table.sql(),
            self.range.within(bounded),
            self.range.order
        )
    }

    /// The scan keys of the rows of a range whose cell is ours and differs from the derived value.
    #[must_use]
    pub fn select_unproven(&self, bounded: bool, filter: Filter) -> String {
        let target = self.target;
        let column = target.column_sql();
        // A published cell is final: its source may have changed since.
        let open = match target.delivery {
            Delivery::Native => format!("{column} IS NULL AND "),
            Delivery::Virtual | Delivery::Elide | Delivery::Derive => String::new(),
        };
        format!(
            "{} AND {open}{}",
            self.select_unclaimed(bounded, filter),
            target.differs_from(&target.derived())
        )
    }

    /// Notes the unproven rows of a range, so that the drain derives them.
    #[must_use]
    pub fn note_unproven(&self, bounded: bool) -> String {
        let differs = self.target.differs_from(&self.target.derived());
        format!("{} AND {differs}", self.note_unclaimed(bounded))
    }

    /// Notes the rows of a range that are neither users' nor noted; evaluates nothing.
    #[must_use]
    pub fn note_unclaimed(&self, bounded: bool) -> String {
        let target = self.target;
        format!(
            "INSERT INTO {} (kind, {}) SELECT 0, {} FROM {} WHERE {}{}",
            target.dirty_table(),
            KeyMatch::side_columns(target, 'k').join(", "),
            crate::db::quote::list(target.key_sql()),
            target.table.sql(),
            self.range.within(bounded),
            self.unclaimed(Filter { dirty: true, user: true })
        )
    }

    /// The scan keys of the rows of a range that are neither users' nor noted.
    #[must_use]
    pub fn select_unclaimed(&self, bounded: bool, filter: Filter) -> String {
        format!(
            "SELECT {} FROM {} WHERE {}{}",
            self.range.terms.join(", "),
            self.target.table.sql(),
            self.range.within(bounded),
            self.unclaimed(filter)
        )
    }

    /// Which columns of [`Self::select_proof`] hold the key.
    #[must_use]
    pub fn proof_key(&self) -> std::ops::Range<usize> {
        let table = &self.target.table;
        let from = match table.key_kind {
            KeyKind::Integer | KeyKind::WithoutRowid => 0,
            KeyKind::Rowid => self.range.terms.len() + self.target.sources.len().max(1) + 2,
        };
        from..from + table.key.len()
    }

    /// The source columns, or a constant where the expression reads none.
    fn sources(&self) -> String {
        if self.target.sources.is_empty() {
            return "0".to_owned();
        }
        crate::db::quote::list(self.target.sources.iter().map(|s| crate::db::quote::ident(s)))
    }

    /// Sets our cells of a range back to NULL.
    #[must_use]
    pub fn clear(&self, bounded: bool, filter: Filter) -> String {
        let column = self.target.column_sql();
        format!(
            "UPDATE {} SET {column} = NULL WHERE {} AND {column} IS NOT NULL{}",
            self.target.table.sql(),
            self.range.within(bounded),
            self.unclaimed(filter)
        )
    }

    /// Removes the clock rows of NULLs at version 1 that the fill is about to give a value, so that
    /// the cell is without a clock row, and ours, on every replica.
    #[must_use]
    pub fn forget_null_clocks(&self, cr: &CrTable, bounded: bool, filter: Filter) -> String {
        format!(
            "DELETE FROM {} WHERE col_name = {} AND col_version = 1 AND key IN (SELECT {} FROM {} \
             WHERE {} AND {} IS NULL AND {} IS NOT NULL{})",
            cr.clock,
            crate::db::quote::text(&self.target.column),
            cr.key_of_row(self.target),
            self.target.table.sql(),
            self.range.within(bounded),
            self.target.column_sql(),
            self.target.derived(),
            self.unclaimed(filter)
        )
    }

    /// Publishes the cells of a range that the fill is about to write. The parameters after the
    /// bounds are the `db_version` and the publisher's ordinal. `dotfill_seq` counts the records
    /// of a version ([`crate::layout::crsqlite::register`]); a window function costs twice as much.
    #[must_use]
    pub fn publish(&self, cr: &CrTable, bounded: bool, filter: Filter) -> String {
        let next = self.range.next_parameter(bounded);
        format!(
            "INSERT INTO {} (key, col_name, col_version, db_version, site_id, seq, ts) \
             SELECT {}, {}, 0, ?{next}, ?{}, dotfill_seq(?{next}), '0' FROM {} \
             WHERE {} AND {} IS NOT NULL \
             ON CONFLICT (key, col_name) DO UPDATE SET db_version = excluded.db_version, \
             site_id = excluded.site_id, seq = excluded.seq, ts = excluded.ts",
            cr.clock,
            cr.key_of_row(self.target),
            crate::db::quote::text(&self.target.column),
            next + 1,
            self.target.table.sql(),
            self.to_fill(bounded, filter),
            self.target.derived()
        )
    }

    /// The layout's cr-sqlite tables, where there are any.
    #[must_use]
    pub fn crsqlite(&self) -> Option<&'a CrTable> {
        match &self.target.layout {
            Layout::Plain => None,
            Layout::CrSqlite(cr) => Some(cr),
        }
    }
}

#[cfg(test)]
mod tests;
