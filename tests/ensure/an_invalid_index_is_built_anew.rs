//! An INVALID index that somebody has left behind: its name exists, and it is worth nothing.

use crate::scene::{INDEX, Scene, UNIQUE, ends};

fn with_leftover() -> Scene {
    let scene = Scene::new(UNIQUE);
    scene.sql.run("INSERT INTO users VALUES (-1, 'USER7@example')");
    let left = scene
        .sql
        .try_run(&format!("CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON users (lower(email))"));
    assert!(left.is_err());
    assert_eq!(scene.valid(), "f");
    scene.sql.run("DELETE FROM users WHERE id < 0");
    scene
}

#[test]
fn it_is_removed_and_built() {
    let scene = with_leftover();
    let trap = format!("CREATE UNIQUE INDEX IF NOT EXISTS {INDEX} ON users (lower(email))");
    scene.sql.run(&trap);
    assert_eq!(scene.valid(), "f", "IF NOT EXISTS has said yes");

    let output = scene.ensure(&[]).expect_complete();
    assert_eq!(output.json["indexes"][0]["how"], "built");
}

#[test]
fn callers_at_once_remove_it_once() {
    let scene = with_leftover();
    for output in ends(scene.callers(6, &[])) {
        output.expect_complete();
    }
    assert_eq!(scene.builds(), 1);
}

#[test]
fn one_with_another_definition_is_left_alone() {
    let mut scene = with_leftover();
    scene.migration(&UNIQUE.replace("lower(email)", "upper(email)"));
    scene.ensure(&[]).expect_code(2).expect_words(&["wanted (upper(email)), found (lower(email))"]);
    assert_eq!(scene.valid(), "f");
}
