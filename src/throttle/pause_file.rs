//! The signal `pause-file`: the job pauses while a file exists, whatever is in it.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use super::{Moment, Pause, Throttle, Verdict, Work};

/// How soon to look again; a person who removes the file should not have to wait.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A file whose existence pauses the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseFile {
    path: PathBuf,
}

impl PauseFile {
    /// Watches `path`; relative to the directory that the job was started in.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn pause(&self, what: &str) -> Verdict {
        Verdict::Pause(Pause {
            signal: "pause-file".to_owned(),
            seen: format!("{} {what}", self.path.display()),
            limit: String::new(),
            wait: LOOK_AGAIN,
        })
    }
}

impl Throttle for PauseFile {
    /// A symbolic link counts as the file, wherever it leads. A missing directory holds no file;
    /// one that may not be searched could, and pauses.
    fn check(&mut self, _: Moment, _: &Work) -> Verdict {
        match fs::symlink_metadata(&self.path) {
            Ok(_) => self.pause("exists"),
            Err(error) if error.kind() == ErrorKind::NotFound => Verdict::Go,
            Err(error) => self.pause(&format!("cannot be looked for: {error}")),
        }
    }
}
