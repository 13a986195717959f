//! Changes run in the order of the file, and the first that fails ends the run: what was proven before
//! it stays, what comes after it is not begun.

use crate::common::plain_db;
use crate::job::{Job, column, migration, objects};
use crate::scene::section;

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, tags TEXT);
    INSERT INTO t VALUES (1, 'x', '[\"p\"]'), (2, 'x', '[]'), (3, 'y', 'no json');";
const SET: &str = "[[change]]\nkind = 'or_set'\ntable = 't'\nsource = 'tags'\nformat = 'json'\n\
    adds = 'tag_adds'\nremoves = 'tag_removes'\nview = 'tags_visible'\n";

fn job(db: &str, parts: &[&str]) -> Job {
    Job::new(db, migration(&format!("id = 'm'\n{}", parts.concat())))
}

fn made(db: &rusqlite::Connection) -> Vec<String> {
    let mut names = objects(db, "i");
    names.extend(objects(db, "tag%"));
    let column = "SELECT name FROM pragma_table_info('t') WHERE name = 'owner'";
    names.extend(db.query_row(column, [], |row| row.get::<_, String>(0)).ok());
    names
}

#[test]
fn a_unique_index_that_fails_stops_before_the_set() {
    let db = plain_db(TABLE);
    let owner = column("t", "owner", "TEXT", "'o-' || a", "");
    let unique = section("columns = ['owner']\nunique = true");
    let mut job = job(db.db(), &[&owner, &unique, SET]);
    job.expect_error(&["the same (owner)", "('o-x') in rows (1) and (2)"]);
    assert_eq!(made(&db), ["owner"]);
    db.execute_batch("UPDATE t SET a = 'z' WHERE id = 2").unwrap();
    job.options.retry = true;
    // The set is next, and fails for its own reason; the index that was proven stays.
    job.expect_error(&["table t", "(3)"]);
    assert_eq!(made(&db), ["i", "owner"]);
    db.execute_batch("UPDATE t SET tags = '[]' WHERE id = 3").unwrap();
    job.run();
    assert_eq!(made(&db), ["i", "tag_adds", "tag_removes", "tags_visible", "owner"]);
    job.options.retry = false;
    job.close();
}

#[test]
fn a_column_that_fails_stops_before_the_index() {
    let db = plain_db(TABLE);
    let owner = column("t", "owner", "TEXT", "json_extract(tags, '$[0]')", "");
    let index = section("columns = ['owner']");
    job(db.db(), &[&owner, &index]).expect_error(&["malformed JSON"]);
    assert_eq!(made(&db), Vec::<String>::new());
}
