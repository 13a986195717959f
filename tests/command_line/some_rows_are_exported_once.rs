//! `export --only`: each row that the list names is exported once for each of its changes, however
//! often and in whatever spelling the list names it.

use serde_json::Value;

use crate::tool::{Folder, call};

const TWO: &str = "
[[change]]
kind = \"column\"
table = \"t\"
column = \"twice\"
type = \"TEXT\"
value = \"a || a\"
";

#[test]
fn over_several_changes_and_spellings() {
    let folder = Folder::with_rows(0);
    folder
        .conn()
        .execute_batch(
            "DROP TABLE t; CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, a TEXT);
             INSERT INTO t VALUES ('One', '1'), ('two', '2'), ('3', '3'), ('four', '4');",
        )
        .unwrap();
    folder.write("m.toml", format!("{}{TWO}", crate::tool::MIGRATION));
    folder.run("run", &["--quiet"]).expect(0);
    folder.write(
        "only",
        "{\"table\": \"t\", \"key\": [\"one\"]}\n\
         {\"table\": \"T\", \"key\": [\"ONE\"], \"column\": \"label\"}\n\n\
         {\"table\": \"t\", \"key\": [\"One\"], \"column\": \"twice\"}\n\
         {\"table\": \"t\", \"key\": [\"two\"], \"column\": \"label\"}\n\
         {\"table\": \"t\", \"key\": [\"two\"], \"column\": \"label\"}\n\
         {\"table\": \"t\", \"key\": [3], \"column\": \"TWICE\"}\n\
         {\"table\": \"t\", \"key\": [\"3\"], \"column\": \"twice\"}\n\
         {\"table\": \"t\", \"key\": [\"gone\"]}\n\
         {\"table\": \"t\", \"key\": [\"gone\"]}\n",
    );
    let (only, deltas) = (folder.arg("only"), folder.arg("d"));
    let flags = ["--only", &only, "--deltas", &deltas, "--json"];
    let said = folder.run("export", &flags).expect(0).json();
    // A row that is not here is missing once for each of its changes.
    assert_eq!((&said["rows"], &said["rows_missing"]), (&Value::from(4), &Value::from(2)));
    let seen = call(&["inspect", &deltas, "--rows", "9", "--json"]).expect(0).json();
    let rows: Vec<String> = seen["examples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["change"], row["key"][0], row["value"]))
        .collect();
    let want = [
        r#"0 "'One'" "'l-1'""#,
        r#"0 "'two'" "'l-2'""#,
        r#"1 "'One'" "'11'""#,
        r#"1 "'3'" "'33'""#,
    ];
    assert_eq!(rows, want);
}

#[test]
fn a_list_that_names_another_column_is_refused() {
    let folder = Folder::with_rows(3);
    folder.run("run", &["--quiet"]).expect(0);
    folder.write(
        "only",
        "{\"table\": \"t\", \"key\": [1]}\n{\"table\": \"t\", \"key\": [2], \"column\": \"a\"}\n",
    );
    let flags = ["--only", &folder.arg("only"), "--deltas", &folder.arg("d")];
    folder.run("export", &flags).expect(2).says(&["only:2", "\"t\"", "\"a\""]);
    assert!(!folder.path("d").exists());
}
