//! What is no element stops the run with the row and the reason, and is left out, counted reason by
//! reason and listed where the file says `malformed = "skip"`.

use crate::common::plain_db;
use crate::set::{PROJECTS, SetJob, migration, rows, tags, visible};

const ROWS: &str = r#"
INSERT INTO projects (id, tags) VALUES
  (1, '["a", "b"]'), (2, NULL), (3, ''), (4, '["c", null, true, [1], "c"]'), (5, '{'),
  (6, '{"a": 1}'), (7, 5), (8, '[1, 1.0, 2.5, 9223372036854775808]'), (9, x'5b5d'), (10, '["\u0000"]');"#;

#[test]
fn fail_names_the_row_and_what_stands_there() {
    let db = plain_db(&format!("{PROJECTS};{ROWS}"));
    let job = SetJob::new(db.db(), tags("json", ""));
    let said = job.refusal();
    for words in ["table projects, row (4), tags", "an element is NULL", "malformed = \"skip\""] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(rows(&db, "SELECT phase FROM _dotfill_migrations"), ["Text(\"failed\")"]);
    db.execute_batch(
        "DELETE FROM projects WHERE id > 3 AND id <> 8;
                      UPDATE projects SET tags = '[1, 2.5]' WHERE id = 8",
    )
    .unwrap();
    // It is tried again on demand, and stops at what others write later too.
    assert_eq!(job.refusal(), said);
    let mut job = job;
    job.options.retry = true;
    assert_eq!(job.run().rows_total, 4);
    job.options.retry = false;
    db.execute_batch("UPDATE projects SET tags = '[[]]' WHERE id = 3").unwrap();
    assert!(job.refusal().contains("row (3), tags: an element is an array or an object"));
    db.execute_batch("UPDATE projects SET tags = '[\"x\"]' WHERE id = 3").unwrap();
    job.run();
    job.assert_equal();
}

#[test]
fn skip_keeps_the_sound_elements_and_counts_the_others() {
    let db = plain_db(&format!("{PROJECTS};{ROWS}"));
    let job = SetJob::new(db.db(), tags("json", "malformed = 'skip'"));
    let report = job.run();
    let want = [
        "Integer(1) Text(\"a\")",
        "Integer(1) Text(\"b\")",
        "Integer(4) Text(\"c\")",
        "Integer(8) Integer(1)",
        "Integer(8) Real(2.5)",
        "Integer(8) Real(9.223372036854776e18)",
    ];
    assert_eq!(visible(&db), want);
    assert_eq!((report.rows_written, report.rows_skipped), (6, 10));
    let set = job.verify().changes[0].set.clone().unwrap();
    assert_eq!(set.adds, 6);
    let counts: Vec<_> = set.malformed.iter().map(|(flaw, n)| (flaw.as_str(), *n)).collect();
    let want = [
        ("boolean", 1),
        ("duplicate", 2),
        ("nested", 1),
        ("not-array", 1),
        ("not-json", 1),
        ("not-text", 1),
        ("nul", 1),
        ("null", 1),
    ];
    // 7 is text by the column's affinity, and no array; the blob is no text.
    let not_array =
        counts.iter().map(|(f, n)| if *f == "not-array" { (*f, n - 1) } else { (*f, *n) });
    assert_eq!(not_array.collect::<Vec<_>>(), want);
    assert!(set.malformed_examples.contains(&"4: an element is NULL".to_owned()), "{set:?}");
    job.assert_equal();
    assert_eq!(job.run().rows_written, 0);
}

#[test]
fn rows_of_a_child_table_are_elements() {
    let db = plain_db(
        "CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE project_tags (n INTEGER PRIMARY KEY, project, tag);
         CREATE INDEX by_project ON project_tags (project);
         INSERT INTO projects (id) VALUES (1), (2), (3);
         INSERT INTO project_tags (project, tag) VALUES
           (1, 'a'), (1, 'b'), (1, 'a'), (2, 7), (2, 7.0), (2, NULL), (2, x'00'), (9, 'orphan');",
    );
    let source = "source_table = 'project_tags'\nelement = 'tag'\nsource_key = ['project']";
    let job = SetJob::new(db.db(), migration("projects", &format!("{source}\nmalformed = 'skip'")));
    let report = job.run();
    let mut want =
        vec!["Integer(1) Text(\"a\")", "Integer(1) Text(\"b\")", "Integer(2) Integer(7)"];
    assert_eq!(visible(&db), want);
    assert_eq!((report.rows_written, report.rows_skipped), (3, 4));
    // Every way in which a row comes, goes or changes is followed.
    db.execute_batch(
        "INSERT INTO project_tags (project, tag) VALUES (3, 'new');
         UPDATE project_tags SET tag = 'c' WHERE tag = 'b';
         UPDATE project_tags SET project = 1 WHERE project = 9;
         DELETE FROM project_tags WHERE project = 2;",
    )
    .unwrap();
    job.run();
    want = vec![
        "Integer(1) Text(\"a\")",
        "Integer(1) Text(\"c\")",
        "Integer(1) Text(\"orphan\")",
        "Integer(3) Text(\"new\")",
    ];
    assert_eq!(visible(&db), want);
    db.execute_batch("DELETE FROM projects WHERE id = 1").unwrap();
    job.close();
    assert_eq!(visible(&db), want[3..]);
    assert_eq!(rows(&db, "SELECT count(*) FROM tag_adds"), ["Integer(1)"]);
    job.assert_equal();
}
