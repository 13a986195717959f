//! Every key that a plain table can have: filled in small batches while others write, drained by
//! the next run, closed; each row is compared with what plain SQL derives. Then a replica that has
//! the same rows without the values gets them by deltas.

use crate::common::{PlainDb, plain_db};
use crate::deltas::{apply_deltas, export, export_for, try_export, try_export_for};
use crate::job::{Job, assert_none, assert_sound, objects, one_column};
use crate::watch::AfterCommit;
use dotfill::engine::Outcome;
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use rusqlite::Connection;
use tempfile::TempDir;

/// Rows before the run: more than one range of the splitter.
const ROWS: i64 = 300;

/// One kind of key. Its table has, besides the key, `src` (any), `mark` (1 where a user wrote the
/// target in the same statement), and gets `target`.
struct Kind {
    schema: &'static str,
    table: &'static str,
    /// The key's columns, in SQL.
    columns: &'static [&'static str],
    /// The SQL literals of the key number `i`.
    key: fn(i64) -> Vec<String>,
    /// The expression, of `src`.
    value: &'static str,
    /// The target, in SQL, and as the migration file has it.
    target: &'static str,
    type_name: &'static str,
    /// The SQL expression of the source number `i`.
    source: fn(i64) -> String,
}

impl Kind {
    fn new(
        schema: &'static str,
        columns: &'static [&'static str],
        key: fn(i64) -> Vec<String>,
    ) -> Self {
        Self {
            schema,
            table: "t",
            columns,
            key,
            value: "'v-' || src",
            target: "target",
            type_name: "TEXT",
            source: |i| format!("'s{i}'"),
        }
    }

    fn sql_table(&self) -> String {
        format!("\"{}\"", self.table.replace('"', "\"\""))
    }

    fn sql_target(&self) -> String {
        format!("\"{}\"", self.target.replace('"', "\"\""))
    }

    fn insert(&self, verb: &str, key: i64, source: i64, user: bool) -> String {
        let (columns, values) = (self.columns.join(", "), (self.key)(key).join(", "));
        let (more, user) = if user {
            (format!(", {}, mark", self.sql_target()), ", 'user', 1")
        } else {
            (String::new(), "")
        };
        let source = (self.source)(source);
        format!(
            "{verb} INTO {} ({columns}, src{more}) VALUES ({values}, {source}{user})",
            self.sql_table()
        )
    }

    fn is(&self, key: i64) -> String {
        let pairs = self.columns.iter().zip((self.key)(key)).map(|(c, v)| format!("{c} IS {v}"));
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    fn update(&self, key: i64, set: &str) -> String {
        format!("UPDATE {} SET {set} WHERE {}", self.sql_table(), self.is(key))
    }

    fn set_key(&self, key: i64) -> String {
        let pairs = self.columns.iter().zip((self.key)(key)).map(|(c, v)| format!("{c} = {v}"));
        pairs.collect::<Vec<_>>().join(", ")
    }

    /// What users do to rows `from..`, spread over the table; new keys begin at `fresh`.
    fn writes(&self, from: i64, fresh: i64) -> Vec<String> {
        let row = |n: i64| from + n * 17;
        let target = self.sql_target();
        let users = format!("{target} = 'user', mark = 1");
        let source = |i| format!("src = {}", (self.source)(i));
        vec![
            self.insert("INSERT", fresh, fresh, false),
            self.insert("INSERT", fresh + 1, fresh, true),
            self.update(row(0), &source(fresh)),
            self.update(row(1), &users),
            self.update(row(2), &format!("{}, {users}", source(fresh + 1))),
            self.update(row(3), &self.set_key(fresh + 2)),
            self.update(row(1), &self.set_key(fresh + 3)),
            self.update(row(4), &format!("{}, {}", self.set_key(fresh + 4), source(fresh + 2))),
            format!("DELETE FROM {} WHERE {}", self.sql_table(), self.is(row(5))),
            self.insert("REPLACE", row(6), fresh + 3, false),
            self.insert("REPLACE", row(7), fresh + 4, true),
            self.update(row(8), &format!("{target} = NULL")),
            // A row takes the place of one that a user owned and deleted.
            self.update(row(9), &users),
            format!("DELETE FROM {} WHERE {}", self.sql_table(), self.is(row(9))),
            self.update(row(10), &self.set_key(row(9))),
            self.update(row(9), &source(fresh + 5)),
            // A user's row moves twice.
            self.update(row(11), &users),
            self.update(row(11), &self.set_key(fresh + 6)),
            self.update(fresh + 6, &self.set_key(fresh + 7)),
        ]
    }

    #[track_caller]
    fn assert_derived(&self, conn: &Connection) {
        let (table, target) = (self.sql_table(), self.sql_target());
        let wrong = format!(
            "SELECT count(*) FROM {table} WHERE {target} COLLATE BINARY IS NOT \
             CASE WHEN mark THEN 'user' ELSE ({}) END",
            self.value
        );
        if conn.query_row(&wrong, [], |row| row.get::<_, i64>(0)).unwrap() > 0 {
            let sql = format!(
                "SELECT concat_ws(', ', {}, src, mark, {target}) FROM {table} \
                 WHERE {target} COLLATE BINARY IS NOT CASE WHEN mark THEN 'user' ELSE ({}) END",
                self.columns.join(", "),
                self.value
            );
            let rows: Vec<Vec<u8>> = conn
                .prepare(&sql)
                .unwrap()
                .query_map([], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec()))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let rows: Vec<_> = rows.iter().map(|row| String::from_utf8_lossy(row)).collect();
            panic!("rows that differ: {rows:#?}");
        }
        assert_sound(conn);
    }

    /// A database with the rows of `from`, users' marks and all, but without values.
    fn copy_without_values(&self, from: &PlainDb) -> PlainDb {
        let db = plain_db(self.schema);
        self.copy_rows(from, &db);
        db
    }

    fn copy_rows(&self, from: &PlainDb, db: &PlainDb) {
        let table = self.sql_table();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        db.execute("ATTACH ?1 AS source", [from.db()]).unwrap();
        let columns = format!("{}, src, mark", self.columns.join(", "));
        db.execute_batch(&format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM source.{table}"
        ))
        .unwrap();
        db.execute_batch("DETACH source").unwrap();
    }

    /// The replica that was filled feeds another one, which then has all values but users' ones.
    #[track_caller]
    fn assert_travels(&self, from: &PlainDb, migration: &Migration, open: bool) {
        let (table, target) = (self.sql_table(), self.sql_target());
        let nulls: Vec<String> =
            self.columns.iter().map(|column| format!("{column} IS NULL")).collect();
        let nulls = format!("SELECT count(*) FROM {table} WHERE {}", nulls.join(" OR "));
        let folder = TempDir::new().unwrap();
        let dir = folder.path().join("deltas");
        if from.query_row(&nulls, [], |row| row.get::<_, i64>(0)).unwrap() > 0 {
            let error = try_export(from.db().as_ref(), migration, &dir, &Quiet);
            let error = error.expect_err("a refusal").to_string();
            assert!(error.contains("holds a NULL"), "{error}");
            let error =
                try_export_for(from.db().as_ref(), from.db().as_ref(), migration, &dir, &Quiet);
            let error = error.expect_err("a refusal").to_string();
            assert!(error.contains("holds a NULL"), "{error}");
            return;
        }
        let count = |conn: &Connection, what: &str| -> u64 {
            let sql = format!("SELECT count(*) FROM {table} WHERE {what}");
            conn.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        let exported = export(from.db(), migration, &dir);
        assert_eq!(exported.rows_pending, 0);
        assert_eq!(exported.rows + exported.rows_user, count(from, "true"));
        if open {
            assert_eq!(exported.rows_user, count(from, "mark"));
        }
        let to = self.copy_without_values(from);
        let applied = apply_deltas(to.db(), &dir);
        assert_eq!((applied.rows, applied.rows_pending), (exported.rows, 0));
        let wrong = format!(
            "NOT mark AND {target} COLLATE BINARY IS NOT ({}) OR mark AND {target} IS NOT NULL",
            self.value
        )
        .replace("mark", "coalesce(mark, 0)");
        assert_eq!(count(&to, &wrong), 0, "rows that did not get their value");
        assert_sound(&to);
        let again = apply_deltas(to.db(), &dir);
        assert_eq!((again.rows_written, again.rows_unchanged), (0, exported.rows));

        // The same without keys, which the other replica has.
        let to = self.copy_without_values(from);
        let short = folder.path().join("short");
        let implied = export_for(to.db(), from.db(), migration, &short);
        assert_eq!((implied.rows, implied.rows_implied), (exported.rows, exported.rows));
        assert_eq!(implied.rows_user, exported.rows_user);
        let written = applied.rows_written;
        let applied = apply_deltas(to.db(), &short);
        assert_eq!((applied.rows, applied.rows_written), (exported.rows, written));
        assert_eq!((applied.rows_pending, applied.rows_unlike), (0, 0));
        assert_eq!(count(&to, &wrong), 0, "rows that did not get their value");
        assert_sound(&to);

        // The deltas come before the rows.
        let late = plain_db(self.schema);
        assert_eq!(apply_deltas(late.db(), &dir).rows_pending, exported.rows);
        self.copy_rows(from, &late);
        let applied = apply_deltas(late.db(), &dir);
        assert_eq!((applied.rows_pending, applied.rows_deleted), (0, 0));
        assert_eq!(count(&late, &wrong), 0, "rows that came late did not get their value");
    }

    fn database(&self) -> PlainDb {
        let db = plain_db(self.schema);
        db.execute_batch("BEGIN").unwrap();
        for i in 0..ROWS {
            run(&db, &self.insert("INSERT", i, i, false));
        }
        db.execute_batch("COMMIT").unwrap();
        db
    }
}

#[track_caller]
fn run(conn: &Connection, sql: &str) {
    conn.execute(sql, []).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[track_caller]
fn check(kind: &Kind) {
    let db = kind.database();
    let (table, target) = (kind.table, kind.target);
    let migration = one_column(table, target, kind.type_name, kind.value, "delivery = 'derive'");
    let job = Job::new(db.db(), migration);

    // One write after each commit of the fill.
    let mut writes = kind.writes(1, 100_000).into_iter();
    let app = Connection::open(db.db()).unwrap();
    let monitor = AfterCommit::new(move |commits| {
        if commits > 3
            && let Some(sql) = writes.next()
        {
            run(&app, &sql);
        }
    });
    job.run_to(Outcome::Complete, &monitor);
    assert!(monitor.commits() > 20, "premise: there are many batches");
    job.run();
    kind.assert_derived(&db);

    // Many writes between two runs, drained in one go.
    for sql in kind.writes(2, 200_000) {
        run(&db, &sql);
    }
    let report = job.run();
    assert!(report.rows_written > 0);
    kind.assert_derived(&db);
    assert_eq!(job.run().rows_written, 0, "a proven table was written again");

    kind.assert_travels(&db, &job.migration, true);
    job.close();
    kind.assert_derived(&db);
    kind.assert_travels(&db, &job.migration, false);
    assert_eq!(objects(&db, "\\_dotfill\\_%\\_%").iter().filter(|n| n.contains("_1")).count(), 0);
    assert_none(&db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'");
}

fn text(i: i64) -> String {
    format!("'k{i:06}'")
}

fn pair(i: i64) -> Vec<String> {
    vec![(i % 7).to_string(), text(i)]
}

#[test]
fn integer() {
    check(&Kind::new("CREATE TABLE t (id INTEGER PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![i.to_string()]
    }));
}

#[test]
fn integer_negative_sparse_and_at_both_ends() {
    check(&Kind::new("CREATE TABLE t (id INTEGER PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![match i {
            0 => "-9223372036854775808".to_owned(),
            1 => "9223372036854775807".to_owned(),
            i if i % 2 == 0 => (-i * 1_000_003_i64.pow(2)).to_string(),
            i => (i * 1_000_003_i64.pow(2)).to_string(),
        }]
    }));
}

#[test]
fn text_key() {
    check(&Kind::new("CREATE TABLE t (id TEXT PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![text(i)]
    }));
}

#[test]
fn text_key_with_one_null() {
    check(&Kind::new("CREATE TABLE t (id TEXT PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![if i == 1 { "NULL".to_owned() } else { text(i) }]
    }));
}

#[test]
fn text_key_that_is_no_utf_8() {
    let mut kind = Kind::new("CREATE TABLE t (id TEXT PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![format!("CAST(x'ff80{:06x}' AS TEXT)", i + 0x11_1111)]
    });
    kind.source = |i| format!("CAST(x'fe{:06x}' AS TEXT)", i + 0x11_1111);
    check(&kind);
}

#[test]
fn blob_key() {
    check(&Kind::new("CREATE TABLE t (id BLOB PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![format!("x'00{:06x}ff'", i)]
    }));
}

#[test]
fn untyped_key_of_every_storage_class() {
    check(&Kind::new("CREATE TABLE t (id PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![match i % 4 {
            0 => i.to_string(),
            1 => format!("{i}.5"),
            2 => format!("'{i}'"),
            _ => format!("x'{i:06x}'"),
        }]
    }));
}

#[test]
fn real_key() {
    check(&Kind::new("CREATE TABLE t (id REAL PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![format!("{i}.25")]
    }));
}

#[test]
fn composite_rowid_key() {
    check(&Kind::new(
        "CREATE TABLE t (a INT, b TEXT, src, mark INT, PRIMARY KEY (a, b))",
        &["a", "b"],
        pair,
    ));
}

#[test]
fn composite_key_with_nulls_in_one_column() {
    check(&Kind::new(
        "CREATE TABLE t (a INT, b TEXT, src, mark INT, PRIMARY KEY (a, b))",
        &["a", "b"],
        |i| vec![if i % 3 == 0 { "NULL".to_owned() } else { (i % 7).to_string() }, text(i)],
    ));
}

#[test]
fn descending_integer_that_is_no_rowid() {
    check(&Kind::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY DESC, src, mark INT)",
        &["id"],
        |i| vec![i.to_string()],
    ));
}

#[test]
fn without_rowid() {
    check(&Kind::new(
        "CREATE TABLE t (id TEXT PRIMARY KEY, src, mark INT) WITHOUT ROWID",
        &["id"],
        |i| vec![text(i)],
    ));
}

#[test]
fn without_rowid_by_an_integer() {
    check(&Kind::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, src, mark INT) WITHOUT ROWID",
        &["id"],
        |i| vec![(i - 150).to_string()],
    ));
}

#[test]
fn without_rowid_composite() {
    check(&Kind::new(
        "CREATE TABLE t (a INT, b TEXT, src, mark INT, PRIMARY KEY (a, b)) WITHOUT ROWID",
        &["a", "b"],
        pair,
    ));
}

#[test]
fn without_rowid_descending() {
    check(&Kind::new(
        "CREATE TABLE t (a INT, b TEXT, src, mark INT, PRIMARY KEY (a DESC, b DESC)) WITHOUT ROWID",
        &["a", "b"],
        pair,
    ));
}

#[test]
fn without_rowid_mixed_directions() {
    check(&Kind::new(
        "CREATE TABLE t (a INT, b TEXT, c INT, src, mark INT, PRIMARY KEY (a, b DESC, c)) \
         WITHOUT ROWID",
        &["a", "b", "c"],
        |i| vec![(i % 5).to_string(), text(i / 10), i.to_string()],
    ));
}

#[test]
fn without_rowid_in_another_order_than_declared() {
    check(&Kind::new(
        "CREATE TABLE t (b TEXT, src, a INT, mark INT, PRIMARY KEY (a DESC, b)) WITHOUT ROWID",
        &["a", "b"],
        pair,
    ));
}

#[test]
fn nocase_key() {
    check(&Kind::new(
        "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, src, mark INT)",
        &["id"],
        |i| vec![if i % 2 == 0 { format!("'Key{i}'") } else { format!("'kEY{i}'") }],
    ));
}

#[test]
fn nocase_key_without_rowid() {
    check(&Kind::new(
        "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, src, mark INT) WITHOUT ROWID",
        &["id"],
        |i| vec![if i % 2 == 0 { format!("'Key{i}'") } else { format!("'kEY{i}'") }],
    ));
}

#[test]
fn rtrim_key() {
    check(&Kind::new(
        "CREATE TABLE t (id TEXT COLLATE RTRIM, n INT, src, mark INT, PRIMARY KEY (n, id)) \
         WITHOUT ROWID",
        &["id", "n"],
        |i| {
            let spaces = ["", " ", "  "].into_iter().cycle().nth(usize::try_from(i % 3).unwrap());
            vec![format!("'k{i:04}{}'", spaces.unwrap()), "1".to_owned()]
        },
    ));
}

#[test]
fn only_a_unique_not_null_column() {
    check(&Kind::new("CREATE TABLE t (src, id TEXT NOT NULL UNIQUE, mark INT)", &["id"], |i| {
        vec![text(i)]
    }));
}

#[test]
fn names_that_are_quoted_unicode_or_keywords() {
    let mut kind = Kind::new(
        "CREATE TABLE \"gr\"\"öße 'x' [select]\" (\"gr\"\"oup\" INT, \"wert; --\" TEXT, \
         src, mark INT, PRIMARY KEY (\"gr\"\"oup\", \"wert; --\"))",
        &["\"gr\"\"oup\"", "\"wert; --\""],
        pair,
    );
    kind.table = "gr\"öße 'x' [select]";
    kind.target = "ta\"rget 'ß' ) order";
    check(&kind);
}

#[test]
fn names_of_the_rowid_that_are_columns() {
    check(&Kind::new(
        "CREATE TABLE t (rowid TEXT, oid INT, src, mark INT, PRIMARY KEY (rowid))",
        &["rowid"],
        |i| vec![text(i)],
    ));
}

#[test]
fn strict() {
    let mut kind = Kind::new(
        "CREATE TABLE t (id TEXT PRIMARY KEY, src TEXT, mark INT) STRICT",
        &["id"],
        |i| vec![text(i)],
    );
    kind.value = "'v-' || src";
    check(&kind);
}

#[test]
fn strict_any() {
    let mut kind =
        Kind::new("CREATE TABLE t (id ANY PRIMARY KEY, src ANY, mark INT) STRICT", &["id"], |i| {
            vec![if i % 2 == 0 { i.to_string() } else { format!("'{i}'") }]
        });
    kind.type_name = "ANY";
    kind.value = "CASE WHEN typeof(src) = 'integer' THEN src + 1 ELSE src END";
    kind.source = |i| if i % 2 == 0 { i.to_string() } else { format!("'0{i}'") };
    check(&kind);
}

#[test]
fn foreign_keys_to_and_from_the_table() {
    let kind = Kind::new(
        "PRAGMA foreign_keys = ON;
         CREATE TABLE parent (id INTEGER PRIMARY KEY);
         INSERT INTO parent VALUES (1);
         CREATE TABLE t (id TEXT PRIMARY KEY, src, mark INT,
                         p INT DEFAULT 1 REFERENCES parent ON DELETE CASCADE);
         CREATE TABLE child (c TEXT REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE)",
        &["id"],
        |i| vec![text(i)],
    );
    check(&kind);
}

#[test]
fn partial_and_expression_indexes() {
    check(&Kind::new(
        "CREATE TABLE t (id TEXT PRIMARY KEY, src, mark INT);
         CREATE INDEX part ON t (src) WHERE mark;
         CREATE INDEX expr ON t (upper(src), length(id) + 1);
         CREATE UNIQUE INDEX uniq ON t (id, src) WHERE src IS NOT NULL",
        &["id"],
        |i| vec![text(i)],
    ));
}

#[test]
fn generated_columns_beside_and_as_the_source() {
    let mut kind = Kind::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, src, mark INT,
                         low AS (lower(src)) VIRTUAL, twice AS (src || src) STORED)",
        &["id"],
        |i| vec![i.to_string()],
    );
    kind.value = "'v-' || low || '-' || twice";
    kind.source = |i| format!("'S{i}'");
    check(&kind);
}

#[test]
fn a_value_of_the_key_itself() {
    let mut kind = Kind::new("CREATE TABLE t (id TEXT PRIMARY KEY, src, mark INT)", &["id"], |i| {
        vec![text(i)]
    });
    kind.value = "id || '/' || src";
    check(&kind);
}

#[test]
fn a_source_that_is_null_on_some_rows() {
    let mut kind =
        Kind::new("CREATE TABLE t (id INTEGER PRIMARY KEY, src, mark INT)", &["id"], |i| {
            vec![i.to_string()]
        });
    kind.source = |i| if i % 3 == 0 { "NULL".to_owned() } else { i.to_string() };
    check(&kind);
}
