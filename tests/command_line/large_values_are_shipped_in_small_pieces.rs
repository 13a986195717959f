//! Deltas of large values take little memory, whatever the command, and a chain of them that was
//! begun is completed to the one that was never interrupted. A value that no delta can hold is named.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::tool::{Folder, Output, call};

/// Address space of a command, the program included: far less than all values take.
const KIBIBYTES: u32 = 256 << 10;

/// Rows whose source is `bytes` random digits.
fn folder(rows: u32, bytes: u32) -> Folder {
    let folder = Folder::with_rows(rows);
    folder
        .conn()
        .execute_batch(&format!("UPDATE t SET a = hex(randomblob({})); VACUUM;", bytes / 2))
        .unwrap();
    folder.conn().execute("VACUUM INTO ?1", [folder.arg("fresh.db")]).unwrap();
    folder
}

/// A command within the address space.
fn within(args: &[&str]) -> Output {
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {KIBIBYTES}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_dotfill"))
        .args(args)
        .arg("--quiet")
        // An arena per thread would reserve addresses that nobody uses.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    Output::new(&output).expect(0)
}

fn rows_of(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Each beginning of a chain is completed to the chain.
fn is_continued(folder: &Folder, whole: &str, flags: &[&str]) {
    let files = rows_of(&folder.path(whole));
    assert!(files.len() > 4, "premise: several segments");
    for count in [2, files.len() / 2, files.len() - 2, files.len() - 1] {
        let part = folder.path("part");
        fs::create_dir(&part).unwrap();
        for (name, content) in &files[..count] {
            fs::write(part.join(name), content).unwrap();
        }
        let mut all = vec!["--deltas", part.to_str().unwrap(), "--quiet"];
        all.extend(flags);
        folder.run("export", &all).expect(0);
        assert!(rows_of(&part) == files, "{flags:?} after {count} of {} files", files.len());
        fs::remove_dir_all(&part).unwrap();
    }
}

fn is_applied(folder: &Folder, chain: &str) {
    let copy = folder.arg(&format!("{chain}.db"));
    fs::copy(folder.path("fresh.db"), &copy).unwrap();
    if chain == "some" {
        within(&["apply", &folder.arg("exported"), "--db", &copy]);
    }
    within(&["apply", &folder.arg(chain), "--db", &copy]);
    let conn = folder.conn();
    conn.execute("ATTACH ?1 AS other", [&copy]).unwrap();
    let sql = "SELECT count(*) FROM t JOIN other.t AS o USING (id) WHERE t.label = o.label";
    let equal: i64 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(equal, folder.number("SELECT count(*) FROM t WHERE label = 'l-' || a"), "{chain}");
    assert_eq!(equal, folder.number("SELECT count(*) FROM t"), "{chain}");
    fs::remove_file(&copy).unwrap();
}

fn check(rows: u32, bytes: u32) {
    let folder = folder(rows, bytes);
    let (m, t, f) = (folder.arg("m.toml"), folder.arg("t.db"), folder.arg("fresh.db"));
    let [ran, exported, implied, some, keys, only] =
        ["ran", "exported", "implied", "some", "keys.json", "only"].map(|name| folder.arg(name));
    within(&["run", &m, "--db", &t, "--deltas", &ran, "--batch-rows-max", "32"]);
    within(&["export", &m, "--db", &t, "--deltas", &exported]);
    let digest = call(&["digest", &m, "--db", &f, "--keys", "--json"]).expect(0);
    fs::write(&keys, digest.stdout).unwrap();
    within(&["export", &m, "--db", &t, "--deltas", &implied, "--keys-of", &keys]);
    let lines: Vec<String> =
        (1..=rows).map(|id| format!("{{\"table\": \"t\", \"key\": [{id}]}}\n")).collect();
    fs::write(&only, lines.concat()).unwrap();
    within(&["export", &m, "--db", &t, "--deltas", &some, "--only", &only]);
    for chain in ["ran", "exported", "implied", "some"] {
        is_applied(&folder, chain);
    }
    is_continued(&folder, "exported", &[]);
    is_continued(&folder, "implied", &["--keys-of", &keys]);
}

#[test]
fn of_eight_kilobytes() {
    check(8000, 8192);
}

#[test]
fn of_a_megabyte() {
    check(40, 1 << 20);
}

/// They take few bytes in a segment, and many in memory.
#[test]
fn that_compress_to_nothing() {
    let folder = Folder::with_rows(300);
    let text = crate::tool::MIGRATION.replace("'l-' || a", "hex(zeroblob(524288 + a))");
    folder.write("m.toml", text);
    folder.run("run", &["--quiet", "--batch-rows-max", "32"]).expect(0);
    let (m, t, d) = (folder.arg("m.toml"), folder.arg("t.db"), folder.arg("d"));
    within(&["export", &m, "--db", &t, "--deltas", &d]);
    is_continued(&folder, "d", &[]);
    let conn = rusqlite::Connection::open(folder.path("fresh.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
         WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 300)
         INSERT INTO t SELECT n, n FROM r;",
    )
    .unwrap();
    drop(conn);
    call(&["apply", &d, "--db", &folder.arg("fresh.db"), "--quiet"]).expect(0);
}

#[test]
fn a_value_as_large_as_a_delta_holds_is_shipped_and_a_larger_one_is_named() {
    let folder = Folder::with_rows(5);
    // 16 MiB, less 16 bytes for each of the key and the value, and "l-".
    let most = (16 << 20) - 34;
    let sql = "UPDATE t SET a = substr(hex(randomblob(8388609)), 1, ?1) WHERE id = 3";
    folder.conn().execute(sql, [most]).unwrap();
    folder.conn().execute("VACUUM INTO ?1", [folder.arg("fresh.db")]).unwrap();
    folder.run("run", &["--quiet", "--deltas", &folder.arg("ran")]).expect(0);
    folder.run("export", &["--quiet", "--deltas", &folder.arg("exported")]).expect(0);
    is_applied(&folder, "ran");
    is_applied(&folder, "exported");
    folder.conn().execute("UPDATE t SET a = a || 'x' WHERE id = 3", []).unwrap();
    folder.run("run", &["--quiet"]).expect(0);
    let said = folder.run("export", &["--quiet", "--deltas", &folder.arg("none")]).expect(2);
    said.says(&["row (3) of \"t\" with \"label\" takes 16777217 bytes", "at most 16777216"]);
    let only = folder.path("only");
    fs::write(&only, "{\"table\": \"t\", \"key\": [3]}\n{\"table\": \"t\", \"key\": [4]}\n")
        .unwrap();
    let flags = ["--quiet", "--only", &folder.arg("only"), "--deltas", &folder.arg("some")];
    folder.run("export", &flags).expect(2).says(&["row (3) of \"t\""]);
}
