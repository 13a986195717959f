//! A chain of every version of the format, as a release wrote it, is read as it was meant.
//! `DOTFILL_RECORD_DELTAS=1` writes those of the present version anew, where they are not there yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use dotfill::delta::{ChainReader, Coming, Item, Rows};

use crate::chain;

/// The folders that this release reads, oldest first. One is never changed, only added. In the third
/// one rows come again, in the last one values are sets.
const VERSIONS: [&str; 4] = ["v1", "v1-absent", "v1-again", "v1-sets"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/deltas/fixtures")
}

/// The files of a fixture as this release writes them.
fn files(name: &str) -> Vec<(String, Vec<u8>)> {
    match name {
        "v1-again" => chain::files_again(),
        "v1-sets" => chain::files_of_sets(),
        _ => chain::files(),
    }
}

/// The rows that it holds: of the small chain, as many batches as there were then.
fn rows(name: &str) -> Vec<(usize, Rows)> {
    match name {
        "v1" => chain::expected()[..5].to_vec(),
        "v1-absent" => chain::expected()[..6].to_vec(),
        _ => {
            let sets = name == "v1-sets";
            let batches = if sets { chain::batches_of_sets() } else { chain::batches_again() };
            batches.into_iter().map(|(change, rows, _)| (change, rows)).collect()
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
        let sets = version == "v1-sets";
        let header = if sets { chain::header_of_sets() } else { chain::header() };
        assert_eq!(reader.header(), &header, "{version}");
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
