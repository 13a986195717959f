//! `kind = "index"`: what a good section gives, and what is refused.

use std::collections::HashSet;

use super::super::*;
use super::{SECOND, good, refusal};

const INDEX: &str = r#"id = "owners"

[[change]]
kind = "index"
name = "machines_by_owner"
table = "machines"
columns = ["owner", "zone"]
where = "deleted_at IS NULL"
unique = true
on_failure = "keep"
"#;

fn with(old: &str, new: &str) -> String {
    assert_eq!(INDEX.lines().filter(|line| line.starts_with(old)).count(), 1, "{old}");
    let line = |line: &str| (if line.starts_with(old) { new } else { line }).to_owned();
    INDEX.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn index(text: &str) -> IndexChange {
    match good(text).changes.remove(0) {
        Change::Index(index) => index,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_key_of_an_index_is_read() {
    let found = index(INDEX);
    assert_eq!((found.name.as_str(), found.table.as_str()), ("machines_by_owner", "machines"));
    assert_eq!(found.terms, IndexTerms::Columns(vec!["owner".to_owned(), "zone".to_owned()]));
    assert_eq!(found.filter.as_deref(), Some("deleted_at IS NULL"));
    assert_eq!((found.unique, found.on_failure), (true, OnFailure::Keep));
    let found =
        index(&with("columns", "expressions = [' lower(owner) ', '\"zone\" COLLATE NOCASE']"));
    let terms = ["lower(owner)", "\"zone\" COLLATE NOCASE"].map(str::to_owned);
    assert_eq!(found.terms, IndexTerms::Expressions(terms.to_vec()));
    let plain = with("where", "").replace("unique = true", "").replace("on_failure = \"keep\"", "");
    let found = index(&plain);
    assert_eq!((found.filter, found.unique, found.on_failure), (None, false, OnFailure::Revert));
}

#[test]
fn what_is_wrong_in_an_index_is_named_by_line() {
    let cases = [
        ("kind", "kind = 'indx'", "4: \"kind\" cannot be \"indx\"; did you mean \"index\"?"),
        ("name", "", "3: missing key \"name\" in [[change]]; add name = \"a name for the index\""),
        (
            "name",
            "name = 'sqlite_x'",
            "5: \"name\" is \"sqlite_x\", which begins with sqlite_, kept by SQLite for itself; name one of your own",
        ),
        (
            "name",
            "name = 'Machines'",
            "5: \"name\" is \"Machines\", which \"table\" names already; give each a name of its own",
        ),
        ("table", "", "3: missing key \"table\" in [[change]]; add table = \"the table to index\""),
        (
            "table",
            "table = 't'\ncolumn = 'c'",
            "7: unknown key \"column\" in [[change]]; did you mean \"columns\"?",
        ),
        (
            "columns",
            "",
            "3: missing key \"columns\" in [[change]]; add columns = [\"a column\"], or expressions = [\"an SQL expression\"]",
        ),
        (
            "columns",
            "columns = 'owner'",
            "7: \"columns\" must be a list of strings, not a string; write columns = [\"a column\"]",
        ),
        (
            "columns",
            "columns = ['a', 5]",
            "7: \"columns\" must be a list of strings, not an array; write columns = [\"a column\"]",
        ),
        ("columns", "columns = []", "7: \"columns\" is empty; name what is to be indexed"),
        (
            "columns",
            "columns = ['a', 'A']",
            "7: \"columns\" names a column twice; remove one of the two",
        ),
        (
            "columns",
            "columns = ['a', \"b\\u0000\"]",
            "7: \"columns\" is \"b\\0\", which holds a NUL character, where SQLite ends a name; remove it",
        ),
        (
            "columns",
            "columns = ['a']\nexpressions = ['b']",
            "8: \"columns\" and \"expressions\" both say what is indexed; keep one; among expressions, a column is written as its quoted name",
        ),
        (
            "columns",
            "expressions = ['a', ' ']",
            "7: \"expressions\" is empty; write an SQL expression or leave the key out",
        ),
        (
            "columns",
            "expressions = ['a', ' a ']",
            "7: \"expressions\" has an expression twice; remove one of the two",
        ),
        (
            "where",
            "where = ''",
            "8: \"where\" is empty; write an SQL expression or leave the key out",
        ),
        (
            "unique",
            "unique = 'yes'",
            "9: \"unique\" must be true or false, not a string; write unique = true or unique = false",
        ),
    ];
    for (old, new, want) in cases {
        assert_eq!(refusal(&with(old, new)), format!("m.toml:{want}"), "{new}");
    }
    let many: Vec<String> = (0..33).map(|n| format!("'c{n}'")).collect();
    let got = refusal(&with("columns", &format!("columns = [{}]", many.join(", "))));
    assert_eq!(got, "m.toml:7: \"columns\" has more than 32 terms; index fewer of them");
}

#[test]
fn an_index_may_follow_the_column_that_it_is_of_and_shares_no_name() {
    assert_eq!(good(&format!("{INDEX}{SECOND}")).changes.len(), 2);
    let again = INDEX.split_once("\n\n").unwrap_or_default().1;
    let remedy = "names too; give what is made a name of its own, or move one of the two to another \
                  migration";
    assert_eq!(
        refusal(&format!("{INDEX}\n{again}")),
        format!(
            "m.toml:14: \"name\" is \"machines_by_owner\", which the [[change]] at line 5 {remedy}"
        )
    );
    let other = again.replace("machines_by_owner", "MACHINES").replace("'machines'", "'t'");
    let other = other.replace("table = \"machines\"", "table = \"t\"");
    assert_eq!(
        refusal(&format!("{INDEX}\n{other}")),
        format!("m.toml:14: \"name\" is \"MACHINES\", which the [[change]] at line 6 {remedy}")
    );
    let set = super::or_set::SET.split_once("\n\n").unwrap_or_default().1;
    let of_set = set.replace("project_tag_adds", "machines");
    assert_eq!(
        refusal(&format!("{INDEX}\n{of_set}")),
        format!("m.toml:17: \"adds\" is \"machines\", which the [[change]] at line 6 {remedy}")
    );
}

#[test]
fn every_part_of_an_index_changes_the_digest_and_is_named_as_the_difference() {
    let base = good(INDEX);
    let texts = [
        ("name", "name = 'x'", "name of"),
        ("table", "table = 'x'", "table of"),
        ("columns", "columns = ['zone', 'owner']", "columns of"),
        ("columns", "expressions = ['owner', 'zone']", "columns of"),
        ("where", "", "where of"),
        ("unique", "", "unique of"),
        ("on_failure", "", "on_failure of"),
    ];
    let mut digests = HashSet::from([base.digest]);
    for (old, new, says) in texts {
        let other = good(&with(old, new));
        let difference = base.difference(&other).unwrap_or_default();
        assert!(difference.starts_with(says), "{new}: {difference}");
        assert!(digests.insert(other.digest), "{new}");
    }
    let says = "columns of change 1 (machines.machines_by_owner) was \"[owner, zone]\", is \
                \"[zone, owner]\"";
    let other = good(&with("columns", "columns = ['zone', 'owner']"));
    assert_eq!(base.difference(&other).as_deref(), Some(says));
}

/// As for columns: the bytes are written out as another implementation would.
#[test]
fn the_encoding_of_an_index_is_pinned() {
    let mut bytes = Vec::new();
    let push = |bytes: &mut Vec<u8>, texts: &[&str]| {
        for text in texts {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
    };
    push(&mut bytes, &["owners"]);
    bytes.extend([0, 0]);
    bytes.extend(1_u64.to_le_bytes());
    push(&mut bytes, &["index", "machines_by_owner", "machines", "columns"]);
    bytes.extend(2_u64.to_le_bytes());
    push(&mut bytes, &["owner", "zone"]);
    bytes.push(1);
    push(&mut bytes, &["deleted_at IS NULL"]);
    bytes.push(1);
    push(&mut bytes, &["on_failure", "keep"]);
    let want = blake3::derive_key("dotfill 2026-11 migration digest v1", &bytes);
    assert_eq!(good(INDEX).digest, want);
}
