//! What moves where ten rows of two replicas differ: the digest that shows it, the list of rows, and
//! the chain that brings them; and whether the replicas are equal in the end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;

use crate::delta_bytes::{folder_bytes, remove_folder};
use crate::delta_data::{Keys, migration, name_site, replicated};
use crate::failed::{Outcome, fail};
use crate::options::Options;
use crate::sqlite;
use crate::tool::{dotfill, run};

/// Rows that differ.
pub const DIFFERING: u64 = 10;

/// What was moved, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Repair {
    /// The digest of one replica.
    pub digest: u64,
    /// The list of differing rows.
    pub list: u64,
    /// The chain of their values.
    pub chain: u64,
}

impl Repair {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.digest + self.list + self.chain
    }
}

/// Fills two replicas of cr-sqlite, has ten cells of the second differ behind its back, and makes
/// them equal again. With `end` the second is closed before.
pub fn repair(options: &Options, end: bool) -> Outcome<Repair> {
    let [one, other] = [("one", false), ("other", true)].map(|(name, is_copy)| {
        let db = options.work.join(format!("deltas-{name}.db"));
        filled(&db, is_copy, options).map(|()| db)
    });
    let (one, other) = (one?, other?);
    let migration = migration(options)?;
    if end {
        command(options, "close", &migration, &other, &[], 0)?;
    }
    diverge(&other, options.rows)?;
    let work = |name: &str| options.work.join(name);
    let (digest, list, dir) =
        (work("deltas-digest.json"), work("deltas-list.ndjson"), work("deltas-some"));
    remove_folder(&dir)?;
    std::fs::write(&digest, printed_digest(options, &migration, &one)?)?;
    let against = |what: &Path, code| {
        command(options, "verify", &migration, &other, &["--against".as_ref(), what.as_ref()], code)
    };
    against(&digest, 3)?;
    let arguments = ["--against".as_ref(), one.as_os_str(), "--diff".as_ref(), list.as_os_str()];
    command(options, "verify", &migration, &other, &arguments, 3)?;
    let arguments = ["--only".as_ref(), list.as_os_str(), "--deltas".as_ref(), dir.as_os_str()];
    let report = command(options, "export", &migration, &one, &arguments, 0)?;
    if report["rows"].as_u64() != Some(DIFFERING) {
        return fail(format!("{} rows were exported", report["rows"]));
    }
    let arguments = ["apply".as_ref(), dir.as_os_str(), "--db".as_ref(), other.as_os_str()];
    dotfill(options, &arguments, 0)?;
    if against(&one, 0)?["verdict"] != "equal" {
        return fail("the replicas are not equal afterwards");
    }
    let moved = Repair {
        digest: std::fs::metadata(&digest)?.len(),
        list: std::fs::metadata(&list)?.len(),
        chain: folder_bytes(&dir)?,
    };
    sqlite::remove(&one)?;
    sqlite::remove(&other)?;
    Ok(moved)
}

fn filled(db: &PathBuf, is_copy: bool, options: &Options) -> Outcome<()> {
    sqlite::remove(db)?;
    std::fs::copy(replicated(Keys::Ulid, options)?, db)?;
    if is_copy {
        name_site(db)?;
    }
    command(options, "run", &migration(options)?, db, &[], 0)?;
    Ok(())
}

/// As a program without triggers does, cr-sqlite's and ours.
fn diverge(db: &Path, rows: u64) -> Outcome<()> {
    let connection = sqlite::connect(db, None)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    let changed = connection.execute(
        "UPDATE machines SET owner = owner || '?' WHERE rowid % (?1 / ?2) = 1 AND rowid <= ?1",
        [rows, DIFFERING],
    )?;
    sqlite::close(connection, None)?;
    if changed as u64 == DIFFERING { Ok(()) } else { fail(format!("{changed} cells changed")) }
}

fn printed_digest(options: &Options, migration: &Path, db: &Path) -> Outcome<Vec<u8>> {
    let mut digest = std::process::Command::new(&options.dotfill);
    digest.arg("digest").arg(migration).arg("--db").arg(db);
    let (_, output) = run(digest)?;
    if output.status.success() { Ok(output.stdout) } else { fail(crate::work::complaint(&output)) }
}

fn command(
    options: &Options,
    name: &str,
    migration: &Path,
    db: &Path,
    more: &[&OsStr],
    code: i32,
) -> Outcome<serde_json::Value> {
    let mut arguments = vec![name.as_ref(), migration.as_os_str(), "--db".as_ref(), db.as_os_str()];
    arguments.extend_from_slice(more);
    Ok(dotfill(options, &arguments, code)?.1)
}
