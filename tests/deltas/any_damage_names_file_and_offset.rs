//! Every changed byte, every truncation, every swap, gap and foreign file of a small folder.

use std::fs;
use std::path::Path;

use dotfill::delta::{ChainReader, DeltaError, MemorySink, MemorySource, verify_chain};

use crate::chain;

/// The files in a fresh folder.
fn folder() -> (tempfile::TempDir, Vec<(String, Vec<u8>)>) {
    folder_of(chain::files())
}

fn folder_of(files: Vec<(String, Vec<u8>)>) -> (tempfile::TempDir, Vec<(String, Vec<u8>)>) {
    let dir = tempfile::tempdir().unwrap();
    chain::put(dir.path(), &files);
    (dir, files)
}

/// What the reader says of the folder; it must name `file` and an offset.
#[track_caller]
fn refused(dir: &Path, file: &str) -> DeltaError {
    let error = verify_chain(dir).expect_err(file);
    let text = error.to_string();
    assert!(text.contains(file) && text.contains(" at byte "), "{file}: {text}");
    error
}

#[test]
fn every_changed_byte_is_found() {
    changed_bytes_are_found(chain::files());
}

#[test]
fn every_changed_byte_of_sets_is_found() {
    changed_bytes_are_found(chain::files_of_sets());
}

fn changed_bytes_are_found(files: Vec<(String, Vec<u8>)>) {
    let (dir, files) = folder_of(files);
    for (name, bytes) in &files {
        let path = dir.path().join(name);
        let mut bytes = bytes.clone();
        for i in 0..bytes.len() {
            let mask = 1 << (i % 8);
            bytes[i] ^= mask;
            fs::write(&path, &bytes).unwrap();
            match refused(dir.path(), name) {
                DeltaError::Damaged { offset, .. } | DeltaError::Unsupported { offset, .. } => {
                    // A changed length is met where the file ends.
                    let near = offset <= i as u64 || (12..16).contains(&i);
                    assert!(near, "{name}: byte {i} was changed, and {offset} is named");
                }
                other => panic!("{name}: byte {i}: {other}"),
            }
            bytes[i] ^= mask;
        }
        fs::write(&path, &bytes).unwrap();
    }
    verify_chain(dir.path()).unwrap();
}

#[test]
fn every_truncation_is_found() {
    let (dir, files) = folder();
    for (name, bytes) in &files {
        let path = dir.path().join(name);
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            refused(dir.path(), name);
        }
        fs::write(&path, [bytes.as_slice(), b"x"].concat()).unwrap();
        refused(dir.path(), name);
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_changed_byte_in_a_block_names_that_block() {
    let (dir, files) = folder();
    let (name, bytes) = &files[1];
    let at = bytes.len() - 100;
    let mut changed = bytes.clone();
    changed[at] ^= 1;
    fs::write(dir.path().join(name), changed).unwrap();
    let DeltaError::Damaged { offset, problem, .. } = refused(dir.path(), name) else { panic!() };
    assert!(offset > 84 && offset < at as u64 && problem.contains("block"), "{offset} {problem}");
}

#[test]
fn every_swap_is_found() {
    let (dir, files) = folder();
    for a in 0..files.len() {
        for b in a + 1..files.len() {
            fs::write(dir.path().join(&files[a].0), &files[b].1).unwrap();
            fs::write(dir.path().join(&files[b].0), &files[a].1).unwrap();
            let error = refused(dir.path(), &files[a].0);
            assert!(matches!(error, DeltaError::Order { .. }), "{a} {b}: {error}");
            chain::put(dir.path(), &files);
        }
    }
}

#[test]
fn every_gap_is_found() {
    let (dir, files) = folder();
    for (i, (name, bytes)) in files.iter().enumerate() {
        let path = dir.path().join(name);
        fs::remove_file(&path).unwrap();
        let error = verify_chain(dir.path()).expect_err(name);
        if i + 1 == files.len() {
            assert!(matches!(error, DeltaError::Unfinished { after: 6, .. }), "{error}");
        } else {
            let number = name.split_once('-').unwrap().0;
            assert!(matches!(error, DeltaError::Missing { .. }), "{error}");
            assert!(error.to_string().contains(number), "{error}");
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_missing_file_whose_successors_moved_up_is_found() {
    let (dir, files) = folder();
    for i in 1..files.len() - 1 {
        fs::write(dir.path().join(&files[i].0), &files[i + 1].1).unwrap();
        refused(dir.path(), &files[i].0);
        fs::write(dir.path().join(&files[i].0), &files[i].1).unwrap();
    }
}

#[test]
fn a_file_of_another_chain_is_found() {
    let (dir, files) = folder();
    let mut another = chain::header();
    another.migration_digest = [8; 32];
    let mut same = chain::header();
    same.sqlite_version = "3.55.0".to_owned();
    for header in [another, same] {
        let sink = MemorySink::default();
        chain::write(Box::new(sink.clone()), &header);
        for (i, (_, bytes)) in sink.files().into_iter().enumerate().skip(1) {
            fs::write(dir.path().join(&files[i].0), bytes).unwrap();
            let error = refused(dir.path(), &files[i].0);
            let foreign = header.migration_digest != chain::header().migration_digest;
            assert_eq!(matches!(error, DeltaError::Foreign { .. }), foreign, "{error}");
            chain::put(dir.path(), &files);
        }
    }
}

#[test]
fn a_stream_that_ends_anywhere_is_found() {
    let files = chain::files();
    let stream: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let open = |bytes: &[u8]| {
        ChainReader::open(Box::new(MemorySource::of(bytes.to_vec()))).and_then(chain::read)
    };
    for length in 0..stream.len() {
        let error = open(&stream[..length]).map(drop).expect_err("a part of a stream");
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(open(&stream).unwrap(), chain::expected());
}
