//! A chain of every version of the format, as a release wrote it, is read as it was meant.
//! `DOTFILL_RECORD_DELTAS=1` writes the one of the present version anew, where it is not there yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use dotfill::delta::ChainReader;

use crate::chain;

/// The folders that this release reads, oldest first, and how many batches of the small chain each
/// has. One is never changed, only added.
const VERSIONS: [(&str, usize); 2] = [("v1", 5), ("v1-absent", 6)];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/deltas/fixtures")
}

#[test]
fn every_fixture_is_read_as_it_was_meant() {
    let newest = folder().join(VERSIONS[VERSIONS.len() - 1].0);
    if std::env::var_os("DOTFILL_RECORD_DELTAS").is_some() && !newest.exists() {
        fs::create_dir_all(&newest).unwrap();
        chain::put(&newest, &chain::files());
    }
    for (version, batches) in VERSIONS {
        let reader = ChainReader::open_directory(&folder().join(version)).unwrap();
        assert_eq!(reader.header(), &chain::header(), "{version}");
        assert_eq!(chain::read(reader).unwrap(), chain::expected()[..batches], "{version}");
    }
}

#[test]
fn every_fixture_is_listed() {
    let there: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, VERSIONS.iter().map(|(version, _)| (*version).to_owned()).collect());
}
