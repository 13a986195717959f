//! The example of the README: a removed tag that an old client sends again.

use crate::common::{merge, merge_both_ways};
use crate::scenario::{REFUSAL, Scene, projects, remove, shown, tags};

#[test]
fn all_three_show_vip_only_and_the_rejected_write_is_in_quarantine() {
    let (a, b, late) = (projects(), projects(), projects());
    let scene = Scene::new(&tags("reject"), &[&a, &b]);
    a.run("INSERT INTO projects VALUES ('P7', 'seven', '[\"urgent\",\"vip\"]')", []);
    merge_both_ways(&a, &b);
    merge_both_ways(&a, &late);

    // Two replicas are translated and close their epoch; a new client removes a tag on one of them.
    scene.close_epoch(&[&a, &b]);
    remove(&a, "P7", "urgent");
    merge_both_ways(&a, &b);
    assert_eq!(shown(&b, "P7"), ["vip"]);

    // An old client of the replica that is late, and offline, writes the set again.
    late.run("UPDATE projects SET tags = '[\"urgent\"]' WHERE id = 'P7'", []);
    late.run("UPDATE projects SET tags = '[\"urgent\",\"vip\"]' WHERE id = 'P7'", []);
    assert!(merge(&late, &b) > 0, "premise: the write is on its way");
    assert_eq!(shown(&b, "P7"), ["vip"], "before anybody has looked at it");
    let status = scene.command("status", &b, &[]).json;
    assert_eq!(status[0]["pending_writes"], 1, "{status}");
    assert_eq!(status[0]["mode"], "read-new-write-new", "{status}");
    scene.run(&b);
    let listed = scene.quarantine(&b);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].0, "removed-element");
    assert_eq!(listed[0].1["removed"], serde_json::json!(["urgent"]));
    assert_eq!(listed[0].1["known"], serde_json::json!(["vip"]));
    let status = scene.command("status", &b, &[]).json;
    assert_eq!(status[0]["old_writes"][0]["outcome"], "rejected", "{status}");
    assert_eq!(status[0]["old_writes"][0]["writes"], 1, "{status}");
    assert_eq!(status[0]["pending_writes"], 0, "{status}");

    // An old client of a translated replica is refused at once.
    let error = b
        .try_run("UPDATE projects SET tags = '[\"vip\",\"urgent\"]' WHERE id = 'P7'", [])
        .expect_err("the epoch is closed")
        .to_string();
    assert!(error.contains(REFUSAL), "{error}");

    // The late one arrives.
    scene.run(&late);
    for _ in 0..2 {
        for (one, other) in [(&a, &b), (&b, &late), (&a, &late)] {
            merge_both_ways(one, other);
        }
        for replica in [&a, &b, &late] {
            scene.run(replica);
        }
    }
    for replica in [&a, &b, &late] {
        assert_eq!(shown(replica, "P7"), ["vip"]);
        replica.assert_sound();
    }
}
