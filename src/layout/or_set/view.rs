//! The view of what is visible. Plain SQL that an older `SQLite` can read too (3.38, for JSON).
//!
//! # Invariants
//! A read of the view never fails, whatever text the old form holds: JSON is looked into only after
//! `json_valid`. An object that is not translated yet, or whose old form has changed and is noted,
//! shows the elements of its old form that have no add yet, beside its adds. Whether such an element
//! was removed elsewhere shows once it is translated: its dot cannot be computed in SQL.

use super::{OldForm, SetTarget};
use crate::db::ScanKey;
use crate::db::quote::{ident, list};
use crate::migration::SetFormat;

/// How far the translation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewStage {
    /// Objects beyond the frontier are not translated yet.
    Filling,
    /// All are; those that are noted have changed since.
    Following,
    /// Nothing of ours is left beside the new form.
    Alone,
}

/// The statement that creates the view.
#[must_use]
pub fn view_schema(target: &SetTarget, stage: ViewStage) -> String {
    let columns = list(target.keys().into_iter().chain(["element".to_owned()]));
    let new = new_form(target);
    let rest = match stage {
        ViewStage::Alone => String::new(),
        ViewStage::Following => format!("\nUNION\n{}", old_form(target, &noted(target))),
        ViewStage::Filling => format!(
            "\nUNION\n{}\nUNION\n{}",
            old_form(target, &noted(target)),
            old_form(target, &beyond(target))
        ),
    };
    let distinct = if stage == ViewStage::Alone { "SELECT DISTINCT" } else { "SELECT" };
    format!("CREATE VIEW {} ({columns}) AS\n{distinct} {new}{rest};\n", ident(&target.view))
}

/// The statement that drops the view, whether or not it exists.
#[must_use]
pub fn view_schema_drop(target: &SetTarget) -> String {
    format!("DROP VIEW IF EXISTS {};\n", ident(&target.view))
}

fn new_form(target: &SetTarget) -> String {
    format!(
        "{}, a.element FROM {} AS t JOIN {} AS a ON {}\n\
         WHERE NOT EXISTS (SELECT 1 FROM {} AS r WHERE r.dot = a.dot)",
        list(target.keys_of("t")),
        target.table.sql(),
        ident(&target.adds),
        same(&target.keys_of("a"), &target.keys_of("t")),
        ident(&target.removes)
    )
}

/// Elements of the old form of the objects `t` that meet `condition`.
fn old_form(target: &SetTarget, condition: &str) -> String {
    let (table, keys) = (target.table.sql(), list(target.keys_of("t")));
    let (element, from, sound) = match &target.old {
        OldForm::Column { column, format } => {
            let json = json(&format!("t.{}", ident(column)), *format);
            let sound = "o.type IN ('text', 'integer', 'real')";
            (
                "o.value".to_owned(),
                format!("{table} AS t, json_each({json}) AS o"),
                sound.to_owned(),
            )
        }
        OldForm::Rows { table: rows, element, key } => {
            let element = format!("o.{}", ident(element));
            let theirs: Vec<_> = key.iter().map(|name| format!("o.{}", ident(name))).collect();
            // As the translation reads them: by the affinity of the rows alone.
            let ours: Vec<_> = target.keys_of("t").iter().map(|key| format!("+{key}")).collect();
            let on = same(&theirs, &ours);
            let sound = format!("typeof({element}) IN ('text', 'integer', 'real')");
            (element, format!("{table} AS t JOIN {} AS o ON {on}", ident(rows)), sound)
        }
    };
    format!(
        "SELECT {keys}, {element} FROM {from}\nWHERE {sound} AND {condition}\n  \
         AND NOT EXISTS (SELECT 1 FROM {} AS a WHERE {} AND a.element = {element})",
        ident(&target.adds),
        same(&target.keys_of("a"), &target.keys_of("t")),
    )
}

/// The text as a JSON array, whatever it holds.
fn json(source: &str, format: SetFormat) -> String {
    let between = match format {
        SetFormat::Json => {
            return format!(
                "CASE WHEN typeof({source}) <> 'text' THEN '[]' WHEN NOT json_valid({source}) \
                 THEN '[]' WHEN json_type({source}) <> 'array' THEN '[]' ELSE {source} END"
            );
        }
        SetFormat::Csv => "','",
        SetFormat::Lines => "char(10)",
    };
    let white = "char(9, 10, 12, 13, 32)";
    format!(
        "CASE WHEN typeof({source}) <> 'text' THEN '[]' ELSE (\n  \
         WITH RECURSIVE part(element, rest) AS (\n    \
         SELECT '', {source} || {between}\n    UNION ALL\n    \
         SELECT trim(substr(rest, 1, instr(rest, {between}) - 1), {white}), \
         substr(rest, instr(rest, {between}) + 1) FROM part WHERE rest <> '')\n  \
         SELECT json_group_array(element) FROM part WHERE element <> '') END"
    )
}

fn noted(target: &SetTarget) -> String {
    let row = |names: Vec<String>| match names.as_slice() {
        [name] => name.clone(),
        _ => format!("({})", list(names)),
    };
    let side = list(target.side_keys());
    format!("{} IN (SELECT {side} FROM {})", row(target.keys_of("t")), target.dirty_table())
}

fn beyond(target: &SetTarget) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM {} AS f WHERE {})",
        target.frontier_table(),
        passed(&target.table.scan, &target.side_keys())
    )
}

/// The condition that row `t` is not after the key in `f`, in the order of the walk.
fn passed(scan: &ScanKey, sides: &[String]) -> String {
    let mut alternatives = Vec::new();
    let pair =
        |i: usize, operator: &str| format!("t.{} {operator} f.{}", scan.terms[i].sql, sides[i]);
    for i in 0..scan.terms.len() {
        let operator = if scan.terms[i].descending { ">" } else { "<" };
        let equal = (0..i).map(|j| pair(j, "="));
        let all: Vec<String> = equal.chain([pair(i, operator)]).collect();
        alternatives.push(all.join(" AND "));
    }
    let equal: Vec<String> = (0..scan.terms.len()).map(|i| pair(i, "=")).collect();
    alternatives.push(equal.join(" AND "));
    alternatives.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" OR ")
}

/// The condition that two rows have the same key.
fn same(left: &[String], right: &[String]) -> String {
    let pairs: Vec<_> = left.iter().zip(right).map(|(a, b)| format!("{a} = {b}")).collect();
    pairs.join(" AND ")
}
