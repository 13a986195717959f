//! `kind = "or_set"`: what a good section gives, and what is refused.

use std::collections::HashSet;

use super::super::*;
use super::{good, refusal};

/// A file with a set, so that the tests can replace one line of it.
pub(super) const SET: &str = r#"id = "tags-v2"
epoch = "tags-v2"

[[change]]
kind = "or_set"
table = "projects"
source = "tags"
format = "csv"
adds = "project_tag_adds"
removes = "project_tag_removes"
view = "project_tags_visible"
old_writes = "translate"
malformed = "skip"
"#;

fn with(old: &str, new: &str) -> String {
    assert_eq!(SET.lines().filter(|line| line.starts_with(old)).count(), 1, "{old}");
    let line = |line: &str| (if line.starts_with(old) { new } else { line }).to_owned();
    SET.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn set(text: &str) -> OrSetChange {
    match good(text).changes.remove(0) {
        Change::OrSet(set) => set,
        other => panic!("{other:?}"),
    }
}

fn child(rest: &str) -> String {
    with("format", "")
        .replace("source = \"tags\"", &format!("source_table = 'project_tags'\n{rest}"))
}

#[test]
fn every_key_of_a_set_is_read() {
    let found = set(SET);
    assert_eq!(found.table, "projects");
    let tags = || "tags".to_owned();
    assert_eq!(found.source, SetSource::Column { column: tags(), format: SetFormat::Csv });
    assert_eq!(found.source.name(), "tags");
    let names = ["project_tag_adds", "project_tag_removes", "project_tags_visible"];
    assert_eq!(found.made().map(|(_, name)| name), names);
    assert_eq!((found.old_writes, found.malformed), (OldWrites::Translate, Malformed::Skip));
    let found = set(&with("old_writes", "").replace("malformed = \"skip\"", ""));
    assert_eq!((found.old_writes, found.malformed), (OldWrites::Reject, Malformed::Fail));
    let found = set(&child("element = 'tag'"));
    let table = || "project_tags".to_owned();
    let element = || "tag".to_owned();
    let want = SetSource::Table { table: table(), element: element(), key: None };
    assert_eq!((found.source.name(), &found.source), ("project_tags", &want));
    let found = set(&child("element = 'tag'\nsource_key = ['a', 'b c']"));
    let key = Some(vec!["a".to_owned(), "b c".to_owned()]);
    assert_eq!(found.source, SetSource::Table { table: table(), element: element(), key });
}

#[test]
fn what_is_wrong_in_a_set_is_named_by_line() {
    let cases = [
        ("kind", "kind = 'or-set'", "5: \"kind\" cannot be \"or-set\"; did you mean \"or_set\"?"),
        ("adds", "add = 'x'", "9: unknown key \"add\" in [[change]]; did you mean \"adds\"?"),
        (
            "adds",
            "column = 'x'",
            "9: unknown key \"column\" in [[change]]; move it under a [[change]] header",
        ),
        (
            "adds",
            "",
            "4: missing key \"adds\" in [[change]]; add adds = \"a name for the table of adds\"",
        ),
        (
            "format",
            "",
            "4: missing key \"format\" in [[change]]; add format = \"json\", \"csv\" or \"lines\"",
        ),
        ("format", "format = 'jsn'", "8: \"format\" cannot be \"jsn\"; did you mean \"json\"?"),
        (
            "removes",
            "removes = '_dotfill_r'",
            "10: \"removes\" is \"_dotfill_r\", which begins with _dotfill, kept for dotfill's own tables; name one of your own",
        ),
        ("view", "view = ''", "11: \"view\" is \"\", which is empty; write a name"),
        (
            "view",
            "view = 'Project_Tag_Adds'",
            "11: \"view\" is \"Project_Tag_Adds\", which \"adds\" names already; give each a name of its own",
        ),
        (
            "adds",
            "adds = 'PROJECTS'",
            "9: \"adds\" is \"PROJECTS\", which \"table\" names already; give each a name of its own",
        ),
        (
            "old_writes",
            "old_writes = 'drop'",
            "12: \"old_writes\" cannot be \"drop\"; write one of reject, translate, quarantine",
        ),
        (
            "malformed",
            "malformed = true",
            "13: \"malformed\" must be a string, not a boolean; write it in quotes: malformed = \"true\"",
        ),
        (
            "format",
            "source_table = 't'",
            "8: \"source\" and \"source_table\" both say where the old form is; keep source for a column of the table, or source_table for a table of rows",
        ),
        (
            "format",
            "format = 'json'\nelement = 'e'",
            "9: \"element\" is about a column of \"source_table\", which is absent; add source_table, or remove it",
        ),
    ];
    for (old, new, want) in cases {
        assert_eq!(refusal(&with(old, new)), format!("m.toml:{want}"), "{new}");
    }
    let cases = [
        ("", "missing key \"element\""),
        ("element = 't'\nformat = 'csv'", "\"format\" is about a text in a column"),
        ("element = 't'\nsource_key = 'a'", "\"source_key\" must be a list of column names"),
        ("element = 't'\nsource_key = ['a', 5]", "\"source_key\" must be a list of column names"),
        ("element = 't'\nsource_key = []", "\"source_key\" has no columns"),
        ("element = 't'\nsource_key = ['a', 'A']", "\"source_key\" names a column twice"),
        ("element = 't'\nsource_key = ['']", "\"source_key\" is \"\", which is empty"),
    ];
    for (rest, want) in cases {
        let got = refusal(&child(rest));
        assert!(got.contains(want), "{rest}: {got}");
    }
}

#[test]
fn what_one_change_makes_no_other_one_touches() {
    let second = |adds: &str, table: &str| {
        let set = SET.split_once("\n\n").unwrap_or_default().1;
        let set = set.replace("\"project_tag_adds\"", &format!("'{adds}'"));
        let set = set.replace("tag_removes", "tag_removes_2").replace("visible", "visible_2");
        let set = set.replace("table = \"projects\"", &format!("table = '{table}'"));
        format!("{SET}\n{set}")
    };
    let remedy = "names too; give what is made a name of its own, or move one of the two to another \
                  migration";
    let line = |line| format!("which the [[change]] at line {line} {remedy}");
    assert_eq!(
        refusal(&second("Project_Tag_Adds", "projects")),
        format!("m.toml:20: \"adds\" is \"Project_Tag_Adds\", {}", line(9))
    );
    assert_eq!(
        refusal(&second("other", "project_tag_removes")),
        format!("m.toml:17: \"table\" is \"project_tag_removes\", {}", line(10))
    );
    assert_eq!(
        refusal(&second("projects", "others")),
        format!("m.toml:20: \"adds\" is \"projects\", {}", line(6))
    );
    assert_eq!(good(&second("other", "projects")).changes.len(), 2);
    let column = |table: &str, column: &str| {
        format!(
            "{SET}\n[[change]]\nkind = 'column'\ntable = '{table}'\ncolumn = '{column}'\ntype = 'TEXT'\n"
        )
    };
    assert_eq!(
        refusal(&column("project_tags_visible", "x")),
        format!("m.toml:17: \"table\" is \"project_tags_visible\", {}", line(11))
    );
    assert_eq!(
        refusal(&column("Projects", "Tags")),
        format!("m.toml:18: \"column\" is \"Tags\", {}", line(7))
    );
    assert_eq!(good(&column("projects", "owner")).changes.len(), 2);
}

#[test]
fn every_part_of_a_set_changes_the_digest() {
    let texts = [
        SET.to_owned(),
        with("table", "table = 'others'"),
        with("source", "source = 'labels'"),
        with("format", "format = 'lines'"),
        with("adds", "adds = 'x'"),
        with("removes", "removes = 'x'"),
        with("view", "view = 'x'"),
        with("old_writes", ""),
        with("malformed", ""),
        child("element = 'tag'"),
        child("element = 'label'"),
        child("element = 'tag'\nsource_key = ['a']"),
        child("element = 'tag'\nsource_key = ['a', 'b']"),
    ];
    let digests: HashSet<[u8; 32]> = texts.iter().map(|text| good(text).digest).collect();
    assert_eq!(digests.len(), texts.len());
    let explicit = with("old_writes", "old_writes = 'reject'");
    assert_eq!(good(&explicit).digest, good(&with("old_writes", "")).digest);
}

/// As for columns: the bytes are written out as another implementation would.
#[test]
fn the_encoding_of_a_set_is_pinned() {
    let mut bytes = Vec::new();
    let mut push = |text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let set = ["or_set", "projects", "table", "project_tags", "tag"];
    let rest =
        ["project_tag_adds", "project_tag_removes", "project_tags_visible", "translate", "skip"];
    push("tags-v2");
    push("tags-v2");
    let id_end = 8 + "tags-v2".len();
    set.into_iter().for_each(&mut push);
    push("k");
    rest.into_iter().for_each(&mut push);
    let key_at = bytes.len() - rest.map(|text| 8 + text.len()).iter().sum::<usize>() - 9;
    bytes.splice(key_at..key_at, 1_u64.to_le_bytes());
    let changes_at = 2 * id_end;
    bytes.splice(changes_at..changes_at, 1_u64.to_le_bytes());
    bytes.splice(changes_at..changes_at, [0]);
    bytes.splice(id_end..id_end, [1]);
    let want = blake3::derive_key("dotfill 2026-11 migration digest v1", &bytes);
    assert_eq!(good(&child("element = 'tag'\nsource_key = ['k']")).digest, want);
}
