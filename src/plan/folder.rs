//! A private folder under the system's temporary one, removed when dropped. It holds copies of the
//! user's rows, so nobody else may read it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::db::DbError;

/// How many names are tried before giving up; each one taken is a leftover of a killed process.
const TRIES: u32 = 100;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder that exists as long as this value.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes a new folder that only this user can read.
    ///
    /// # Errors
    /// [`DbError::Io`] when the temporary folder (`TMPDIR`) cannot be written.
    pub fn create() -> Result<Self, DbError> {
        let parent = std::env::temp_dir();
        let mut tries = 0;
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("dotfill-plan-{}-{n}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && tries < TRIES => {
                    tries += 1;
                }
                Err(source) => {
                    let doing = "make a folder there for the plan's sample (see TMPDIR)";
                    return Err(DbError::Io { path: parent, doing, source });
                }
            }
        }
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Copies a file of it to another name in it, over whatever is there.
    ///
    /// # Errors
    /// [`DbError::Io`] when the disk is full.
    pub fn copy(&self, from: &Path, name: &str) -> Result<PathBuf, DbError> {
        let to = self.file(name);
        match fs::copy(from, &to) {
            Ok(_) => Ok(to),
            Err(source) => Err(DbError::Io { path: to, doing: "copy the plan's sample", source }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind costs some megabytes of temporary space, and no correctness.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_private_and_goes_away() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::create().expect("a folder");
        let path = folder.0.clone();
        let mode = fs::metadata(&path).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o077, 0);
        drop(folder);
        assert!(!path.exists());
    }
}
