//! The folder that the demo works in.

use std::path::{Path, PathBuf};

use super::DemoError;

/// Tries to find a name that nobody uses.
const TRIES: u32 = 100;

/// A folder of the caller's, which stays, or a temporary one, which goes.
pub(super) struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// Makes the folder; a temporary one where `kept` names none.
    pub(super) fn create(kept: Option<&Path>) -> Result<Self, DemoError> {
        let Some(kept) = kept else { return Self::temporary() };
        std::fs::create_dir_all(kept).map_err(|source| failed(kept, "create", source))?;
        Ok(Self { path: kept.to_owned(), temporary: false })
    }

    fn temporary() -> Result<Self, DemoError> {
        let root = std::env::temp_dir();
        for n in 0..TRIES {
            let path = root.join(format!("dotfill-demo-{}-{n}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, temporary: true }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(failed(&path, "create", source)),
            }
        }
        Err(DemoError::Occupied { path: root })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes a temporary folder with all that is in it.
    pub(super) fn finish(self) -> Result<(), DemoError> {
        if !self.temporary {
            return Ok(());
        }
        std::fs::remove_dir_all(&self.path).map_err(|source| failed(&self.path, "remove", source))
    }
}

fn failed(path: &Path, doing: &'static str, source: std::io::Error) -> DemoError {
    DemoError::Io { path: path.to_owned(), doing, source }
}
