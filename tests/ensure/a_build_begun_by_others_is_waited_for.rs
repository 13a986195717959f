//! Another tool, which knows nothing of our lock, is building the index already.

use crate::scene::{INDEX, Scene, UNIQUE, ends};
use crate::sql::Sql;

fn other_tool(scene: &Scene) -> std::thread::JoinHandle<Result<(), String>> {
    let sql = format!("CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON users (lower(email))");
    Sql::open(&scene.url).start(&sql)
}

#[test]
fn it_is_attached_to_and_not_removed() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let other = other_tool(&scene);
    let pid = scene.building();
    let held = scene.ensure(&["--no-wait"]).expect_code(5);
    held.expect_words(&[&format!("pid {pid} builds it"), "not valid"]);
    let callers = scene.callers(3, &[]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    writer.run("COMMIT");
    assert_eq!(other.join().unwrap(), Ok(()));
    for output in ends(callers) {
        assert_eq!(output.expect_complete().json["indexes"][0]["how"], "attached");
    }
    assert_eq!(scene.builds(), 0);
}

#[test]
fn when_it_fails_we_build() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let other = other_tool(&scene);
    let pid = scene.building();
    let callers = scene.callers(3, &[]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    scene.sql.run(&format!("SELECT pg_cancel_backend({pid})"));
    assert!(other.join().unwrap().is_err());
    writer.run("COMMIT");
    for output in ends(callers) {
        output.expect_complete();
    }
    assert_eq!(scene.builds(), 1);
}

#[test]
fn a_build_that_locks_writers_out_is_waited_for() {
    let scene = Scene::new(UNIQUE);
    let other = Sql::open(&scene.url);
    other.run(&format!("BEGIN; CREATE UNIQUE INDEX {INDEX} ON users (lower(email))"));
    let callers = scene.callers(2, &[]);
    std::thread::sleep(std::time::Duration::from_millis(700));
    other.run("COMMIT");
    for output in ends(callers) {
        output.expect_complete();
    }
}
