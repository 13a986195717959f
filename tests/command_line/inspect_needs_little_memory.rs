//! Reading stays within 256 MiB of address space, whatever a file expands to.

use std::path::Path;
use std::process::Command;

use dotfill::delta::{
    ChainHeader, ChainWriter, DirectorySink, FILE_BYTES_MAX, KeyShape, ROWS_BYTES_MAX, ROWS_MAX,
    Rows, Scope, Shape, StreamSink, encode_block,
};
use dotfill::migration::MigrationId;
use rusqlite::types::ValueRef;

fn header(columns: usize) -> ChainHeader {
    let key = |i: usize| KeyShape {
        name: format!("k{i}"),
        type_name: "ANY".to_owned(),
        collation: "BINARY".to_owned(),
    };
    let shape = Shape {
        table: "t".to_owned(),
        column: "c".to_owned(),
        type_name: "ANY".to_owned(),
        strict: false,
        sets: false,
        key: (0..columns).map(key).collect(),
    };
    ChainHeader {
        migration: MigrationId::new("large").unwrap(),
        migration_digest: [3; 32],
        migration_text: String::new(),
        tool_version: "0".to_owned(),
        sqlite_version: "0".to_owned(),
        scope: Scope::All,
        shapes: vec![shape],
    }
}

/// A folder and a stream with one segment, which has these rows in each of `blocks` blocks.
fn write(dir: &Path, rows: &Rows, blocks: usize) {
    let header = header(rows.key_columns().len());
    let block = encode_block(&header.shapes[0], rows).unwrap();
    let blocks = vec![block; blocks];
    let stream = std::fs::File::create(dir.join("stream")).unwrap();
    let folder = DirectorySink::create(&dir.join("folder")).unwrap();
    let streamed = StreamSink::new("a file", stream);
    let sinks: [Box<dyn dotfill::delta::Sink>; 2] = [Box::new(folder), Box::new(streamed)];
    for sink in sinks {
        let mut writer = ChainWriter::create(sink, &header).unwrap();
        writer.push(0, &blocks, "").unwrap();
        writer.finish(&[]).unwrap();
    }
}

/// `dotfill inspect`, with 256 MiB of address space in all, the program included.
fn inspect(path: &Path) {
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 262144; exec \"$0\" inspect \"$1\""])
        .arg(env!("CARGO_BIN_EXE_dotfill"))
        .arg(path)
        // An arena per thread would reserve addresses that nobody uses.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {output:?}", path.display());
}

fn within_the_limit(rows: &Rows, blocks: usize) {
    assert!(rows.byte_size() <= ROWS_BYTES_MAX && rows.byte_size() > ROWS_BYTES_MAX / 2);
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), rows, blocks);
    inspect(&dir.path().join("folder"));
    inspect(&dir.path().join("stream"));
}

#[test]
fn as_many_cells_as_fit() {
    let mut rows = Rows::new(3);
    for _ in 0..ROWS_MAX {
        rows.push([ValueRef::Integer(1); 3], ValueRef::Null);
    }
    within_the_limit(&rows, 10);
}

#[test]
fn as_many_numbers_in_texts_as_fit() {
    let mut rows = Rows::new(1);
    for i in 0..ROWS_MAX {
        let text = format!("{}-2-3-4-5-6-7-8", i % 10);
        rows.push([ValueRef::Null], ValueRef::Text(text.as_bytes()));
    }
    within_the_limit(&rows, 10);
}

#[test]
fn texts_that_share_almost_everything() {
    let mut rows = Rows::new(1);
    let long = "x".repeat(60_000);
    for i in 0..270 {
        let text = format!("{long}{i:x}y");
        rows.push([ValueRef::Text(text.as_bytes())], ValueRef::Integer(0));
    }
    within_the_limit(&rows, 10);
}

#[test]
fn bytes_that_nothing_compresses() {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state.to_be_bytes()[0]
    };
    let blob: Vec<u8> = (0..FILE_BYTES_MAX / 2 - 10_000).map(|_| noise()).collect();
    let mut rows = Rows::new(1);
    rows.push([ValueRef::Integer(1)], ValueRef::Blob(&blob));
    within_the_limit(&rows, 2);
}
