//! An acknowledgement: one file per replica and migration, in which `dotfill ack` says where the
//! replica stands. Files are how replicas that share no network meet: a shared folder, a bucket, git.
//!
//! # Format
//! `DIR/MIGRATION/REPLICA.json`, the replica's id in lower case. A JSON object of [`Ack`]'s fields;
//! `format` is 1. Written under a temporary name, synced and renamed: a reader sees the old file or
//! the new one. The newest one counts, whatever it says.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::PhaseError;
use super::fleet::{check_id, read_bounded};
use crate::state::Mode;

/// Bytes of an acknowledgement, at most.
const BYTES_MAX: u64 = 1 << 20;
/// The format that this build writes and reads.
const FORMAT: u32 = 1;

/// What the people of a replica say of the time after the old form. Nothing here can be read from
/// a database, so it is only ever true because somebody said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "five independent statements")]
pub struct Readiness {
    /// Every active writer writes the new form.
    pub writers_on_new_form: bool,
    /// Clients that know only the old form are blocked, or forced to resync before they write.
    pub old_clients_blocked: bool,
    /// Repair tools and scripts no longer read or write the old form.
    pub repair_tools_moved: bool,
    /// Snapshots and backups that would be restored hold the new form.
    pub snapshots_moved: bool,
    /// Dashboards and reports no longer read the old form.
    pub dashboards_moved: bool,
}

impl Readiness {
    /// The statements that are not made, as the flags of `dotfill ack` that make them.
    #[must_use]
    pub fn missing(self) -> Vec<&'static str> {
        let all = [
            ("--writers-on-new-form", self.writers_on_new_form),
            ("--old-clients-blocked", self.old_clients_blocked),
            ("--repair-tools-moved", self.repair_tools_moved),
            ("--snapshots-moved", self.snapshots_moved),
            ("--dashboards-moved", self.dashboards_moved),
        ];
        all.into_iter().filter(|(_, made)| !made).map(|(flag, _)| flag).collect()
    }
}

/// What a replica acknowledges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The format of the file.
    pub format: u32,
    /// The replica.
    pub replica: String,
    /// The migration.
    pub migration: String,
    /// The digest of the migration file's meaning, as hexadecimal digits.
    pub migration_digest: String,
    /// Where the replica stands.
    #[serde(with = "mode_name")]
    pub mode: Mode,
    /// Whether the backfill is proven there, and nothing waits to be derived.
    pub proven: bool,
    /// Objects that were compared.
    pub objects: u64,
    /// Of the old form, as hexadecimal digits.
    pub sources_digest: String,
    /// Of what the new form shows, as hexadecimal digits.
    pub view_digest: String,
    /// Objects whose old and new form differ.
    pub disagreements: u64,
    /// Old-format writes that wait for a decision.
    pub undecided: u64,
    /// The oldest client seen there, where somebody has said so.
    pub oldest_client: Option<String>,
    /// What its people say of the time after the old form.
    pub readiness: Readiness,
    /// The release that wrote the file.
    pub dotfill_version: String,
    /// When, by the wall clock; for people.
    pub at: String,
}

mod mode_name {
    //! Modes by name, refusing what is none.
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::phase::mode::from_name;
    use crate::state::Mode;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
    pub(super) fn serialize<S: Serializer>(mode: &Mode, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(mode.as_str())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Mode, D::Error> {
        let name = String::deserialize(from)?;
        from_name(&name).ok_or_else(|| D::Error::custom(format!("{name:?} is no mode")))
    }
}

impl Ack {
    /// The number that goes into a new file's `format`.
    pub const FORMAT: u32 = FORMAT;

    /// Where the acknowledgement of a replica is.
    #[must_use]
    pub fn path(folder: &Path, migration: &str, replica: &str) -> PathBuf {
        folder.join(migration).join(format!("{}.json", replica.to_ascii_lowercase()))
    }

    /// Reads the acknowledgement of a replica; `None` where there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn read(folder: &Path, migration: &str, replica: &str) -> Result<Option<Self>, PhaseError> {
        let path = Self::path(folder, migration, replica);
        let remedy = || "let `dotfill ack` write it again".to_owned();
        let text = match read_bounded(&path, BYTES_MAX, remedy) {
            Err(PhaseError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            other => other?,
        };
        let bad =
            |problem: String| PhaseError::BadFile { path: path.clone(), problem, remedy: remedy() };
        let ack: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if ack.format != FORMAT {
            return Err(bad(format!("its format is {}, this is {FORMAT}", ack.format)));
        }
        if !ack.replica.eq_ignore_ascii_case(replica) || ack.migration != migration {
            return Err(bad(format!(
                "it is of replica {} and migration {}",
                ack.replica, ack.migration
            )));
        }
        Ok(Some(ack))
    }

    /// Writes the acknowledgement, atomically, and returns its path.
    ///
    /// # Errors
    /// When the replica's id names no file, or the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, PhaseError> {
        let path = Self::path(folder, &self.migration, &self.replica);
        check_id(&self.replica).map_err(|problem| PhaseError::BadFile {
            path: path.clone(),
            problem,
            remedy: "name the replica with --replica".to_owned(),
        })?;
        let io = |source| PhaseError::Io {
            path: path.clone(),
            doing: "write",
            source,
            remedy: "make the fleet's folder writable".to_owned(),
        };
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(io)?;
        let text = serde_json::to_string_pretty(self).map_err(|e| io(e.into()))?;
        let temporary = parent.join(format!(
            ".{}.{}.tmp",
            self.replica.to_ascii_lowercase(),
            std::process::id()
        ));
        let mut file = File::create(&temporary).map_err(io)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&temporary, &path))
            .and_then(|()| File::open(parent)?.sync_all())
            .map_err(io)?;
        Ok(path)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::phase) fn ack(replica: &str, mode: Mode) -> Ack {
        Ack {
            format: FORMAT,
            replica: replica.to_owned(),
            migration: "m".to_owned(),
            migration_digest: "aa".to_owned(),
            mode,
            proven: true,
            objects: 3,
            sources_digest: "55".to_owned(),
            view_digest: "77".to_owned(),
            disagreements: 0,
            undecided: 0,
            oldest_client: Some("4.8.0".to_owned()),
            readiness: Readiness::default(),
            dotfill_version: "0".to_owned(),
            at: "2026-11-21T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn an_acknowledgement_is_read_back_and_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Ack::read(folder.path(), "m", "A1").expect("read"), None);
        for mode in Mode::ALL {
            let written = ack("A1", mode);
            let path = written.write(folder.path()).expect("written");
            assert!(path.ends_with("m/a1.json"), "{}", path.display());
            let read = Ack::read(folder.path(), "m", "a1").expect("read");
            assert_eq!(read, Some(written));
        }
        let left = std::fs::read_dir(folder.path().join("m")).expect("listed").count();
        assert_eq!(left, 1, "temporary files were left behind");
    }

    #[test]
    fn what_is_wrong_with_an_acknowledgement_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = ack("a", Mode::ReadOldWriteOld).write(folder.path()).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let cases = [
            (text.replace("\"format\": 1", "\"format\": 2"), "format is 2"),
            (text.replace("read-old-write-old", "read-nothing"), "\"read-nothing\" is no mode"),
            (text.replace("\"replica\": \"a\"", "\"replica\": \"b\""), "of replica b"),
            (text.replace("\"proven\"", "\"proved\""), "unknown field `proved`"),
            (text[..text.len() / 2].to_owned(), "EOF"),
        ];
        for (text, want) in cases {
            std::fs::write(&path, &text).expect("written");
            let error = Ack::read(folder.path(), "m", "a").expect_err(want).to_string();
            assert!(error.contains(want) && error.contains("dotfill ack"), "{error}");
        }
        let error = ack("../a", Mode::ReadOldWriteOld).write(folder.path()).expect_err("a path");
        assert!(error.to_string().contains("--replica"), "{error}");
    }

    #[test]
    fn what_is_missing_for_compaction_is_named_by_its_flag() {
        let some =
            Readiness { writers_on_new_form: true, snapshots_moved: true, ..Readiness::default() };
        assert_eq!(
            some.missing(),
            ["--old-clients-blocked", "--repair-tools-moved", "--dashboards-moved"]
        );
    }
}
