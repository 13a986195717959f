//! Reading ranges and deriving their values, on one core.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dotfill::scan::RowReader;
use dotfill::split::Splitter;

fn scan(c: &mut Criterion) {
    let fixture = common::plain();
    let conn = common::reader(&fixture.db);
    let dear = format!("lower(hex(hex({})))", common::VALUE);
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Elements(common::ROWS));
    for (name, value) in [("cheap expression", common::VALUE), ("dear expression", &dear)] {
        let target = common::target(&conn, value);
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut reader = RowReader::new(&conn, &target);
                let mut splitter = Splitter::new(&conn, &target.table, 1000, None);
                let mut rows = 0;
                while let Some(range) = splitter.next_range().expect("a range") {
                    rows += reader.read(&range, 0).expect("rows").rows.len();
                }
                rows
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
