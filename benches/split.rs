//! Cutting a table into ranges.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dotfill::db::Table;
use dotfill::split::Splitter;

fn split(c: &mut Criterion) {
    let fixture = common::plain();
    let conn = common::reader(&fixture.db);
    let table = Table::read(&conn, "machines").expect("the table");
    let mut group = c.benchmark_group("split");
    group.throughput(Throughput::Elements(common::ROWS));
    for rows in [250, 1000, 8192] {
        group.bench_function(format!("{rows} rows a range"), |b| {
            b.iter(|| {
                let mut splitter = Splitter::new(&conn, &table, rows, None);
                let mut ranges = 0_u64;
                while splitter.next_range().expect("a range").is_some() {
                    ranges += 1;
                }
                ranges
            });
        });
    }
    group.finish();
}

criterion_group!(benches, split);
criterion_main!(benches);
