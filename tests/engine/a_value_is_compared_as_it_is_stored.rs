//! The proof compares cells with derived values after the column's own conversion: what a column
//! stores differently from what was derived is no difference.

use crate::common::{Replica, plain_db};
use crate::job::{Job, one_column};

const VALUES: [&str; 22] = [
    "9007199254740993",
    "-9223372036854775808",
    "9223372036854775807",
    "0",
    "-0.0",
    "1.0",
    "0.1",
    "1e300",
    "1e999",
    "9007199254740993.0",
    "'9007199254740993'",
    "'12'",
    "' 12 '",
    "'1e3'",
    "'12abc'",
    "''",
    "'0x10'",
    "'9223372036854775808'",
    "x'31'",
    "x''",
    "NULL",
    "CAST(x'ff' AS TEXT)",
];

fn schema(type_name: &str, rest: &str) -> String {
    let rows = VALUES.iter().enumerate().map(|(i, value)| format!("({i}, {value})"));
    let rows = rows.collect::<Vec<_>>().join(", ");
    format!(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src{type_name}){rest}; INSERT INTO t VALUES {rows}"
    )
}

/// Runs on copies of `src` for every type, twice; the second run has nothing to do.
fn check(source_type: &str, value: &str) {
    for type_name in ["TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", "ANYTHING"] {
        let db = plain_db(&schema(source_type, ""));
        let rest = "delivery = 'derive'";
        let job = Job::new(db.db(), one_column("t", "target", type_name, value, rest));
        job.run();
        assert_eq!(job.run().rows_written, 0, "{type_name} of {source_type}");
        db.execute_batch("UPDATE t SET src = src").unwrap();
        assert_eq!(job.run().rows_written, 0, "{type_name} of {source_type}, drained");
        let stored = plain_db(&schema(source_type, ""));
        let sql =
            format!("ALTER TABLE t ADD COLUMN target {type_name}; UPDATE t SET target = {value}");
        stored.execute_batch(&sql).unwrap();
        let read = "SELECT quote(CAST(target AS BLOB)) || typeof(target) FROM t ORDER BY id";
        assert_eq!(db.texts(read), stored.texts(read), "{type_name} of {source_type}");
    }
}

#[test]
fn of_a_column_without_a_type() {
    check("", "src");
}

#[test]
fn of_a_text_column() {
    check(" TEXT", "src");
}

#[test]
fn of_a_number_column() {
    check(" NUMERIC", "src");
}

#[test]
fn of_an_expression() {
    check("", "coalesce(src, 9007199254740993)");
    check("", "src || ''");
}

#[test]
fn in_a_replicated_column_that_holds_something_else() {
    for type_name in ["TEXT", "INTEGER", "REAL", "BLOB"] {
        let replica = Replica::with_tables(&schema("", ""), &["t"]);
        let alter = format!("ALTER TABLE t ADD COLUMN target {type_name}");
        replica.alter("t", &alter);
        let rest = "delivery = 'derive'";
        let job = Job::new(replica.path(), one_column("t", "target", type_name, "src", rest));
        job.run();
        assert_eq!(job.run().rows_written, 0, "{type_name}");
    }
}
