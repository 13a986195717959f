//! A folder as a case finds it, copied for each fault, and what must be the same after all of them.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use tempfile::TempDir;

use crate::cases::{Before, Case, Tables};
use crate::common::{Client, Output, dotfill};
use crate::shim::{Ended, Fault, call};

const MIGRATION: &str = "id = \"m\"
[[change]]
kind = \"column\"
table = \"t\"
column = \"target\"
type = \"TEXT\"
value = \"'v-' || src\"
delivery = \"derive\"
[[change]]
kind = \"column\"
table = \"t\"
column = \"size\"
type = \"INTEGER\"
value = \"length(src)\"
delivery = \"derive\"
";
const TABLE: &str = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT, target TEXT);";
const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 40)
    INSERT INTO t (id, src, target) SELECT i, 'src ' || i, iif(i % 9 = 0, 'user', NULL) FROM i;";
const WRITES: &str = "INSERT INTO t (id, src) VALUES (50, 'new');
    INSERT INTO t (id, src, target) VALUES (51, 'new', 'user');
    UPDATE t SET src = 'changed' WHERE id IN (3, 23, 38);
    UPDATE t SET target = 'user' WHERE id IN (4, 24);
    UPDATE t SET target = NULL WHERE id = 26;
    UPDATE t SET id = id + 100 WHERE id IN (7, 37);
    DELETE FROM t WHERE id IN (8, 28);";
const SET: &str = "id = \"m\"
[[change]]
kind = \"or_set\"
table = \"t\"
source = \"src\"
format = \"lines\"
adds = \"adds\"
removes = \"removes\"
view = \"visible\"
old_writes = \"translate\"
";
/// The modes of a set in their order.
const MODES: [&str; 3] = ["read-new-write-old", "read-new-write-both", "read-new-write-new"];
/// Writes of old clients that arrive by replication, and of new ones.
const ARRIVING: &str = "INSERT INTO _dotfill_merging VALUES (1);
    UPDATE t SET src = 'arrived' || char(10) || src WHERE id IN (3, 23);
    DELETE FROM _dotfill_merging;
    INSERT INTO removes SELECT dot FROM adds WHERE id = 5;
    INSERT INTO adds VALUES (6, 'of a user', x'00112233445566778899aabbccddeeff');";
const USERS: &str = "UPDATE t SET target = 'user' WHERE id IN (4, 24);
    UPDATE t SET target = NULL WHERE id = 26;";
/// Columns that tell how it was done, not what there is: another number of attempts, in another
/// folder, gives others.
const COUNTERS: [&str; 11] = [
    "_dotfill_applied.place",
    "_dotfill_lease.token",
    "_dotfill_lease.heartbeat",
    "_dotfill_lease.host",
    "_dotfill_lease.pid",
    "_dotfill_self.token",
    "_dotfill_changes.rows_passed",
    "_dotfill_changes.rows_written",
    "_dotfill_changes.checkpoint",
    "_dotfill_changes.checkpoint_schema",
    "_dotfill_migrations.proof",
];

/// The same, of published change records: their number in each transaction is what rows were left.
const PLACES: [&str; 4] = [
    "crsql_site_id.site_id",
    "crsql_db_versions.site_id",
    "t__crsql_clock.db_version",
    "t__crsql_clock.seq",
];

impl Case {
    fn replicated(self) -> bool {
        matches!(self.tables, Tables::Replicated | Tables::Native)
    }

    /// True where a column is the same however often the command was disturbed.
    fn is_told(self, column: &str) -> bool {
        let native = self.tables == Tables::Native;
        !(COUNTERS.contains(&column) || native && PLACES.contains(&column))
    }

    /// The change records.
    fn records(self) -> &'static str {
        match self.tables {
            Tables::Native => {
                "SELECT \"table\", pk, cid, val, col_version, cl FROM crsql_changes ORDER BY 1, 2, 3"
            }
            _ => "SELECT * FROM crsql_changes ORDER BY 1, 2, 3",
        }
    }
}

/// The folders of one case.
pub struct Scene {
    pub case: Case,
    folder: TempDir,
}

impl Scene {
    /// The template of a case.
    pub fn new(case: Case) -> Self {
        let scene = Self { case, folder: TempDir::new().unwrap() };
        let template = scene.place("template");
        fs::create_dir(&template).unwrap();
        let migration = match case.tables {
            Tables::Plain | Tables::Replicated => MIGRATION.to_owned(),
            Tables::Native => MIGRATION.replace("derive", "native"),
            Tables::Set => SET.to_owned(),
        };
        fs::write(template.join("m.toml"), migration).unwrap();
        let path = template.join("t.db");
        let client = database(&path, case.replicated());
        match case.before {
            Before::Rows => {}
            Before::HalfRun => {
                expect(&template, "run @m.toml --db @t.db --batch-rows-max 7 --stage 60", 4);
                client.execute_batch(WRITES).unwrap();
            }
            Before::Run => {
                expect(&template, "run @m.toml --db @t.db", 0);
                client.execute_batch(WRITES).unwrap();
            }
            Before::Deltas | Before::Again => client.execute_batch(WRITES).unwrap(),
            Before::Implied => client.execute_batch(USERS).unwrap(),
            Before::Modes(modes) => {
                expect(&template, "run @m.toml --db @t.db", 0);
                for mode in &MODES[..modes] {
                    let advance = "advance @m.toml --db @t.db --alone --to";
                    expect(&template, &format!("{advance} {mode}"), 0);
                }
                if modes == MODES.len() {
                    client.execute_batch(ARRIVING).unwrap();
                    expect(&template, "run @m.toml --db @t.db", 0);
                    acknowledge(&template, &client);
                } else {
                    client.execute_batch(WRITES).unwrap();
                }
            }
        }
        drop(client);
        settle(&path);
        if matches!(case.before, Before::Deltas | Before::Again | Before::Implied) {
            ship(case, &template);
        }
        scene
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// A fresh copy of the template.
    pub fn copy(&self, name: &str) -> PathBuf {
        let place = self.place(name);
        copy(&self.place("template"), &place);
        place
    }

    /// The command in a copy, to its end.
    #[track_caller]
    pub fn call(&self, place: &Path, fault: Option<Fault>) -> Ended {
        call(&words(place, self.case.command), place, fault)
    }

    /// The command again, after a fault: what is wrong where it does not complete.
    #[track_caller]
    pub fn again(&self, place: &Path) -> Option<String> {
        let ended = self.call(place, None);
        let done = self.case.done.is_some_and(|done| ended.stderr.contains(done));
        (ended.code != Some(0) && !done).then(|| {
            format!("the same command: exit {:?}, {}{}", ended.code, ended.stdout, ended.stderr)
        })
    }

    /// What a copy holds besides `want`, or lacks.
    #[track_caller]
    pub fn compare(&self, place: &Path, want: &[String]) -> Option<String> {
        let got = self.dump(place);
        let only = |a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|line| !b.contains(line)).cloned().collect()
        };
        let (more, less) = (only(&got, want), only(want, &got));
        (got != want).then(|| format!("it holds {more:#?} and not {less:#?}"))
    }

    /// What is the same however often the command was disturbed: all tables, the schema, the change
    /// records, the deltas; and that no file is left over.
    #[track_caller]
    pub fn dump(&self, place: &Path) -> Vec<String> {
        let client = Client::open(&place.join("t.db"));
        let verdict: String = client.value("PRAGMA integrity_check", []);
        assert_eq!(verdict, "ok", "{}", place.display());
        let mut dump = rows(&client, "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2");
        let tables = client.rows(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'
               AND name NOT LIKE 'sqlite%'
               AND name NOT IN ('_dotfill_events', '_dotfill_runner') ORDER BY 1",
            [],
        );
        for table in tables {
            let Value::Text(name) = &table[0] else { panic!("a table's name") };
            dump.extend(rows(&client, &self.select(&client, name)));
        }
        if self.case.replicated() {
            dump.extend(rows(&client, self.case.records()));
            let doubled = "SELECT 'doubled', site_id, db_version, seq FROM t__crsql_clock
                           GROUP BY site_id, db_version, seq HAVING count(*) > 1";
            dump.extend(rows(&client, doubled));
        }
        dump.extend(files(place));
        dump
    }

    /// All columns of a table that are told, in order of all.
    fn select(&self, client: &Client, table: &str) -> String {
        let columns: Vec<String> = client
            .rows("SELECT name FROM pragma_table_info(?1)", [table])
            .into_iter()
            .filter_map(|row| match &row[0] {
                Value::Text(name) => Some(name.clone()),
                _ => None,
            })
            .filter(|name| self.case.is_told(&format!("{table}.{name}")))
            .map(|name| format!("\"{name}\""))
            .collect();
        let columns = if columns.is_empty() { "count(*)".to_owned() } else { columns.join(", ") };
        format!("SELECT '{table}', {columns} FROM \"{table}\" ORDER BY {columns}")
    }
}

/// The five statements that compaction needs, of a fleet of one replica.
fn acknowledge(template: &Path, client: &Client) {
    let site: String =
        client.value("SELECT lower(hex(site_id)) FROM crsql_site_id WHERE ordinal = 0", []);
    fs::create_dir(template.join("fleet")).unwrap();
    fs::write(template.join("fleet/fleet.toml"), format!("[[replica]]\nid = \"{site}\"\n"))
        .unwrap();
    let stated = "--writers-on-new-form --old-clients-blocked --repair-tools-moved \
                  --snapshots-moved --dashboards-moved";
    expect(template, &format!("ack @m.toml --db @t.db --fleet @fleet {stated}"), 0);
}

/// Writes the chain of another replica, which is gone afterwards.
fn ship(case: Case, template: &Path) {
    let path = template.join("other.db");
    let other = database(&path, case.replicated());
    let chain = match case.before {
        Before::Again => {
            let run = "run @m.toml --db @other.db --deltas @deltas --batch-rows-max 7";
            expect(template, &format!("{run} --stage 60"), 4);
            other.execute_batch(WRITES).unwrap();
            expect(template, run, 0)
        }
        Before::Implied => {
            expect(template, "run @m.toml --db @other.db", 0);
            let keys = expect(template, "digest @m.toml --db @t.db --keys", 0).stdout;
            fs::write(template.join("keys.json"), keys).unwrap();
            settle(&template.join("t.db"));
            let export = "export @m.toml --db @other.db --deltas @deltas --keys-of @keys.json";
            expect(template, export, 0)
        }
        _ => {
            expect(template, "run @m.toml --db @other.db", 0);
            expect(template, "export @m.toml --db @other.db --deltas @deltas", 0)
        }
    };
    drop(other);
    settle(&path);
    fs::remove_file(&path).unwrap();
    let told = expect(template, "inspect @deltas --json", 0);
    let premise = match case.before {
        Before::Again => told.json["changes"][0]["rows_again"].as_u64() > Some(2),
        Before::Implied => told.json["changes"][0]["blocks_implied"].as_u64() > Some(0),
        _ => true,
    };
    assert!(premise, "premise: {} {}", told.stdout, chain.stderr);
}

/// A database with the table and its rows.
fn database(path: &Path, crsqlite: bool) -> Client {
    let client = Client::open(path);
    client.execute_batch(TABLE).unwrap();
    if crsqlite {
        client.run("SELECT crsql_as_crr('t')", []);
    }
    client.execute_batch(ROWS).unwrap();
    client
}

/// Brings everything into the one file.
fn settle(path: &Path) {
    let client = Client::open(path);
    client.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(client);
    for suffix in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        // Gone where the last connection removed it.
        let _ = fs::remove_file(PathBuf::from(name));
    }
}

fn words(place: &Path, command: &str) -> Vec<String> {
    let word = |word: &str| match word.strip_prefix('@') {
        Some(name) => place.join(name).to_str().unwrap().to_owned(),
        None => word.to_owned(),
    };
    command.split_whitespace().map(word).collect()
}

#[track_caller]
fn expect(place: &Path, command: &str, code: i32) -> Output {
    let words = words(place, command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    dotfill(&words).expect_code(code)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn rows(client: &Client, sql: &str) -> Vec<String> {
    client.rows(sql, []).iter().map(|row| format!("{row:?}")).collect()
}

/// The files of a copy: those of the database by name, the others with their content.
fn files(place: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            for name_in in files(&entry.path()) {
                found.push(format!("{name}/{name_in}"));
            }
        } else if name == "old.jsonl" {
            // What was kept before a fault is kept again after it; a line may have been torn.
            let kept = fs::read_to_string(entry.path()).unwrap();
            let is_whole = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
            found.extend(kept.lines().filter(is_whole).map(|line| format!("{name}: {line}")));
        } else if !name.starts_with("t.db") {
            let content = fs::read(entry.path()).unwrap();
            let digest: u64 = content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            found.push(format!("{name}: {} bytes, {digest:x}", content.len()));
        } else if !["t.db", "t.db-wal", "t.db-shm"].contains(&name.as_str()) {
            found.push(format!("{name} is left over"));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The operations that are tried, of `count`: all, or some of them from `first` on.
pub fn points(count: usize, first: usize) -> Vec<usize> {
    const SOME: usize = 10;
    let all = std::env::var("DOTFILL_FAULTS").is_ok_and(|which| which == "all");
    let stride = if all { 1 } else { count.div_ceil(SOME) };
    let first = if all { 1 } else { 1 + first * stride / 8 };
    (first..=count).step_by(stride.max(1)).collect()
}
