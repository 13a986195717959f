//! A folder and a stream hold the same bytes, and both are read back bit by bit.

use std::fs;

use dotfill::delta::{
    ChainReader, ChainWriter, DeltaError, DirectorySink, Item, MemorySink, MemorySource, NullSink,
    ROWS_BYTES_MAX, ROWS_MAX, Rows, StreamSink, encode_block,
};

use crate::chain;

#[test]
fn a_folder_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    chain::write_folder(dir.path());
    let rows = chain::read(ChainReader::open_directory(dir.path()).unwrap()).unwrap();
    assert_eq!(rows, chain::expected());
}

#[test]
fn the_files_of_a_folder_are_the_stream() {
    let dir = tempfile::tempdir().unwrap();
    chain::write_folder(dir.path());
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort_unstable();
    let joined: Vec<u8> = names.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    let mut stream = Vec::new();
    {
        // A sink must own what it writes to: a vector behind a shared handle.
        let sink = MemorySink::default();
        chain::write(Box::new(sink.clone()), &chain::header());
        chain::write(Box::new(StreamSink::new("a test", std::io::sink())), &chain::header());
        stream.extend(sink.stream());
    }
    assert!(joined == stream);
    let rows = chain::read(ChainReader::open(Box::new(MemorySource::of(joined))).unwrap()).unwrap();
    assert_eq!(rows, chain::expected());
}

#[test]
fn a_segment_tells_its_checkpoint_range_and_header() {
    let dir = tempfile::tempdir().unwrap();
    chain::write_folder(dir.path());
    let mut reader = ChainReader::open_directory(dir.path()).unwrap();
    assert_eq!(reader.header(), &chain::header());
    let Some(Item::Segment(first)) = reader.next_item().unwrap() else { panic!("a segment") };
    assert_eq!((first.ordinal(), first.rows(), first.checkpoint()), (1, 40, "a"));
    let range = first.range().unwrap();
    assert_eq!(format!("{}..{}", range.first[0], range.last[0]), "1..40");
    assert!(!reader.is_whole());
    while reader.next_item().unwrap().is_some() {}
    assert!(reader.is_whole());
    let stats = reader.finish().unwrap();
    assert_eq!((stats.segments, stats.rows), (6, vec![116, 30, 9]));
}

#[test]
fn a_new_chain_is_not_put_into_a_folder_that_holds_one() {
    let dir = tempfile::tempdir().unwrap();
    chain::write_folder(dir.path());
    assert!(matches!(DirectorySink::create(dir.path()), Err(DeltaError::Exists { .. })));
}

#[test]
fn rows_that_do_not_fit_are_refused_and_the_writer_goes_on() {
    let header = chain::header();
    let mut writer = ChainWriter::create(Box::new(NullSink), &header).unwrap();
    let two_columns = chain::parts();
    let refused = encode_block(&header.shapes[0], &two_columns);
    assert!(matches!(refused, Err(DeltaError::Shape { .. })), "{refused:?}");
    assert!(matches!(
        encode_block(&header.shapes[0], &Rows::new(1)),
        Err(DeltaError::Shape { .. })
    ));
    let mut large = Rows::new(1);
    let value = vec![b'x'; ROWS_BYTES_MAX];
    large.push([rusqlite::types::ValueRef::Integer(1)], rusqlite::types::ValueRef::Blob(&value));
    assert!(matches!(encode_block(&header.shapes[0], &large), Err(DeltaError::TooLarge { .. })));
    let mut many = Rows::new(1);
    for _ in 0..=ROWS_MAX {
        many.push([rusqlite::types::ValueRef::Null], rusqlite::types::ValueRef::Null);
    }
    let refused = encode_block(&header.shapes[0], &many).unwrap_err();
    assert!(refused.to_string().starts_with("262145 rows of a block are too many"), "{refused}");
    assert!(matches!(writer.push(9, &[], "x"), Err(DeltaError::Shape { .. })));
    assert_eq!(writer.push(0, &[], "x").unwrap().rows, 0);
}
