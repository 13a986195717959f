//! A run, and a second run that proves again, with a dear expression that parallel readers derive.

mod common;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dotfill::engine::{RunOptions, run};
use dotfill::monitor::Quiet;

fn end_to_end(c: &mut Criterion) {
    let fixture = common::plain();
    let value = format!("lower(hex(replace(hex(hex(hex({}))), '3', 'three')))", common::VALUE);
    let mut group = c.benchmark_group("end to end");
    group.sample_size(10);
    group.throughput(Throughput::Elements(common::ROWS));
    for threads in [1, 2] {
        let mut options = RunOptions::default();
        options.tuning.threads = threads;
        group.bench_function(format!("dear expression, {threads} threads"), |b| {
            b.iter_batched(
                || common::copy(&fixture),
                |db| run(&db, &common::migration("derive", &value), &options, &Quiet),
                BatchSize::PerIteration,
            );
        });
    }
    let db = common::copy(&fixture);
    let migration = common::migration("derive", common::VALUE);
    run(&db, &migration, &RunOptions::default(), &Quiet).expect("the first run");
    group.bench_function("a run that only proves", |b| {
        b.iter(|| run(&db, &migration, &RunOptions::default(), &Quiet).expect("a run"));
    });
    group.finish();
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
