//! Somebody holds a lock that the build waits for: who, since when, and with which statement.

use crate::common::eventually;
use crate::scene::{Scene, UNIQUE};
use crate::sql::Sql;

#[test]
fn the_end_of_our_time_says_who_is_in_the_way_and_leaves_the_build() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let pid = writer.cell("SELECT pg_backend_pid()");
    writer.run("SAVEPOINT s; UPDATE users SET gone = NULL WHERE id = 2");
    let output = scene.ensure(&["--timeout", "1500ms"]).expect_code(5);
    assert_eq!(output.json["outcome"], "timeout");
    assert_eq!(output.json["building"], true);
    output.expect_words(&[
        "waiting for writers before build",
        &format!("waits for pid {pid} (user postgres, idle in transaction since "),
        "UPDATE users SET gone = NULL WHERE id = 2",
        "the server goes on",
    ]);
    // Nobody asks any more, and it is built all the same.
    writer.run("COMMIT");
    eventually("the server has built it", || scene.valid() == "t");
    let found = scene.ensure(&[]).expect_complete();
    assert_eq!(found.json["indexes"][0]["how"], "found");
    assert_eq!(scene.builds(), 1);
}

#[test]
fn a_table_that_is_locked_altogether_is_waited_for() {
    let scene = Scene::new(UNIQUE);
    let locker = Sql::open(&scene.url);
    locker.run("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE");
    let callers = scene.callers(1, &[]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(!callers[0].is_finished(), "waits longer than a question may");
    locker.run("COMMIT");
    for output in crate::scene::ends(callers) {
        output.expect_complete();
    }
    assert_eq!(scene.builds(), 1);
}
