//! Eight services start at once: one builds, seven wait, all are told the same.

use crate::scene::{Scene, UNIQUE, ends};

#[test]
fn eight_callers_build_once_and_all_say_done_when_it_is() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let callers = scene.callers(8, &[]);
    scene.building();
    writer.run("COMMIT");
    let outputs = ends(callers);
    let mut hows = Vec::new();
    for output in outputs {
        let output = output.expect_complete();
        assert_eq!(output.json["attached"], output.json["indexes"][0]["how"] == "attached");
        hows.push(output.json["indexes"][0]["how"].as_str().unwrap().to_owned());
    }
    assert_eq!(hows.iter().filter(|how| *how == "built").count(), 1, "{hows:?}");
    assert_eq!(scene.builds(), 1);
    assert!(!scene.has_verdicts(), "nothing is left behind where nothing has failed");
}

#[test]
fn whoever_comes_later_finds_it() {
    let scene = Scene::new(UNIQUE);
    let built = scene.ensure(&[]).expect_complete();
    assert_eq!(built.json["indexes"][0]["how"], "built");
    let found = scene.ensure(&[]).expect_complete();
    assert_eq!(found.json["indexes"][0]["how"], "found");
    assert_eq!(scene.builds(), 1);
}

#[test]
fn without_waiting_the_second_caller_names_the_first() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let first = scene.callers(1, &[]);
    let pid = scene.building();
    let second = scene.ensure(&["--no-wait"]).expect_code(5);
    assert_eq!(second.json["outcome"], "held");
    second.expect_words(&[&format!("pid {pid}"), "dotfill users-email", "build lock"]);
    writer.run("COMMIT");
    for output in ends(first) {
        output.expect_complete();
    }
}
