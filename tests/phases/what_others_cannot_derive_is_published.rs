//! Rule P: an old client's write takes elements out of a source that a late replica has not
//! translated yet, so a replica in a closed epoch publishes their adds.

use crate::common::{Records, merge, merge_both_ways};
use crate::scenario::{Scene, projects, remove, shown, site, tags};

#[test]
fn a_late_replica_shows_what_it_can_no_longer_derive() {
    let (a, b, late) = (projects(), projects(), projects());
    a.run("INSERT INTO projects VALUES ('P1', 'one', '[\"a\",\"b\"]')", []);
    merge_both_ways(&a, &b);
    merge_both_ways(&a, &late);
    let scene = Scene::new(&tags("translate"), &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    late.run("UPDATE projects SET tags = '[\"b\",\"c\"]' WHERE id = 'P1'", []);
    merge(&late, &a);
    scene.run(&a);

    // One add is published, by a site of its own, at version 1, as a user's add would be.
    let records = Records::of(&a);
    let own: Vec<u8> = a.site_id();
    let published: Vec<_> =
        records.changes.iter().filter(|change| change.table == "project_tag_adds").collect();
    assert_eq!(published.len(), 1, "{published:#?}");
    assert_ne!(published[0].site_id, own);
    assert_eq!((published[0].col_version, published[0].causal_length), (1, 1));
    assert_eq!(published[0].column, "-1");

    scene.run(&late);
    assert_eq!(shown(&late, "P1"), ["b", "c"]);
    merge_both_ways(&a, &late);
    scene.run(&late);
    assert_eq!(shown(&late, "P1"), ["a", "b", "c"]);
    merge_both_ways(&late, &b);
    scene.run(&b);
    assert_eq!(shown(&b, "P1"), ["a", "b", "c"]);
    assert_eq!(shown(&a, "P1"), ["a", "b", "c"]);

    // It is removed like any other, and what is settled again publishes nothing more.
    remove(&late, "P1", "a");
    for _ in 0..2 {
        for (one, other) in [(&a, &late), (&a, &b)] {
            merge_both_ways(one, other);
        }
        for replica in [&a, &b, &late] {
            scene.run(replica);
        }
    }
    for replica in [&a, &b, &late] {
        assert_eq!(shown(replica, "P1"), ["b", "c"], "{}", site(replica));
        replica.assert_sound();
    }
    assert_eq!(merge(&a, &b) + merge(&b, &a) + merge(&late, &a) + merge(&a, &late), 0);
}
