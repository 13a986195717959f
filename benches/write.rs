//! A whole `derive` and a whole `native`, on both layouts, beside the one-statement UPDATE.

mod common;

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dotfill::engine::{Outcome, RunOptions, run};
use dotfill::monitor::Quiet;
use rusqlite::Connection;

fn job(db: &Path, delivery: &str) {
    let migration = common::migration(delivery, common::VALUE);
    let report = run(db, &migration, &RunOptions::default(), &Quiet).expect("a run");
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.rows_written, common::ROWS);
}

fn rival(db: &Path) {
    let conn = Connection::open(db).expect("the database");
    conn.execute_batch(&format!(
        "PRAGMA synchronous = NORMAL;
         ALTER TABLE machines ADD COLUMN owner TEXT;
         UPDATE machines SET owner = {};",
        common::VALUE
    ))
    .expect("the update");
}

fn write(c: &mut Criterion) {
    let (plain, crsqlite) = (common::plain(), common::crsqlite());
    let mut group = c.benchmark_group("write");
    group.sample_size(10);
    group.throughput(Throughput::Elements(common::ROWS));
    group.bench_function("plain, rival: one-statement UPDATE", |b| {
        b.iter_batched(|| common::copy(&plain), |db| rival(&db), BatchSize::PerIteration);
    });
    group.bench_function("plain, derive with proof", |b| {
        b.iter_batched(|| common::copy(&plain), |db| job(&db, "derive"), BatchSize::PerIteration);
    });
    for delivery in ["derive", "native"] {
        group.bench_function(format!("cr-sqlite, {delivery} with proof"), |b| {
            b.iter_batched(
                || common::copy(&crsqlite),
                |db| job(&db, delivery),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
