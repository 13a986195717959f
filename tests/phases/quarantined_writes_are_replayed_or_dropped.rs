//! `quarantine replay` and `quarantine drop` of old-format writes that have arrived, on replicas.

use crate::common::{Output, Replica, dotfill, merge, merge_both_ways};
use crate::scenario::{Scene, projects, remove, shown, tags};

/// Two replicas in a closed epoch; an old client's `c` for P1 has arrived on the first, and on the
/// second by way of it.
fn arrived(policy: &str) -> (Replica, Replica, Scene) {
    let (a, b, old) = (projects(), projects(), projects());
    a.run("INSERT INTO projects VALUES ('P1', 'one', '[\"a\"]')", []);
    merge_both_ways(&a, &b);
    merge_both_ways(&a, &old);
    let scene = Scene::new(&tags(policy), &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    old.run("UPDATE projects SET tags = '[\"a\",\"c\"]' WHERE id = 'P1'", []);
    merge(&old, &a);
    merge_both_ways(&a, &b);
    for replica in [&a, &b] {
        scene.run(replica);
        assert_eq!(scene.quarantine(replica).len(), 1);
    }
    merge_both_ways(&a, &b);
    (a, b, scene)
}

fn quarantine(verb: &str, replica: &Replica, id: &str) -> Output {
    dotfill(&["quarantine", verb, id, "--db", replica.db()])
}

fn settle(a: &Replica, b: &Replica, scene: &Scene) {
    for _ in 0..2 {
        merge_both_ways(a, b);
        scene.run(a);
        scene.run(b);
    }
}

#[test]
fn what_waits_is_shown_after_a_replay_and_gone_after_a_drop() {
    for (verb, want) in [("replay", &["a", "c"][..]), ("drop", &["a"][..])] {
        let (a, b, scene) = arrived("quarantine");
        quarantine(verb, &a, "1").expect_code(0);
        assert_eq!(shown(&a, "P1"), want, "{verb}");
        settle(&a, &b, &scene);
        assert_eq!(shown(&b, "P1"), want, "{verb}: the other replica");
        // The same decision on the other replica adds nothing, and a second one is refused.
        quarantine(verb, &b, "1").expect_code(0);
        quarantine(verb, &b, "1").expect_code(1).expect_words(&["before"]);
        settle(&a, &b, &scene);
        for replica in [&a, &b] {
            assert_eq!(shown(replica, "P1"), want, "{verb}");
            assert_eq!(
                replica.count("SELECT count(*) FROM project_tag_adds"),
                i64::try_from(want.len()).unwrap()
            );
        }
        remove(&b, "P1", "a");
        settle(&a, &b, &scene);
        assert_eq!(shown(&a, "P1"), want[1..], "{verb}");
    }
}

#[test]
fn what_was_refused_for_good_comes_back_with_a_dot_of_its_own() {
    let (a, b, scene) = arrived("reject");
    assert_eq!(shown(&a, "P1"), ["a"]);
    quarantine("replay", &a, "1").expect_code(0);
    settle(&a, &b, &scene);
    for replica in [&a, &b] {
        assert_eq!(shown(replica, "P1"), ["a", "c"]);
    }
    let list = dotfill(&["quarantine", "list", "--all", "--db", a.db(), "--json"]).expect_code(0);
    assert_eq!(list.json["rows"][0]["status"], "replayed", "{}", list.json);
    // Removed again, it stays removed, however often the old write arrives.
    remove(&b, "P1", "c");
    settle(&a, &b, &scene);
    assert_eq!(shown(&a, "P1"), ["a"]);
}

#[test]
fn a_gate_waits_for_what_waits_in_quarantine() {
    let (a, b, scene) = arrived("quarantine");
    scene.ack(&a);
    scene.ack(&b);
    let output = scene.advance(&a, "compact-old", &["--no-export"]).expect_code(6);
    output.expect_words(&["0 old writes pending, 1 in quarantine", "quarantine list"]);
}
