//! Only the layout of cr-sqlite that was tested is written to.

use crate::scenario::{DERIVE, Pair, command};

#[test]
fn by_name() {
    let pair = Pair::without_column(DERIVE);
    let version = "SELECT value FROM crsql_master WHERE key = 'crsqlite_version'";
    assert_eq!(pair.a.count(version), 170_000, "premise");
    pair.a.run("UPDATE crsql_master SET value = 163000 WHERE key = 'crsqlite_version'", []);

    // The extension itself would not open this file again, so only the schema is compared.
    let schema = pair.a.schema();
    let output = command("run", &pair.migration, &pair.a);
    assert!(matches!(output.code, 1 | 2), "exit code {}: {}", output.code, output.stderr);
    output.expect_words(&["cr-sqlite", "163000"]);
    assert_eq!(pair.a.schema(), schema);
}
