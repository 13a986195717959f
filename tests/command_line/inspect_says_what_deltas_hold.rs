//! `inspect`: what is in a folder, a stream and a file, and what is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tool::call;

/// A chain of 139 rows of three changes, as a release wrote it.
fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/deltas/fixtures/v1")
}

fn names() -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(fixture()).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

/// A copy that may be damaged.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for path in names() {
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn arg(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_whole_folder_is_described() {
    let output = call(&["inspect", &arg(&fixture()), "--rows", "2"]).expect(0);
    for line in ["chain    whole", "139 rows in 5 segments", "\"id\"", "headers and digests"] {
        assert!(output.stdout.contains(line), "{line}: {output:#?}");
    }
    assert!(output.stdout.contains("(1) = 'u"), "{output:#?}");
    let said = call(&["inspect", &arg(&fixture()), "--rows", "2", "--json"]).expect(0).json();
    assert_eq!((&said["whole"], &said["rows"]), (&true.into(), &139.into()));
    assert_eq!(said["changes"][0]["rows_implied"], 20);
    assert_eq!(said["changes"][1]["rows_null"], 6);
    assert_eq!(said["facts"]["digest.0"], "cafe");
    assert_eq!(said["examples"].as_array().unwrap().len(), 6);
    let bytes: u64 = names().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(said["bytes"], bytes);
}

#[test]
fn rows_that_come_again_are_counted() {
    let again = fixture().with_file_name("v1-again");
    let said = call(&["inspect", &arg(&again), "--json"]).expect(0).json();
    assert_eq!((&said["rows"], &said["changes"][0]["rows_again"]), (&102.into(), &2.into()));
    assert_eq!(said["changes"][1]["rows_again"], 20);
    let output = call(&["inspect", &arg(&again)]).expect(0);
    assert!(output.stdout.contains("2 of them again, the last wins"), "{output:#?}");
}

#[test]
fn a_saved_stream_is_described_alike() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("saved");
    let bytes: Vec<u8> = names().iter().flat_map(|path| fs::read(path).unwrap()).collect();
    fs::write(&stream, bytes).unwrap();
    let of = |path: &Path| {
        let mut said = call(&["inspect", &arg(path), "--json"]).expect(0).json();
        said.as_object_mut().unwrap().remove("path");
        said
    };
    assert_eq!(of(&stream), of(&fixture()));
}

#[test]
fn one_file_is_described_by_the_header_beside_it() {
    let said = call(&["inspect", &arg(&names()[2]), "--json"]).expect(0).json();
    assert_eq!(
        (&said["rows"], &said["segments"], &said["whole"]),
        (&40.into(), &1.into(), &true.into())
    );
    let dir = tempfile::tempdir().unwrap();
    let alone = dir.path().join("0000000002-rows.dotfill");
    fs::copy(&names()[2], &alone).unwrap();
    let output = call(&["inspect", &arg(&alone)]).expect(1);
    assert!(output.stdout.contains("0000000000-header.dotfill"), "{output:#?}");
}

#[test]
fn damage_exits_1_and_is_named() {
    let dir = copy();
    let path = dir.path().join("0000000003-rows.dotfill");
    let mut bytes = fs::read(&path).unwrap();
    bytes[300] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let output = call(&["inspect", &arg(dir.path())]).expect(1);
    for word in ["NOT whole", "0000000003-rows.dotfill", "at byte", "80 rows in 2 segments"] {
        assert!(output.stdout.contains(word), "{word}: {output:#?}");
    }
    let said = call(&["inspect", &arg(dir.path()), "--json"]).expect(1).json();
    assert_eq!(said["whole"], false);
    fs::remove_file(&path).unwrap();
    let output = call(&["inspect", &arg(dir.path())]).expect(1);
    assert!(output.stdout.contains("has no 0000000003"), "{output:#?}");
}

#[test]
fn a_chain_without_its_end_is_not_whole() {
    let dir = copy();
    fs::remove_file(dir.path().join("0000000006-manifest.dotfill")).unwrap();
    let output = call(&["inspect", &arg(dir.path())]).expect(1);
    assert!(output.stdout.contains("without a manifest"), "{output:#?}");
    assert!(output.stdout.contains("139 rows in 5 segments"), "{output:#?}");
}

#[test]
fn what_is_no_chain_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let output = call(&["inspect", &arg(dir.path())]).expect(1);
    assert!(output.stdout.contains("0000000000-header.dotfill"), "{output:#?}");
    call(&["inspect", &arg(&dir.path().join("absent"))]).expect(1).says(&["absent", "cannot"]);
    let text = dir.path().join("notes.txt");
    fs::write(&text, "these are no deltas at all").unwrap();
    let output = call(&["inspect", &arg(&text)]).expect(1);
    assert!(output.stdout.contains("does not begin as deltas do"), "{output:#?}");
}

/// Of blocks without keys: which they are, what they take, and whose keys they mean.
#[test]
fn implied_keys_are_the_receivers() {
    let folder = fixture().with_file_name("v1-absent");
    let output = call(&["inspect", &arg(&folder), "--rows", "110"]).expect(0);
    for line in [
        "36 rows without their keys, which the receiver must have: 2 blocks",
        "segment 5, block 0: the receiver's keys from (81) through (100), 20 with a value, 0 without",
        "segment 6, block 0: the receiver's keys from (101) through (131), 16 with a value, 15 without",
        "(the receiver's key) = 'o1'",
    ] {
        assert!(output.stdout.contains(line), "{line}: {output:#?}");
    }
    let said = call(&["inspect", &arg(&folder), "--json"]).expect(0).json();
    let machines = &said["changes"][0];
    assert_eq!((&machines["blocks_implied"], &machines["rows_implied"]), (&2.into(), &36.into()));
    let ranges = machines["implied"].as_array().unwrap();
    let bytes: u64 = ranges.iter().map(|range| range["bytes"].as_u64().unwrap()).sum();
    assert_eq!(machines["bytes_implied"], bytes);
    assert_eq!((&ranges[1]["first"][0], &ranges[1]["rows_absent"]), (&"101".into(), &15.into()));
}
