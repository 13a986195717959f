//! The session that builds is ended, or the process that asked for it is.

use crate::scene::{Scene, UNIQUE, ends};

#[test]
fn a_backend_that_is_terminated_is_replaced() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let callers = scene.callers(3, &[]);
    let pid = scene.building();
    assert_eq!(scene.valid(), "f", "half built");
    assert_eq!(scene.sql.cell(&format!("SELECT pg_terminate_backend({pid})")), "t");
    // Another build begins only after the leftover is removed, for which the writer has to end,
    // too.
    writer.run("COMMIT");
    for output in ends(callers) {
        output.expect_complete();
    }
    assert_eq!(scene.builds(), 2);
}

#[test]
fn the_server_goes_on_for_a_process_that_was_killed() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let first = scene.start(&[]);
    let pid = scene.building();
    first.kill();
    let others = scene.callers(2, &[]);
    assert_eq!(scene.building(), pid, "the build that was begun");
    writer.run("COMMIT");
    for output in ends(others) {
        output.expect_complete();
    }
    assert_eq!(scene.builds(), 1);
}
