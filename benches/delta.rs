//! Encoding and decoding blocks of a delta: integer and ULID keys, values like `u12345678-42`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dotfill::delta::{
    ChainHeader, ChainReader, ChainWriter, Item, KeyShape, MemorySink, MemorySource, Rows, Scope,
    Segment, Shape, encode_block,
};
use dotfill::migration::MigrationId;
use rusqlite::types::ValueRef;

const ROWS: u64 = 32_768;

/// Numbers that look random, from a fixed seed: `SplitMix64`.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn ulid(ms: u64, noise: &mut Noise) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let random = u128::from(noise.next()) << 64 | u128::from(noise.next());
    let id = u128::from(ms) << 80 | random & ((1 << 80) - 1);
    (0..26)
        .rev()
        .map(|i| char::from(DIGITS[usize::try_from(id >> (i * 5) & 31).unwrap_or(0)]))
        .collect()
}

fn value(noise: &mut Noise) -> String {
    format!("u{}-{}", noise.next() >> 32, noise.next() % 100)
}

fn integers() -> Rows {
    let mut noise = Noise(1);
    let mut rows = Rows::new(1);
    for id in 0..ROWS.cast_signed() {
        rows.push([ValueRef::Integer(id)], ValueRef::Text(value(&mut noise).as_bytes()));
    }
    rows
}

fn ulids() -> Rows {
    let mut noise = Noise(2);
    let mut rows = Rows::new(1);
    for i in 0..ROWS {
        let key = ulid(1_760_000_000_000 + i * 40 + noise.next() % 40, &mut noise);
        rows.push([ValueRef::Text(key.as_bytes())], ValueRef::Text(value(&mut noise).as_bytes()));
    }
    rows
}

/// Texts that no template fits: what zstd alone is left with.
fn prose() -> Rows {
    let mut noise = Noise(3);
    let words = ["red", "green", "blue", "small", "large", "old", "new", "left", "right"];
    let mut rows = Rows::new(1);
    for id in 0..ROWS.cast_signed() {
        let pick = |n: u64| words[usize::try_from(n % 9).unwrap_or(0)];
        let text =
            format!("{} {} {}x{:x}", pick(noise.next()), pick(noise.next()), id, noise.next());
        rows.push([ValueRef::Integer(id)], ValueRef::Text(text.as_bytes()));
    }
    rows
}

fn header(type_name: &str) -> ChainHeader {
    let collation = "BINARY".to_owned();
    let key = KeyShape { name: "id".to_owned(), type_name: type_name.to_owned(), collation };
    let shape = Shape {
        table: "machines".to_owned(),
        column: "owner".to_owned(),
        type_name: "TEXT".to_owned(),
        strict: false,
        sets: false,
        key: vec![key],
    };
    ChainHeader {
        migration: MigrationId::new("bench").expect("an id"),
        migration_digest: [1; 32],
        migration_text: String::new(),
        tool_version: "0".to_owned(),
        sqlite_version: "0".to_owned(),
        scope: Scope::All,
        shapes: vec![shape],
    }
}

/// A segment of one block.
fn segment(header: &ChainHeader, rows: &Rows) -> Segment {
    let sink = MemorySink::default();
    let mut writer = ChainWriter::create(Box::new(sink.clone()), header).expect("memory");
    let block = encode_block(&header.shapes[0], rows).expect("a block");
    writer.push(0, &[block], "").expect("memory");
    let source = Box::new(MemorySource::of(sink.stream()));
    match ChainReader::open(source).expect("a chain").next_item().expect("a file") {
        Some(Item::Segment(segment)) => segment,
        other => panic!("{other:?} is no segment"),
    }
}

fn delta(c: &mut Criterion) {
    let mut group = c.benchmark_group("delta");
    group.throughput(Throughput::Elements(ROWS));
    let cases = [("integer keys", integers()), ("ULID keys", ulids()), ("prose", prose())];
    for (name, rows) in &cases {
        let header = header(if *name == "ULID keys" { "TEXT" } else { "INTEGER" });
        let shape = &header.shapes[0];
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| black_box(encode_block(shape, rows).expect("a block")));
        });
        let segment = segment(&header, rows);
        group.bench_function(format!("decode {name}"), |b| {
            b.iter_batched(
                || (),
                |()| black_box(segment.decode(0, &header).expect("rows")),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, delta);
criterion_main!(benches);
