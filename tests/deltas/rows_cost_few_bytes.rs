//! What a row costs: whole files, headers and digests included, over the rows in them.

use dotfill::db::Datum;
use dotfill::delta::{ChainWriter, ImpliedKeys, KeyDigest, MemorySink, Rows};
use rusqlite::types::ValueRef;

use crate::chain::{self, Noise, ulid};

/// Rows of a chain; `DOTFILL_DELTA_ROWS` asks for another number.
fn rows_of_a_chain() -> usize {
    std::env::var("DOTFILL_DELTA_ROWS").map_or(100_000, |rows| rows.parse().unwrap())
}

const BLOCK: usize = 16_384;

/// `u12345678-42`: 13.6 bytes on average.
fn value(noise: &mut Noise) -> String {
    format!("u{}-{}", noise.next() % (1 << 32), noise.next() % 100)
}

/// Hundredths of a byte per row of a chain with these rows.
fn cost(change: usize, mut rows: impl FnMut(usize, usize) -> Rows) -> usize {
    let sink = MemorySink::default();
    let mut writer = ChainWriter::create(Box::new(sink.clone()), &chain::header()).unwrap();
    let total = rows_of_a_chain();
    let mut from = 0;
    while from < total {
        let n = BLOCK.min(total - from);
        writer.push(change, &[chain::block(change, &rows(from, n))], "checkpoint").unwrap();
        from += n;
    }
    let bytes = writer.finish(&[]).unwrap().bytes;
    assert_eq!(bytes, sink.stream().len() as u64);
    let hundredths = sink.stream().len() * 100 / total;
    println!("{}.{:02} bytes a row", hundredths / 100, hundredths % 100);
    hundredths
}

#[test]
fn integer_keys_are_at_most_five_and_a_half_bytes() {
    let mut noise = Noise(1);
    let cost = cost(0, |from, n| {
        let mut rows = Rows::new(1);
        for id in from..from + n {
            rows.push(
                [ValueRef::Integer(id.cast_signed() as i64)],
                ValueRef::Text(value(&mut noise).as_bytes()),
            );
        }
        rows
    });
    assert!(cost <= 550, "{cost}");
}

#[test]
fn ulid_keys_are_at_most_seventeen_bytes() {
    let mut noise = Noise(2);
    let cost = cost(1, |from, n| {
        let mut rows = Rows::new(1);
        for i in from..from + n {
            let ms = 1_760_000_000_000 + i as u64 * 40 + noise.next() % 40;
            let id = ulid(ms, &mut noise);
            let value = value(&mut noise);
            rows.push([ValueRef::Text(id.as_bytes())], ValueRef::Text(value.as_bytes()));
        }
        rows
    });
    assert!(cost <= 1700, "{cost}");
}

#[test]
fn implied_keys_are_at_most_five_and_a_half_bytes() {
    let mut noise = Noise(3);
    let cost = cost(1, |from, n| {
        let keys: Vec<String> =
            (from..from + n).map(|i| ulid(1_760_000_000_000 + i as u64, &mut noise)).collect();
        let mut digest = KeyDigest::new();
        for key in &keys {
            digest.push([ValueRef::Text(key.as_bytes())]);
        }
        let bound = |key: &String| vec![Datum::Text(key.clone().into_bytes())];
        let (first, last) = (bound(&keys[0]), bound(&keys[n - 1]));
        let mut rows =
            Rows::implied(ImpliedKeys { first, last, digest: digest.finish(), absent: Vec::new() });
        for _ in 0..n {
            rows.push([], ValueRef::Text(value(&mut noise).as_bytes()));
        }
        rows
    });
    assert!(cost <= 550, "{cost}");
}

#[test]
fn values_that_come_again_are_at_most_a_byte() {
    let mut noise = Noise(4);
    let cost = cost(0, |from, n| {
        let mut rows = Rows::new(1);
        for id in from..from + n {
            let value = format!("o-application {}", noise.next() % 100);
            rows.push(
                [ValueRef::Integer(id.cast_signed() as i64)],
                ValueRef::Text(value.as_bytes()),
            );
        }
        rows
    });
    assert!(cost <= 100, "{cost}");
}
