//! Resuming: after a kill at any file, after a manifest, and never onto something else.

use std::fs;

use dotfill::delta::{ChainReader, ChainWriter, DeltaError, FileName, Scope, Sink};

use crate::chain;

#[test]
fn a_writer_that_stopped_after_any_file_ends_in_the_same_chain() {
    let want = chain::files();
    for kept in 0..want.len() {
        let dir = tempfile::tempdir().unwrap();
        chain::put(dir.path(), &want[..kept]);
        // What a kill leaves of the file after it.
        let half = &want[kept].1[..want[kept].1.len() / 2];
        fs::write(dir.path().join(format!(".dotfill-{}", want[kept].0)), half).unwrap();
        let mut writer = ChainWriter::resume(dir.path(), &chain::header()).unwrap();
        let batches = chain::batches();
        let done = kept.saturating_sub(1);
        for (change, rows, checkpoint) in batches.into_iter().skip(done) {
            writer.push(change, &[chain::block(change, &rows)], checkpoint).unwrap();
        }
        writer.finish(&[("digest.0", "cafe".to_owned())]).unwrap();
        for (name, bytes) in &want {
            assert!(fs::read(dir.path().join(name)).unwrap() == *bytes, "{name} after {kept}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), want.len());
    }
}

#[test]
fn a_checkpoint_is_read_back_per_change() {
    let dir = tempfile::tempdir().unwrap();
    chain::put(dir.path(), &chain::files()[..4]);
    let writer = ChainWriter::resume(dir.path(), &chain::header()).unwrap();
    let checkpoints = [0, 1, 2].map(|change| writer.checkpoint(change));
    assert_eq!(checkpoints, [Some("b"), Some(""), None]);
    assert_eq!((writer.rows(0), writer.ends_in_manifest()), (80, false));
}

#[test]
fn a_whole_chain_can_grow() {
    let dir = tempfile::tempdir().unwrap();
    chain::write_folder(dir.path());
    let mut follower = ChainReader::open_directory(dir.path()).unwrap();
    while follower.next_item().unwrap().is_some() {}
    let mut writer = ChainWriter::resume(dir.path(), &chain::header()).unwrap();
    assert!(writer.ends_in_manifest());
    writer.push(0, &[chain::block(0, &chain::machines(500, 3))], "f").unwrap();
    assert!(follower.next_item().unwrap().is_some() && !follower.is_whole());
    writer.finish(&[]).unwrap();
    assert!(follower.next_item().unwrap().is_some() && follower.is_whole());
    assert_eq!(follower.finish().unwrap().rows, [116 + 3, 30, 9]);
}

#[test]
fn a_chain_of_something_else_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    chain::write_folder(dir.path());
    let mut others = [chain::header(), chain::header(), chain::header()];
    others[0].migration_digest = [8; 32];
    others[1].scope = Scope::Some;
    others[2].shapes[0].key[0].type_name = "TEXT".to_owned();
    for other in others {
        let refused = ChainWriter::resume(dir.path(), &other);
        assert!(matches!(refused.map(drop), Err(DeltaError::Foreign { .. })));
    }
}

#[test]
fn a_second_writer_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ChainWriter::resume(dir.path(), &chain::header()).unwrap();
    let block = chain::block(0, &chain::machines(1, 3));
    writer.push(0, std::slice::from_ref(&block), "a").unwrap();
    let second = ChainWriter::resume(dir.path(), &chain::header()).err();
    assert!(matches!(second, Some(DeltaError::Busy { .. })), "{second:?}");
    // On a file system where folders cannot be locked, it is found when a file is named.
    let next = dir.path().join("0000000002-rows.dotfill");
    std::fs::write(&next, "another one's").unwrap();
    let refused = writer.push(0, &[block], "b");
    assert!(matches!(refused, Err(DeltaError::Exists { .. })), "{refused:?}");
    drop(writer);
    std::fs::remove_file(next).unwrap();
    let again = ChainWriter::resume(dir.path(), &chain::header()).unwrap();
    assert_eq!(again.checkpoint(0), Some("a"));
}

#[test]
fn a_folder_deep_down_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    ChainWriter::resume(&deep, &chain::header()).unwrap();
    assert!(deep.join("0000000000-header.dotfill").exists());
}

/// Fails at one file.
struct Failing(u32);

impl Sink for Failing {
    fn place(&self) -> String {
        "a full disk".to_owned()
    }

    fn put(&mut self, name: FileName, _: &[u8]) -> Result<(), DeltaError> {
        if name.ordinal < self.0 {
            return Ok(());
        }
        let (doing, place) = ("write".to_owned(), self.place());
        Err(DeltaError::Io { doing, place, source: std::io::ErrorKind::StorageFull.into() })
    }
}

#[test]
fn nothing_is_written_after_a_failure() {
    let mut writer = ChainWriter::create(Box::new(Failing(1)), &chain::header()).unwrap();
    let block = chain::block(0, &chain::machines(1, 3));
    let failed = writer.push(0, std::slice::from_ref(&block), "a").unwrap_err().to_string();
    assert!(failed.contains("free some disk space"), "{failed}");
    assert!(matches!(writer.push(0, &[block], "a"), Err(DeltaError::Latched { .. })));
    assert!(matches!(writer.finish(&[]), Err(DeltaError::Latched { .. })));
}
