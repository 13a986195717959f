//! A row whose expression fails ends the run, and says so to all.

use crate::tool::{Folder, MIGRATION};

#[test]
fn the_reason_has_the_key_and_stays_until_the_row_is_corrected() {
    let folder = Folder::with_rows(100);
    folder.write("m.toml", MIGRATION.replace("'l-' || a", "a ->> '$.x'"));
    folder.conn().execute("UPDATE t SET a = '{\"x\": 1}' WHERE id <> 42", []).unwrap();
    folder.conn().execute("UPDATE t SET a = '{' WHERE id = 42", []).unwrap();
    let failed = folder.run("run", &["--json"]).expect(1).says(&["42", "malformed JSON", "skip"]);
    assert_eq!(failed.json()["outcome"], "failed");
    assert_eq!(failed.json()["migration"], "labels");
    assert_eq!(folder.status()["phase"], "failed");
    let shown = folder.run("status", &[]).expect(4);
    assert!(shown.stdout.contains("malformed JSON"), "{shown:?}");
    folder.run("wait", &[]).expect(1).says(&["42", "malformed JSON"]);
    folder.run("verify", &[]).expect(2).says(&["it is failed", "dotfill run"]);

    folder.conn().execute("UPDATE t SET a = '{\"x\": 2}' WHERE id = 42", []).unwrap();
    folder.run("run", &["--retry"]).expect(0);
    folder.run("wait", &[]).expect(0);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label IS NOT a ->> '$.x'"), 0);
}
