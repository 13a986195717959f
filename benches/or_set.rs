//! Sets of three tags: reading and deriving adds with one and two readers, and a whole run.

mod common;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dotfill::engine::{RunOptions, run};
use dotfill::migration::{Change, Migration};
use dotfill::monitor::Quiet;
use dotfill::plan::resolve_set;
use dotfill::scan::or_set::SetReader;
use dotfill::split::{Range, Splitter};
use rusqlite::Connection;

/// Tags of an object.
const TAGS: u64 = 3;

/// A plain database of `ROWS` objects.
fn fixture() -> common::Fixture {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = folder.path().join("bench.db");
    let conn = Connection::open(&db).expect("a new database");
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE projects (id INTEGER NOT NULL PRIMARY KEY, name TEXT, tags TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {})
         INSERT INTO projects SELECT i, 'project ' || i,
           json_array('vip', 'team-' || (i % 1000), 'urgent-' || (i % 50)) FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);",
        common::ROWS
    ))
    .expect("rows");
    common::Fixture { folder, db }
}

fn migration() -> Migration {
    let text = "id = 'bench'\n[[change]]\nkind = 'or_set'\ntable = 'projects'\nsource = 'tags'\n\
                format = 'json'\nadds = 'adds'\nremoves = 'removes'\nview = 'visible'\n";
    Migration::parse(text, "bench.toml".as_ref()).expect("a migration")
}

fn or_set(c: &mut Criterion) {
    let fixture = fixture();
    let migration = migration();
    let Change::OrSet(change) = &migration.changes[0] else { panic!("a set") };
    let conn = common::reader(&fixture.db);
    let target = resolve_set(&conn, &migration, 0, change).expect("resolved").target;
    let mut splitter = Splitter::new(&conn, &target.table, 1000, None);
    let mut ranges = Vec::new();
    while let Some(range) = splitter.next_range().expect("a range") {
        ranges.push(range);
    }
    let read = |ranges: &[Range]| {
        let conn = common::reader(&fixture.db);
        let mut reader = SetReader::new(&conn, &target);
        ranges.iter().map(|range| reader.read(range).expect("adds").adds()).sum::<u64>()
    };
    let mut group = c.benchmark_group("or_set");
    group.sample_size(10);
    group.throughput(Throughput::Elements(common::ROWS * TAGS));
    for threads in [1, 2] {
        group.bench_function(format!("derive adds, {threads} readers"), |b| {
            b.iter(|| {
                std::thread::scope(|scope| {
                    let parts = ranges.chunks(ranges.len().div_ceil(threads));
                    let pool: Vec<_> = parts.map(|part| scope.spawn(|| read(part))).collect();
                    pool.into_iter().map(|part| part.join().expect("a reader")).sum::<u64>()
                })
            });
        });
    }
    for threads in [1, 2] {
        let mut options = RunOptions::default();
        options.tuning.threads = threads;
        group.bench_function(format!("a run, {threads} threads"), |b| {
            b.iter_batched(
                || common::copy(&fixture),
                |db| run(&db, &migration, &options, &Quiet).expect("a run"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, or_set);
criterion_main!(benches);
