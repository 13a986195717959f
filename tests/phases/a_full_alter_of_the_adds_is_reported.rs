//! cr-sqlite's full `crsql_commit_alter` of the table of adds gives adds of ours clock rows.

use crate::common::{Replica, dotfill, merge_both_ways};
use crate::scenario::{Scene, add, projects, remove, shown, tags};

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 20)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\",\"b\"]' FROM i;";

const CLOCKED: &str = "SELECT count(*) FROM project_tag_adds__crsql_clock WHERE col_name = '-1'
    AND site_id = 0 AND col_version = 1";

fn doctor(replica: &Replica) -> crate::common::Output {
    dotfill(&["doctor", "--db", replica.db(), "--json"])
}

#[test]
fn while_the_old_form_leads_and_after() {
    let (a, b) = (projects(), projects());
    a.execute_batch(ROWS).unwrap();
    b.run("UPDATE projects SET name = 'b' WHERE id = 'P0'", []);
    merge_both_ways(&a, &b);
    let scene = Scene::new(&tags("reject"), &[&a, &b]);
    for replica in [&a, &b] {
        scene.run(replica);
    }
    // Adds of a client are no stamps, however many.
    (0..30).for_each(|i| add(&a, "P1", &format!("mine {i}")));
    doctor(&a).expect_code(0).expect_words(&["none for the adds that were derived"]);
    (0..30).for_each(|i| remove(&a, "P1", &format!("mine {i}")));

    a.alter("project_tag_adds", "CREATE INDEX by_dot ON project_tag_adds(dot)");
    assert_eq!(a.count(CLOCKED), 70, "premise: 40 derived adds were stamped");
    let found = doctor(&a).expect_code(1);
    found.expect_words(&[
        "stamped adds of \\\"project_tag_adds\\\"",
        "40 derived adds",
        "read-new-write-new",
    ]);
    // What the finding says: the old form loses an element, and only here it stays.
    b.run("UPDATE projects SET tags = '[\"b\"]' WHERE id = 'P2'", []);
    merge_both_ways(&a, &b);
    for replica in [&a, &b] {
        scene.run(replica);
    }
    merge_both_ways(&a, &b);
    assert_eq!(shown(&a, "P2"), ["a", "b"]);
    remove(&a, "P2", "a");
    merge_both_ways(&a, &b);
    assert_eq!((shown(&a, "P2"), shown(&b, "P2")), (vec!["b".to_owned()], vec!["b".to_owned()]));
    // Once the new form leads nothing is owed.
    for mode in ["read-new-write-old", "read-new-write-both", "read-new-write-new"] {
        scene.advance_all(&[&a, &b], mode);
    }
    doctor(&a).expect_code(0).expect_words(&["40 derived adds"]);
}
