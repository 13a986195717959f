//! `doctor` on the file of a Corrosion agent: what waits is named with what heals it, and an idle
//! agent is healthy.

use serde_json::Value;

use crate::common::{ACTOR, Replica, catch_up, corrosion_tables, dotfill, miss, receive_part};
use crate::scenario::{DERIVE, Pair};

/// The findings that are about the agent, and the exit code.
fn doctor(replica: &Replica) -> (Vec<Value>, i32) {
    let output = dotfill(&["doctor", "--db", replica.db(), "--json"]);
    let about = |finding: &Value| {
        let what = finding["what"].as_str().unwrap();
        ["corrosion", "version", "gaps"].iter().any(|start| what.starts_with(start))
    };
    let findings = output.json.as_array().expect("findings").clone();
    (findings.into_iter().filter(about).collect(), output.code)
}

#[track_caller]
fn assert_says(finding: &Value, words: &[&str]) {
    for word in words {
        assert!(finding.to_string().contains(word), "no {word:?} in {finding:#}");
    }
}

#[test]
fn stuck_versions_and_gaps() {
    let pair = Pair::with_clockless_column(DERIVE);
    corrosion_tables(&pair.a);
    let (idle, code) = doctor(&pair.a);
    assert_eq!(code, 0, "{idle:?}");
    assert_says(&idle[0], &["ok", "applied all"]);

    receive_part(&pair.a, 7, 3, 9, "owner");
    receive_part(&pair.a, 8, 100_000, 99_999, "owner");
    receive_part(&pair.a, 9, 2, 1, "region");
    miss(&pair.a, 3, 4);
    let (found, code) = doctor(&pair.a);
    assert_eq!((found.len(), code), (4, 1), "{found:#?}");
    assert_says(&found[0], &["wrong", "version 9", ACTOR, "column machines.region", "restart"]);
    assert_says(&found[1], &["owed", "version 7", ACTOR, "seq 3-9", "sync generate"]);
    assert_says(&found[2], &["owed", "version 8", "100000 buffered changes", "sql_tx_timeout"]);
    assert_says(&found[3], &["owed", "gaps of actor", ACTOR, "2 versions", "3-4"]);

    catch_up(&pair.a);
    assert_eq!(doctor(&pair.a).1, 0);
}

#[test]
fn a_release_without_a_table_is_no_failure() {
    let pair = Pair::with_clockless_column(DERIVE);
    corrosion_tables(&pair.a);
    pair.a.execute_batch("DROP TABLE __corro_bookkeeping_gaps").unwrap();
    let (found, code) = doctor(&pair.a);
    assert_eq!(code, 0, "{found:?}");
    assert_says(&found[1], &["ok", "__corro_bookkeeping_gaps"]);
    pair.run();
}
