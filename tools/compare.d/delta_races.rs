//! Two ways to do the same work with deltas, in alternation, each on a fresh copy: how many times
//! faster the first is, by the middle one of the rounds' ratios.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::delta_bytes::{patchset, remove_folder, sender};
use crate::delta_data::{
    Keys, VALUE, changes, extension, in_transactions, migration, plain, replicated,
};
use crate::failed::{Outcome, fail};
use crate::fixture;
use crate::options::Options;
use crate::rounds::median;
use crate::sqlite;
use crate::tool::{dotfill, has_option, run};

/// Rounds of what takes a fraction of a second.
const SHORT_ROUNDS: u32 = 9;

/// One race.
#[derive(Clone, Debug)]
pub struct Race {
    /// For the JSON.
    pub id: String,
    /// What races, for people.
    pub name: String,
    /// How many times faster the first has to be.
    pub least: f64,
    /// Seconds of the first and of the second, round by round.
    pub rounds: Outcome<Vec<(f64, f64)>>,
}

impl Race {
    /// How many times faster the first was.
    pub fn ratio(&self) -> Option<f64> {
        let rounds = self.rounds.as_ref().ok()?;
        median(rounds.iter().map(|(mine, theirs)| theirs / mine).collect())
    }

    /// The middle one of the seconds of each.
    pub fn seconds(&self) -> Option<(f64, f64)> {
        let rounds = self.rounds.as_ref().ok()?;
        let mine = median(rounds.iter().map(|(mine, _)| *mine).collect())?;
        Some((mine, median(rounds.iter().map(|(_, theirs)| *theirs).collect())?))
    }
}

/// One side of a race: does its work once and tells the seconds.
type Side<'s> = &'s dyn Fn() -> Outcome<f64>;

/// Runs all races.
pub fn races(options: &Options) -> Vec<Race> {
    let mut races = Vec::new();
    for keys in Keys::ALL {
        races.push(export_race(keys, options));
    }
    races.push(run_race(options));
    races.push(replicated_race(options));
    for keys in Keys::ALL {
        races.push(plain_race(keys, options));
    }
    races
}

fn race(id: &str, name: String, least: f64, rounds: u32, sides: [Side<'_>; 2]) -> Race {
    let all = || {
        let mut seconds = Vec::new();
        for round in 1..=rounds {
            eprintln!("round {round}: {name}");
            let [mine, theirs] = sides;
            // Whoever comes second finds what the first has left in the caches: they take turns.
            seconds.push(if round % 2 == 1 {
                let mine = mine()?;
                (mine, theirs()?)
            } else {
                let theirs = theirs()?;
                (mine()?, theirs)
            });
        }
        Ok(seconds)
    };
    let rounds = all();
    Race { id: id.into(), name, least, rounds }
}

fn export_race(keys: Keys, options: &Options) -> Race {
    let from = sender(keys, options);
    let export = |threads: &str| {
        let from = from.clone()?;
        let (migration, dir) = (migration(options)?, options.work.join("deltas-raced"));
        remove_folder(&dir)?;
        let arguments: [&OsStr; 8] = [
            "export".as_ref(),
            migration.as_os_str(),
            "--db".as_ref(),
            from.as_os_str(),
            "--deltas".as_ref(),
            dir.as_os_str(),
            "--threads".as_ref(),
            threads.as_ref(),
        ];
        let (seconds, report) = dotfill(options, &arguments, 0)?;
        expect_rows(&report, "rows", options)?;
        Ok(seconds)
    };
    let rounds = options.repeat.max(SHORT_ROUNDS);
    let name = format!("export with two threads, with one; {} keys", keys.name());
    let sides: [Side<'_>; 2] = [&|| export("2"), &|| export("1")];
    race(&format!("export_threads_{}", keys.name()), name, 1.7, rounds, sides)
}

fn run_race(options: &Options) -> Race {
    let name = "run --deltas, run; plain table, integer keys".to_owned();
    let fill = |streams: bool| {
        if !has_option(options, "run", "--deltas")? {
            return fail("this dotfill has no run --deltas");
        }
        let (migration, dir) = (migration(options)?, options.work.join("deltas-raced"));
        let db = fresh(&plain(Keys::Integer, options)?, options)?;
        remove_folder(&dir)?;
        let mut arguments = vec!["run".as_ref(), migration.as_os_str(), "--db".as_ref()];
        arguments.push(db.as_os_str());
        if streams {
            arguments.extend(["--deltas".as_ref(), dir.as_os_str()]);
        }
        let (seconds, report) = dotfill(options, &arguments, 0)?;
        expect_rows(&report, "rows_written", options)?;
        expect_values(&db, options)?;
        sqlite::remove(&db)?;
        Ok(seconds)
    };
    let sides: [Side<'_>; 2] = [&|| fill(true), &|| fill(false)];
    race("run_deltas", name, 0.85, options.repeat.max(5), sides)
}

/// The chain of a filled table, in a folder that is made anew in each call.
fn chain(keys: Keys, options: &Options) -> Outcome<PathBuf> {
    let (migration, dir) = (migration(options)?, options.work.join("deltas-chain"));
    let from = sender(keys, options)?;
    remove_folder(&dir)?;
    let mut arguments = vec!["export".as_ref(), migration.as_os_str(), "--db".as_ref()];
    arguments.extend([from.as_os_str(), "--deltas".as_ref(), dir.as_os_str()]);
    let (_, report) = dotfill(options, &arguments, 0)?;
    expect_rows(&report, "rows", options)?;
    Ok(dir)
}

fn apply(chain: &Outcome<PathBuf>, db: &Path, options: &Options) -> Outcome<f64> {
    let chain = chain.clone()?;
    let arguments: [OsString; 4] =
        ["apply".into(), chain.into(), "--db".into(), db.to_owned().into()];
    let (seconds, report) = dotfill(options, &arguments, 0)?;
    expect_rows(&report, "rows_written", options)?;
    expect_values(db, options)?;
    sqlite::remove(db)?;
    Ok(seconds)
}

fn replicated_race(options: &Options) -> Race {
    let name = "apply, INSERT INTO crsql_changes in 10k-row tx; integer keys".to_owned();
    let chain = chain(Keys::Integer, options);
    let mine = || {
        let db = fresh(&replicated(Keys::Integer, options)?, options)?;
        apply(&chain, &db, options)
    };
    let theirs = || {
        let list = changes(Keys::Integer, options)?;
        let db = fresh(&replicated(Keys::Integer, options)?, options)?;
        let seconds = merge(&list, &db, options)?;
        expect_values(&db, options)?;
        sqlite::remove(&db)?;
        Ok(seconds)
    };
    race("apply_crsqlite", name, 10.0, options.repeat, [&mine, &theirs])
}

/// Inserts the listed change records through cr-sqlite's extension; how long that took.
fn merge(list: &Path, db: &Path, options: &Options) -> Outcome<f64> {
    let extension = extension(options)?;
    let connection = sqlite::connect(db, Some(extension))?;
    connection.execute("ATTACH ?1 AS list", [list.to_string_lossy()])?;
    let began = Instant::now();
    let sql = "INSERT INTO crsql_changes
               (\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq)
               SELECT \"table\", pk, cid, val, col_version, db_version, site_id, cl, seq
               FROM list.changes WHERE rowid > ?1 AND rowid <= ?2";
    in_transactions(&connection, sql, options.rows)?;
    let seconds = began.elapsed().as_secs_f64();
    connection.execute_batch("DETACH list")?;
    sqlite::checkpoint(&connection)?;
    sqlite::close(connection, Some(extension))?;
    Ok(seconds)
}

fn plain_race(keys: Keys, options: &Options) -> Race {
    let name = format!("apply, session patchset; plain table, {} keys", keys.name());
    let chain = chain(keys, options);
    let mine = || apply(&chain, &fresh(&plain(keys, options)?, options)?, options);
    let theirs = || {
        let patchset = patchset(keys, options)?;
        let db = fresh(&plain(keys, options)?, options)?;
        let mut python = Command::new(&options.python);
        python.arg(&options.patchset).arg("apply").arg(patchset).arg(&db);
        let (_, output) = run(python)?;
        if !output.status.success() {
            return fail(crate::work::complaint(&output));
        }
        expect_values(&db, options)?;
        sqlite::remove(&db)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
    };
    race(&format!("apply_plain_{}", keys.name()), name, 0.8, options.repeat, [&mine, &theirs])
}

/// A fresh copy, on disk and in the page cache.
fn fresh(of: &Path, options: &Options) -> Outcome<PathBuf> {
    let db = options.work.join("deltas-run.db");
    fixture::copy(of, &db)?;
    Ok(db)
}

fn expect_rows(report: &Value, what: &str, options: &Options) -> Outcome<()> {
    match report[what].as_u64() {
        Some(rows) if rows == options.rows => Ok(()),
        _ => fail(format!("{what} is {}, not {}", report[what], options.rows)),
    }
}

/// Every row has its value.
fn expect_values(db: &Path, options: &Options) -> Outcome<()> {
    let connection = sqlite::connect(db, None)?;
    let sql = format!("SELECT count(*) FROM machines WHERE owner IS ({VALUE})");
    let right: u64 = connection.query_row(&sql, [], |row| row.get(0))?;
    sqlite::close(connection, None)?;
    if right == options.rows {
        return Ok(());
    }
    fail(format!("WRONG DATA: {right} of {} rows have their value", options.rows))
}
