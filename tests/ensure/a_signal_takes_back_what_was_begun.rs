//! Ctrl-C: the build ends on the server, too, and nothing is left of it.

use crate::common::eventually;
use crate::scene::{Scene, UNIQUE, ends};

#[test]
fn the_builder_cancels_removes_and_exits_resumable() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let caller = scene.start(&[]);
    scene.building();
    // What is left can only be removed once the writer is gone.
    let release = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        writer.run("COMMIT");
    });
    let output = caller.interrupt().expect_code(4);
    release.join().unwrap();
    assert_eq!(output.json["outcome"], "interrupted");
    output.expect_words(&["what it had begun was removed"]);
    assert_eq!(scene.valid(), "");
    scene.ensure(&[]).expect_complete();
}

#[test]
fn what_cannot_be_removed_at_once_is_told_and_removed_by_the_next_call() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let caller = scene.start(&[]);
    scene.building();
    let output = caller.interrupt().expect_code(4);
    output.expect_words(&["an INVALID index is left, which the next call removes"]);
    writer.run("COMMIT");
    scene.ensure(&[]).expect_complete();
}

#[test]
fn one_who_waits_leaves_the_build_alone() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let builder = scene.callers(1, &[]);
    let pid = scene.building();
    let mut waiter = scene.start(&["-v"]);
    waiter.wait_for("waiting for it");
    let output = waiter.interrupt().expect_code(4);
    output.expect_words(&[&format!("pid {pid}"), "has the build lock"]);
    eventually("the builder is still there", || scene.building() == pid);
    writer.run("COMMIT");
    for output in ends(builder) {
        output.expect_complete();
    }
    assert_eq!(scene.builds(), 1);
}
