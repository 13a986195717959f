//! What the digest covers, and its bytes.

use std::collections::HashSet;
use std::path::Path;

use super::super::*;
use super::{FULL, SECOND, good, with};

#[test]
fn the_digest_follows_the_meaning_and_nothing_else() {
    let digest = good(FULL).digest;
    let same = [
        FULL.replace('\n', "  # note\n"),
        FULL.replace('\n', "\r\n"),
        with("type", "type = ' TEXT '"),
        with("value", "'value' = \"\"\"\n  'o-' || app\n\"\"\""),
        with("change_r", ""),
        with("wire", "wire_bytes_max = 1"),
        with("kind", "on_error = 'skip'\nkind = 'column'").replace("on_error = \"skip\"", ""),
        with("writable", ""),
    ];
    for text in same {
        assert_eq!(good(&text).digest, digest, "{text}");
    }
    let other = Migration::parse(FULL, Path::new("other.toml"));
    assert_eq!(other.ok().map(|migration| migration.digest), Some(digest));
}

#[test]
fn every_part_of_the_meaning_changes_the_digest() {
    let third = SECOND.replace("zone", "rack");
    let texts = [
        FULL.to_owned(),
        with("id", "id = 'other'"),
        with("epoch", ""),
        with("epoch", "epoch = 'owner-v2'"),
        with("minimum", ""),
        with("table", "table = 'machine'"),
        with("column", "column = 'owners'"),
        with("type", "type = 'BLOB'"),
        with("value", ""),
        with("value", "value = 'app'"),
        with("where", ""),
        with("delivery", ""),
        with("fill", ""),
        with("on_error", ""),
        with("delivery", "").replace("writable = true", "writable = false"),
        format!("{FULL}{SECOND}{third}"),
        format!("{FULL}{third}{SECOND}"),
    ];
    let digests: HashSet<[u8; 32]> = texts.iter().map(|text| good(text).digest).collect();
    assert_eq!(digests.len(), texts.len());
}

/// Digests are stored in databases and segments: a change of this value breaks both. The bytes
/// are written out here by hand, as another implementation would.
#[test]
fn the_digest_encoding_is_pinned() {
    let mut bytes = Vec::new();
    push(&mut bytes, &[], "machines-owner");
    push(&mut bytes, &[1], "owner-v1");
    push(&mut bytes, &[1], "4.8.0");
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    for text in ["column", "machines", "owner", "TEXT"] {
        push(&mut bytes, &[], text);
    }
    push(&mut bytes, &[1], "'o-' || app");
    push(&mut bytes, &[1], "deleted_at IS NULL");
    push(&mut bytes, &[], "derive");
    push(&mut bytes, &[0, 1], "skip");
    let want = blake3::derive_key("dotfill 2026-11 migration digest v1", &bytes);
    let digest = good(FULL).digest;
    assert_eq!(digest, want);
    let hex = blake3::Hash::from_bytes(digest).to_hex();
    assert_eq!(hex.as_str(), "c3933794d165616b465a81766bed00a8f289fdae992336a37bf6f9fb0614c4f9");
}

fn push(bytes: &mut Vec<u8>, before: &[u8], text: &str) {
    bytes.extend(before);
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
