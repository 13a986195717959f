//! A chain of every version of the format, as a release wrote it, is read as it was meant.
//! `DOTFILL_RECORD_DELTAS=1` writes those of the present version anew, where they are not there yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use dotfill::delta::{ChainReader, Coming, Item, Rows};

use crate::chain;

/// The folders that this release reads, oldest first. One is never changed, only added. In the last
/// one rows come again.
const VERSIONS: [&str; 3] = ["v1", "v1-absent", "v1-again"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/deltas/fixtures")
}

/// The files of a fixture as this release writes them.
fn files(name: &str) -> Vec<(String, Vec<u8>)> {
    if name == "v1-again" { chain::files_again() } else { chain::files() }
}

/// The rows that it holds: of the small chain, as many batches as there were then.
fn rows(name: &str) -> Vec<(usize, Rows)> {
    match name {
        "v1" => chain::expected()[..5].to_vec(),
        "v1-absent" => chain::expected()[..6].to_vec(),
        _ => {
            let batches = chain::batches_again().into_iter();
            batches.map(|(change, rows, _)| (change, rows)).collect()
        }
    }
}

#[test]
fn every_fixture_is_read_as_it_was_meant() {
    for version in VERSIONS {
        let dir = folder().join(version);
        if std::env::var_os("DOTFILL_RECORD_DELTAS").is_some() && !dir.exists() {
            fs::create_dir_all(&dir).unwrap();
            chain::put(&dir, &files(version));
        }
        let reader = ChainReader::open_directory(&dir).unwrap();
        assert_eq!(reader.header(), &chain::header(), "{version}");
        assert_eq!(chain::read(reader).unwrap(), rows(version), "{version}");
    }
}

#[test]
fn rows_that_come_again_are_told() {
    let mut reader = ChainReader::open_directory(&folder().join("v1-again")).unwrap();
    let mut coming = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        if let Item::Segment(segment) = item {
            coming.push(segment.coming().unwrap());
        }
    }
    assert_eq!(coming, [Coming::Once, Coming::Once, Coming::Again, Coming::Again]);
}

#[test]
fn every_fixture_is_listed() {
    let there: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, VERSIONS.iter().map(ToString::to_string).collect());
}
