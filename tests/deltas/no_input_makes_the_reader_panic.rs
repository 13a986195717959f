//! Whatever the bytes, reading ends, and with an error or with rows.

use dotfill::db::Datum;
use dotfill::delta::{
    ChainHeader, ChainReader, EncodedBlock, MemorySource, ROWS_BYTES_MAX, Rows, encode_block,
};
use proptest::prelude::*;

use crate::chain;

/// Reads a stream to its end, decoding every block; what came is within its bound.
fn read(bytes: Vec<u8>) {
    let rows = ChainReader::open(Box::new(MemorySource::of(bytes))).and_then(chain::read);
    for (_, rows) in rows.into_iter().flatten() {
        assert!(rows.byte_size() <= ROWS_BYTES_MAX);
    }
}

/// A sound file around this body: as somebody would make it who knows the format.
fn sealed(file: &[u8], body: &[u8], previous: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = [&file[..84], body].concat();
    let length = u32::try_from(bytes.len() + 32).unwrap();
    bytes[12..16].copy_from_slice(&length.to_le_bytes());
    if let Some(previous) = previous {
        bytes[20..52].copy_from_slice(previous);
    }
    let digest = blake3::hash(&bytes);
    [bytes.as_slice(), digest.as_bytes()].concat()
}

/// A segment whose block holds `content` after its length, with digests that fit.
fn with_block(content: &[u8]) -> Vec<u8> {
    with_block_in(&chain::files(), content)
}

/// The same in a chain that begins with these files; the block is of its first change.
fn with_block_in(files: &[(String, Vec<u8>)], content: &[u8]) -> Vec<u8> {
    let mut block = u32::try_from(content.len() + 36).unwrap().to_le_bytes().to_vec();
    block.extend_from_slice(content);
    let digest = blake3::hash(&block);
    block.extend_from_slice(digest.as_bytes());
    let rows = content.first_chunk::<4>().map_or(0, |rows| u32::from_le_bytes(*rows));
    let mut body = 14_u32.to_le_bytes().to_vec();
    body.extend_from_slice(b"machines-owner");
    body.extend_from_slice(&0_u16.to_le_bytes());
    body.extend_from_slice(&u64::from(rows).to_le_bytes());
    body.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 0, 0]);
    let digest = blake3::hash(&[&files[1].1[16..84], body.as_slice()].concat());
    body.extend_from_slice(digest.as_bytes());
    body.extend_from_slice(&block);
    [files[0].1.clone(), sealed(&files[1].1, &body, None)].concat()
}

fn any_datum() -> impl Strategy<Value = Datum> {
    prop_oneof![
        1 => Just(Datum::Null),
        2 => any::<i64>().prop_map(Datum::Integer),
        2 => (-5_i64..5).prop_map(Datum::Integer),
        1 => any::<u64>().prop_map(|bits| Datum::Real(f64::from_bits(bits))),
        2 => "[a-c]{0,3}-[0-9]{1,3}".prop_map(|text| Datum::Text(text.into_bytes())),
        1 => any::<Vec<u8>>().prop_map(Datum::Text),
        1 => any::<Vec<u8>>().prop_map(Datum::Blob),
        1 => any::<[u8; 16]>().prop_map(|bytes| Datum::Blob(bytes.to_vec())),
    ]
}

proptest! {
    #[test]
    fn bytes_of_any_kind(bytes in any::<Vec<u8>>()) {
        read(bytes);
    }

    #[test]
    fn a_sound_chain_with_a_part_replaced(
        at in any::<prop::sample::Index>(),
        patch in proptest::collection::vec(any::<u8>(), 1..8),
    ) {
        let files = chain::files();
        let mut stream: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let at = at.index(stream.len() - patch.len());
        stream[at..at + patch.len()].copy_from_slice(&patch);
        read(stream);
    }

    /// Digests are no secret: whoever makes bytes can make theirs fit.
    #[test]
    fn a_sound_file_around_any_body(
        which in 0_usize..8,
        at in any::<prop::sample::Index>(),
        patch in proptest::collection::vec(any::<u8>(), 0..8),
        cut in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let files = chain::files();
        let file = &files[which].1;
        let mut body = file[84..file.len() - 32].to_vec();
        let at = at.index(body.len());
        let end = (at + patch.len()).min(body.len());
        body[at..end].copy_from_slice(&patch[..end - at]);
        if !keep {
            body.truncate(cut.index(body.len() + 1));
        }
        let before = files[..which].iter().flat_map(|(_, bytes)| bytes.clone());
        read(before.chain(sealed(file, &body, None)).collect());
    }

    #[test]
    fn a_sound_block_around_a_patched_content(
        which in prop::sample::select(vec![1_usize, 2, 3]),
        at in any::<prop::sample::Index>(),
        patch in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        let rows = match which {
            1 => chain::machines(1, 300),
            2 => chain::implied(1, 300),
            _ => chain::implied_some(1, 300),
        };
        let file = with_block_of(&rows);
        let mut content = file;
        let at = at.index(content.len());
        let end = (at + patch.len()).min(content.len());
        content[at..end].copy_from_slice(&patch[..end - at]);
        read(with_block(&content));
    }

    #[test]
    fn a_sound_block_of_sets_around_a_patched_content(
        at in any::<prop::sample::Index>(),
        patch in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        let header = chain::header_of_sets();
        let block = encode_block(&header.shapes[0], &chain::projects(0, 200)).unwrap();
        let mut content = content_of(&header, block);
        let at = at.index(content.len());
        let end = (at + patch.len()).min(content.len());
        content[at..end].copy_from_slice(&patch[..end - at]);
        read(with_block_in(&chain::files_of_sets(), &content));
    }

    #[test]
    fn rows_of_any_values_are_read_back(
        cells in proptest::collection::vec((any_datum(), any_datum(), any_datum()), 1..120)
    ) {
        let mut rows = Rows::new(2);
        for (a, b, value) in &cells {
            rows.push([a.as_ref(), b.as_ref()], value.as_ref());
        }
        let header = chain::header();
        let sink = dotfill::delta::MemorySink::default();
        let mut writer =
            dotfill::delta::ChainWriter::create(Box::new(sink.clone()), &header).unwrap();
        writer.push(2, &[encode_block(&header.shapes[2], &rows).unwrap()], "").unwrap();
        writer.finish(&[]).unwrap();
        let reader = ChainReader::open(Box::new(MemorySource::of(sink.stream()))).unwrap();
        prop_assert_eq!(chain::read(reader).unwrap(), vec![(2, rows)]);
    }
}

/// The content of the only block of a segment with these rows, without length and digest.
fn with_block_of(rows: &Rows) -> Vec<u8> {
    content_of(&chain::header(), chain::block(0, rows))
}

/// The content of a block of the first change.
fn content_of(header: &ChainHeader, block: EncodedBlock) -> Vec<u8> {
    let sink = dotfill::delta::MemorySink::default();
    let mut writer = dotfill::delta::ChainWriter::create(Box::new(sink.clone()), header).unwrap();
    let length = block.byte_len();
    writer.push(0, &[block], "").unwrap();
    let bytes = &sink.files()[1].1;
    let end = bytes.len() - 32;
    bytes[end - length + 4..end - 32].to_vec()
}

#[test]
fn a_sound_block_is_read() {
    let rows = chain::machines(1, 300);
    let mut reader =
        ChainReader::open(Box::new(MemorySource::of(with_block(&with_block_of(&rows))))).unwrap();
    let header = reader.header().clone();
    let Some(dotfill::delta::Item::Segment(segment)) = reader.next_item().unwrap() else {
        panic!()
    };
    assert_eq!(segment.decode(0, &header).unwrap(), rows);
}

/// Few bytes that claim very many elements, or very large ones.
#[test]
fn sets_that_claim_to_expand_without_end_are_refused() {
    let header = chain::header_of_sets();
    let big = dotfill::delta::set_value(vec![Datum::Text(vec![b'x'; 1 << 14])]);
    let mut rows = Rows::new(1);
    for i in 0..200 {
        let key = rusqlite::types::ValueRef::Integer(i);
        rows.push([key], rusqlite::types::ValueRef::Blob(&big));
    }
    let mut content = content_of(&header, encode_block(&header.shapes[0], &rows).unwrap());
    let decode = |content: &[u8]| {
        let stream = with_block_in(&chain::files_of_sets(), content);
        let mut reader = ChainReader::open(Box::new(MemorySource::of(stream)))?;
        let header = reader.header().clone();
        match reader.next_item()? {
            Some(dotfill::delta::Item::Segment(segment)) => segment.decode(0, &header),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(decode(&content).unwrap(), rows);
    for claimed in [0_u32, 1 << 18, u32::MAX] {
        content[..4].copy_from_slice(&claimed.to_le_bytes());
        assert!(decode(&content).is_err(), "{claimed}");
    }
    let huge = dotfill::delta::set_value(vec![Datum::Text(vec![b'x'; 8 << 20])]);
    let mut rows = Rows::new(1);
    rows.push([rusqlite::types::ValueRef::Integer(1)], rusqlite::types::ValueRef::Blob(&huge));
    let error = encode_block(&header.shapes[0], &rows).expect_err("a reader would refuse it");
    assert!(error.to_string().contains("too many"), "{error}");
}

#[test]
fn a_block_that_claims_to_expand_without_end_is_refused() {
    // 2^18 rows of a dictionary with one entry of 64 KiB: 16 GiB, in a few hundred bytes.
    let big = vec![b'x'; 1 << 16];
    let mut rows = Rows::new(1);
    for i in 0..200 {
        rows.push([rusqlite::types::ValueRef::Integer(i)], rusqlite::types::ValueRef::Blob(&big));
    }
    let mut content = with_block_of(&rows);
    content[..4].copy_from_slice(&(1_u32 << 18).to_le_bytes());
    read(with_block(&content));
    for claimed in [0_u32, 201, 1 << 18, u32::MAX] {
        content[..4].copy_from_slice(&claimed.to_le_bytes());
        let stream = with_block(&content);
        let refused = ChainReader::open(Box::new(MemorySource::of(stream))).and_then(chain::read);
        assert!(refused.is_err(), "{claimed}");
    }
}

/// The rows without a value are told in runs, which nobody needs to believe.
#[test]
fn a_block_that_claims_absent_rows_anywhere_is_refused() {
    let rows = chain::implied_some(1, 31);
    let content = with_block_of(&rows);
    let decode = |content: &[u8]| {
        let mut reader = ChainReader::open(Box::new(MemorySource::of(with_block(content))))?;
        let header = reader.header().clone();
        match reader.next_item()? {
            Some(dotfill::delta::Item::Segment(segment)) => segment.decode(0, &header),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(decode(&content).unwrap(), rows);
    // Rows, kind, columns, two keys of one integer, the digest: then the runs.
    let at = 4 + 1 + 2 + 2 * (4 + 9) + 32;
    let runs = usize::from(content[at]);
    assert_eq!((content[4], &content[at + 1..at + 5]), (2, [0, 1, 2, 1].as_slice()));
    let rest = &content[at + 1 + 2 * runs..];
    let with = |runs: &[u8]| [&content[..at], runs, rest].concat();
    // 16 values: the runs may begin at 0 and at any of 16 places after one.
    for sound in
        [&[1, 0, 1][..], &[1, 16, 1], &[2, 0, 5, 16, 9], &[2, 7, 1, 9, 1], &[1, 3, 0x80, 0x10]]
    {
        assert!(decode(&with(sound)).is_ok(), "{sound:?}");
    }
    for wrong in [
        &[0][..],
        &[1, 0, 0],
        &[1, 17, 1],
        &[2, 0, 1, 0, 1],
        &[2, 7, 1, 10, 1],
        &[1, 0, 0xf1, 0xff, 0x0f],
        &[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0x7f, 0, 1],
        &[2, 0, 1],
    ] {
        assert!(decode(&with(wrong)).is_err(), "{wrong:?}");
    }
}

#[test]
fn runs_that_are_not_in_order_are_not_written() {
    use dotfill::delta::Keys;
    let sound = chain::implied_some(1, 31);
    let header = chain::header();
    let [empty, touching, beyond] = [&[3..3, 5..6][..], &[0..1, 1..2], &[0..1, 17..18, 19..20]]
        .map(|absent| {
            let mut rows = sound.clone();
            let Keys::Implied(keys) = &mut rows.keys else { panic!() };
            keys.absent = absent.to_vec();
            encode_block(&header.shapes[0], &rows).map(|block| block.rows())
        });
    for (refused, word) in [(empty, "order"), (touching, "order"), (beyond, "beyond")] {
        let error = refused.expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
}
