//! The digests that a proof sums up, beside the plain scan of the same rows.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dotfill::split::Splitter;
use dotfill::verify::Prover;

fn transform(c: &mut Criterion) {
    let fixture = common::plain();
    let conn = common::reader(&fixture.db);
    let target = common::target(&conn, "note");
    let mut splitter = Splitter::new(&conn, &target.table, 8192, None);
    let mut ranges = Vec::new();
    while let Some(range) = splitter.next_range().expect("a range") {
        ranges.push(range);
    }
    let mut group = c.benchmark_group("transform");
    group.throughput(Throughput::Elements(common::ROWS));
    group.bench_function("prove and digest", |b| {
        let mut prover = Prover::new(&conn, &target);
        b.iter(|| {
            ranges.iter().map(|r| prover.prove(r, None).expect("a proof").digest.rows).sum::<u64>()
        });
    });
    group.bench_function("rival: sum of lengths", |b| {
        let sql = "SELECT sum(length(note)) FROM machines";
        b.iter(|| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a sum"));
    });
    group.finish();
}

criterion_group!(benches, transform);
criterion_main!(benches);
