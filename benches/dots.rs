//! Deriving migration dots: integer and ULID keys, on one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dotfill::transform::dot::DotDeriver;
use rusqlite::types::ValueRef;

const DOTS: i64 = 10_000;

fn dots(c: &mut Criterion) {
    let mut group = c.benchmark_group("dots");
    group.throughput(Throughput::Elements(DOTS.unsigned_abs()));
    let mut deriver = DotDeriver::new("machines-owner", "machines", "owner");
    group.bench_function("integer key", |b| {
        b.iter(|| {
            for key in 0..DOTS {
                black_box(deriver.dot(&[ValueRef::Integer(key)], ValueRef::Text(b"urgent")));
            }
        });
    });
    let ulids: Vec<String> = (0..DOTS).map(|i| format!("01ARZ3NDEKTSV4RRFF{i:08}")).collect();
    group.bench_function("ULID key", |b| {
        b.iter(|| {
            for key in &ulids {
                let key = [ValueRef::Text(key.as_bytes())];
                black_box(deriver.dot(&key, ValueRef::Text(b"urgent")));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, dots);
criterion_main!(benches);
