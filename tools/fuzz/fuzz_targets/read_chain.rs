//! Any bytes as a stream: reading ends, with an error or with rows within their bound.
#![no_main]

use dotfill::delta::{ChainReader, DeltaError, Item, MemorySource, ROWS_BYTES_MAX};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8]) -> Result<(), DeltaError> {
    let mut reader = ChainReader::open(Box::new(MemorySource::of(bytes.to_vec())))?;
    let header = reader.header().clone();
    while let Some(item) = reader.next_item()? {
        let Item::Segment(segment) = item else { continue };
        for i in 0..segment.blocks() {
            assert!(segment.decode(i, &header)?.byte_size() <= ROWS_BYTES_MAX);
        }
    }
    reader.finish().map(drop)
}

fuzz_target!(|bytes: &[u8]| {
    // An error is as good an end as any.
    let _ = read(bytes);
});
