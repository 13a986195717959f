//! Only the layout of cr-sqlite that was tested is written to.

use crate::scenario::{DERIVE, Pair, assert_refused};

#[test]
fn by_name() {
    let pair = Pair::without_column(DERIVE);
    let version = "SELECT value FROM crsql_master WHERE key = 'crsqlite_version'";
    assert_eq!(pair.a.count(version), 170_000, "premise");
    pair.a.run(
        "UPDATE crsql_master SET value = 163000 WHERE key = 'crsqlite_version'",
        [],
    );
    assert_refused("run", &pair.migration, &pair.a, &["cr-sqlite", "163000"]);
}
