//! `--nodes-percent` on the file of a Corrosion agent: a node is reached by a hash of its site id,
//! stays reached as the ramp grows, and before that exits 0, says so, and is not touched.

use std::fs;

use crate::common::{Output, Records, corrosion_tables, dotfill, receive_part};
use crate::scenario::{DERIVE, Pair};

fn node() -> Pair {
    let pair = Pair::with_clockless_column(DERIVE);
    corrosion_tables(&pair.a);
    pair
}

fn ramp(pair: &Pair, percent: u32, json: &[&str]) -> Output {
    let percent = percent.to_string();
    let mut args = vec!["run", &pair.migration, "--db", pair.a.db(), "--nodes-percent", &percent];
    args.extend(json);
    dotfill(&args)
}

#[test]
fn a_node_that_is_not_reached_says_so_and_is_not_touched() {
    let pair = node();
    // Not even an agent that is behind holds a node up which has nothing to do.
    receive_part(&pair.a, 7, 3, 9, "app");
    let files = || ["", "-wal"].map(|end| fs::read(format!("{}{end}", pair.a.db())).unwrap());
    let (before, records) = (files(), Records::of(&pair.a));
    let output = ramp(&pair, 0, &["--json"]).expect_code(0);
    assert_eq!(output.json["outcome"], "skipped");
    output.expect_words(&["machines-owner", "of the ramp", "--nodes-percent is 0"]);
    let output = ramp(&pair, 0, &[]).expect_code(0);
    assert!(output.stdout.contains("nothing done, this replica comes at "), "{}", output.stdout);
    assert!(files() == before, "the node's file was changed");
    assert_eq!(Records::of(&pair.a), records);
}

#[test]
fn a_node_is_reached_where_its_site_id_says_and_stays_reached() {
    let pair = node();
    let hash = blake3::hash(&pair.a.site_id());
    let head: [u8; 4] = hash.as_bytes()[..4].try_into().unwrap();
    let place = f64::from(u32::from_le_bytes(head) % 10_000) / 100.0;
    for percent in (0..=100).step_by(5) {
        let output = ramp(&pair, percent, &["--json"]).expect_code(0);
        let reached = if place < f64::from(percent) { "complete" } else { "skipped" };
        assert_eq!(output.json["outcome"], reached, "{percent} %, the node is at {place}");
    }
    pair.a.assert_sound();
}
