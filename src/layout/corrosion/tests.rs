//! Backlogs, what reading them costs, and other releases of Corrosion.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::db::environment;

const SCHEMA: &str = include_str!("../../../tests/common/corrosion.sql");
const ACTOR: &str = "x'00112233445566778899aabbccddeeff'";

fn agent() -> Connection {
    let conn = Connection::open_in_memory().expect("memory");
    conn.execute_batch(SCHEMA).expect("the agent's tables");
    conn
}

fn sql(conn: &Connection, sql: &str) {
    conn.execute_batch(&sql.replace("ACTOR", ACTOR)).expect(sql);
}

/// A version of `ACTOR` of which `0..seqs` have arrived, of `0..=last`.
fn part(conn: &Connection, version: i64, seqs: i64, last: i64) {
    sql(
        conn,
        &format!(
            "WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i + 1 < {seqs}) \
             INSERT INTO __corro_buffered_changes \
             SELECT 'machines', x'010901', 'owner', 'v', 1, {version}, ACTOR, i, 1, '0' FROM s; \
             INSERT INTO __corro_seq_bookkeeping \
             VALUES (ACTOR, {version}, 0, {seqs} - 1, {last}, '0')"
        ),
    );
}

fn backlog(conn: &Connection) -> Backlog {
    Backlog::read(conn).expect("a backlog")
}

#[test]
fn an_idle_agent_has_no_backlog() {
    let conn = agent();
    assert!(environment(&conn).expect("environment").corrosion);
    let backlog = backlog(&conn);
    assert!(backlog.is_empty() && backlog.unknown.is_empty(), "{backlog:?}");
    assert_eq!(backlog.to_string(), "nothing");
}

#[test]
fn a_backlog_is_counted_and_said_in_words() {
    let conn = agent();
    part(&conn, 7, 3, 9);
    assert_eq!(backlog(&conn).to_string(), "3 buffered changes of 1 version");
    part(&conn, 8, 2_000, 1_999);
    sql(&conn, "INSERT INTO __corro_bookkeeping_gaps VALUES (ACTOR, 3, 4), (ACTOR, 6, 6)");
    assert_eq!(backlog(&conn).to_string(), "2,003 buffered changes of 2 versions, 2 gaps");
    sql(&conn, "DELETE FROM __corro_seq_bookkeeping WHERE db_version = 8");
    assert_eq!(backlog(&conn).to_string(), "3 buffered changes of 1 version, 2 gaps");
}

#[test]
fn what_was_applied_and_is_cleared_away_is_no_backlog() {
    let conn = agent();
    part(&conn, 8, 2_000, 1_999);
    assert!(!backlog(&conn).is_empty());
    // The agent takes the bookkeeping away first, and the rows in steps of two seconds.
    sql(&conn, "DELETE FROM __corro_seq_bookkeeping");
    assert!(backlog(&conn).is_empty(), "{:?}", backlog(&conn));
    sql(&conn, "ALTER TABLE __corro_seq_bookkeeping RENAME TO elsewhere");
    let blind = backlog(&conn);
    assert_eq!(blind.to_string(), "more than 1,000 buffered changes");
    sql(&conn, "DELETE FROM __corro_buffered_changes WHERE seq > 0");
    assert_eq!(backlog(&conn).to_string(), "1 buffered change");
}

#[test]
fn a_mark_changes_with_whatever_the_agent_does() {
    let conn = agent();
    part(&conn, 7, 5_000, 9_999);
    sql(&conn, "INSERT INTO __corro_bookkeeping_gaps VALUES (ACTOR, 3, 9)");
    let mut before = backlog(&conn);
    assert_eq!(backlog(&conn), before, "nothing has changed");
    for step in [
        "UPDATE __corro_seq_bookkeeping SET end_seq = 5000",
        "INSERT INTO __corro_seq_bookkeeping VALUES (ACTOR, 7, 7000, 7001, 9999, '0')",
        "UPDATE __corro_bookkeeping_gaps SET start = 4",
        "UPDATE __corro_bookkeeping_gaps SET end = 8",
        // As the agent clears what it has applied.
        "DELETE FROM __corro_buffered_changes WHERE seq < 1000",
    ] {
        sql(&conn, step);
        let after = backlog(&conn);
        assert_ne!(after.mark, before.mark, "{step}");
        before = after;
    }
}

/// Steps of `SQLite`'s virtual machine that a reading takes, to the hundred.
fn steps(conn: &mut Connection) -> u64 {
    let hundreds = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&hundreds);
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    conn.progress_handler(100, Some(count)).expect("progress");
    backlog(conn);
    conn.progress_handler(0, None::<fn() -> bool>).expect("progress");
    hundreds.load(Ordering::Relaxed) * 100
}

#[test]
fn a_reading_costs_the_same_however_much_waits() {
    let fill = |rows: i64| {
        let conn = agent();
        part(&conn, 1, rows, rows);
        sql(
            &conn,
            &format!(
                "WITH RECURSIVE s(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM s WHERE i < {rows}) \
                 INSERT INTO __corro_seq_bookkeeping SELECT ACTOR, i, 0, 1, 9, '0' FROM s; \
                 INSERT INTO __corro_bookkeeping_gaps \
                 SELECT ACTOR, start_seq + 2 * db_version, 2 * db_version FROM \
                 __corro_seq_bookkeeping"
            ),
        );
        conn
    };
    let few = steps(&mut fill(2_000));
    let many = steps(&mut fill(100_000));
    assert!(many < few + few / 5, "{few} steps at 2,000 rows, {many} at 100,000");
    assert!(many < 60_000, "{many} steps");
}

#[test]
fn another_release_is_read_as_far_as_it_is_known() {
    let conn = agent();
    part(&conn, 7, 3, 9);
    sql(&conn, "DROP TABLE __corro_bookkeeping_gaps");
    let found = backlog(&conn);
    assert_eq!(found.unknown, ["__corro_bookkeeping_gaps"]);
    assert_eq!(found.to_string(), "3 buffered changes of 1 version");
    sql(&conn, "ALTER TABLE __corro_seq_bookkeeping RENAME COLUMN last_seq TO last_one");
    sql(&conn, "DROP TABLE __corro_buffered_changes");
    let found = backlog(&conn);
    assert!(found.is_empty() && found.unknown.len() == 3, "{found:?}");
    assert_eq!(part_versions(&conn).expect("versions"), []);
    assert_eq!(gaps(&conn).expect("gaps"), []);
}

#[test]
fn versions_say_what_is_missing_and_what_this_node_lacks() {
    let conn = agent();
    sql(&conn, "CREATE TABLE machines (id INTEGER PRIMARY KEY, app TEXT)");
    part(&conn, 7, 3, 9);
    sql(&conn, "INSERT INTO __corro_seq_bookkeeping VALUES (ACTOR, 7, 5, 6, 9, '0')");
    part(&conn, 8, 2, 1);
    sql(
        &conn,
        "UPDATE __corro_buffered_changes SET cid = 'app' WHERE db_version = 7; \
         UPDATE __corro_buffered_changes SET cid = '-1' WHERE db_version = 7 AND seq = 0; \
         INSERT INTO __corro_buffered_changes \
         VALUES ('walls', x'00', 'a', 1, 1, 9, ACTOR, 0, 1, '0')",
    );
    let versions = part_versions(&conn).expect("versions");
    let numbers: Vec<i64> = versions.iter().map(|v| v.version).collect();
    assert_eq!(numbers, [7, 8, 9]);
    assert!(versions.iter().all(|v| v.actor == "00112233-4455-6677-8899-aabbccddeeff"));
    assert_eq!(versions[0].missing, Some(vec![(3, 4), (7, 9)]));
    assert_eq!((versions[0].buffered_changes, versions[0].unknown.len()), (3, 0));
    assert!(versions[1].is_whole() && !versions[0].is_whole());
    assert_eq!(versions[1].unknown, ["column machines.owner"]);
    assert_eq!(versions[2].missing, None, "its bookkeeping is gone: applied");
    assert_eq!(versions[2].unknown, ["table walls"]);
}

#[test]
fn gaps_are_those_of_each_actor() {
    let conn = agent();
    sql(
        &conn,
        "INSERT INTO __corro_bookkeeping_gaps VALUES (ACTOR, 3, 4), (x'ab', 1, 1), \
                (ACTOR, 9, 9)",
    );
    let found = gaps(&conn).expect("gaps");
    assert_eq!(found[0].ranges, [(3, 4), (9, 9)]);
    assert_eq!((found[1].actor.as_str(), found[1].ranges.as_slice()), ("ab", &[(1, 1)][..]));
}
