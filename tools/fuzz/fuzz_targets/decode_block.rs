//! Any bytes as the content of a block whose digests fit. The first byte chooses the change: tables
//! with one and with two key columns, and the same two with sets.
#![no_main]

use dotfill::delta::{
    ChainHeader, ChainReader, DeltaError, Item, KeyShape, MemorySink, MemorySource, ROWS_BYTES_MAX,
    Scope, Shape,
};
use dotfill::migration::MigrationId;
use libfuzzer_sys::fuzz_target;

const ID: &str = "fuzz";

fn header() -> ChainHeader {
    let key = |name: &str| KeyShape {
        name: name.to_owned(),
        type_name: String::new(),
        collation: "BINARY".to_owned(),
    };
    let shape = |table: &str, sets: bool, key: Vec<KeyShape>| Shape {
        table: table.to_owned(),
        column: "c".to_owned(),
        type_name: String::new(),
        strict: false,
        sets,
        key,
    };
    ChainHeader {
        migration: MigrationId::new(ID).expect("an id"),
        migration_digest: [1; 32],
        migration_text: String::new(),
        tool_version: String::new(),
        sqlite_version: String::new(),
        scope: Scope::All,
        shapes: vec![
            shape("one", false, vec![key("a")]),
            shape("two", false, vec![key("a"), key("b")]),
            shape("three", true, vec![key("a")]),
            shape("four", true, vec![key("a"), key("b")]),
        ],
    }
}

fn with_digest(mut bytes: Vec<u8>, from: usize) -> Vec<u8> {
    let digest = blake3::hash(&bytes[from..]);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// A segment with one block, after the header.
fn stream(change: u8, content: &[u8]) -> Vec<u8> {
    let sink = MemorySink::default();
    dotfill::delta::ChainWriter::create(Box::new(sink.clone()), &header()).expect("memory");
    let head = sink.stream();
    let previous = &head[head.len() - 32..];
    let rows = content.first_chunk::<4>().map_or(0, |rows| u32::from_le_bytes(*rows));
    let mut block = u32::try_from(content.len() + 36).unwrap_or(0).to_le_bytes().to_vec();
    block.extend_from_slice(content);
    let block = with_digest(block, 0);
    let id = ID.as_bytes();
    let body = 4 + id.len() + 2 + 8 + 4 + 1 + 4 + 32 + block.len();
    let mut file = b"\x89DFD\r\n\x1a\n\x01\0\x02\0".to_vec();
    file.extend_from_slice(&u32::try_from(84 + body + 32).unwrap_or(0).to_le_bytes());
    file.extend_from_slice(&1_u32.to_le_bytes());
    file.extend_from_slice(previous);
    file.extend_from_slice(&[1; 32]);
    file.extend_from_slice(&u32::try_from(id.len()).unwrap_or(0).to_le_bytes());
    file.extend_from_slice(id);
    file.extend_from_slice(&u16::from(change % 4).to_le_bytes());
    file.extend_from_slice(&u64::from(rows).to_le_bytes());
    file.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 0, 0]);
    let mut file = with_digest(file, 16);
    file.extend_from_slice(&block);
    [head, with_digest(file, 0)].concat()
}

fn decode(bytes: Vec<u8>) -> Result<(), DeltaError> {
    let mut reader = ChainReader::open(Box::new(MemorySource::of(bytes)))?;
    let header = reader.header().clone();
    if let Some(Item::Segment(segment)) = reader.next_item()? {
        assert!(segment.decode(0, &header)?.byte_size() <= ROWS_BYTES_MAX);
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    if let Some((change, content)) = bytes.split_first() {
        // An error is as good an end as any.
        let _ = decode(stream(*change, content));
    }
});
