//! Behind a Corrosion agent a record of another site reaches no node: dotfill says what the agent has
//! to write instead, and the old write stays pending until that was done.

use crate::common::{Replica, corrosion_tables, merge};
use crate::scenario::{PROJECTS, Scene, projects, shown, tags};

const NEW_FORM: &str = "
    CREATE TABLE project_tag_adds(id TEXT NOT NULL, element NOT NULL, dot BLOB NOT NULL,
      PRIMARY KEY (id, element, dot));
    CREATE TABLE project_tag_removes(dot BLOB NOT NULL PRIMARY KEY);";

#[test]
fn the_statements_are_told_and_once_the_agent_has_run_them_the_write_is_settled() {
    let a = Replica::with_tables(
        &format!("{PROJECTS}; {NEW_FORM}"),
        &["projects", "project_tag_adds", "project_tag_removes"],
    );
    let old = projects();
    a.run("INSERT INTO projects VALUES ('P1', 'one', '[\"a\"]')", []);
    corrosion_tables(&a);
    let scene = Scene::new(&tags("reject"), &[&a]);
    let run = || scene.command("run", &a, &[]).expect_complete();
    run();
    for mode in ["read-new-write-old", "read-new-write-both", "read-new-write-new"] {
        scene.advance_all(&[&a], mode);
    }
    old.run("INSERT INTO projects VALUES ('P2', 'two', '[\"late\"]')", []);
    merge(&old, &a);
    let versions = crate::common::Records::of(&a);
    let output = run();
    let statement = output
        .stderr
        .lines()
        .find_map(|line| line.split("the agent's API: ").nth(1))
        .unwrap_or_else(|| panic!("nothing was told: {}", output.stderr))
        .to_owned();
    assert!(statement.starts_with("INSERT INTO \"project_tag_removes\" VALUES (x'"), "{statement}");
    versions.assert_none_created(&a);
    let pending = || scene.command("status", &a, &[]).json[0]["pending_writes"].clone();
    assert_eq!(pending(), 1);
    a.run(&statement, []);
    run();
    assert_eq!(pending(), 0);
    assert_eq!(shown(&a, "P2"), Vec::<String>::new());
    assert_eq!(scene.quarantine(&a).len(), 1);
    a.assert_sound();
}
