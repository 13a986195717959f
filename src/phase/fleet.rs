//! The list of the replicas whose acknowledgement a step needs: `fleet.toml` in the folder that
//! `--fleet` names.
//!
//! # Format
//! ```toml
//! [[replica]]
//! id = "8f2c6d0a1b3e4f5061728394a5b6c7d8"  # cr-sqlite's site id in hexadecimal digits, or a name
//!                                          # that `dotfill ack --replica` gives
//! name = "edge-3"                          # optional, for people
//! backups = "s3://backups/edge-3"          # optional, for people: where its backups go
//! ```
//! Ids are 1 to 64 of `a-z A-Z 0-9 . _ -`, do not begin with a dot, and are told apart without
//! regard to ASCII case, since they name files. Unknown keys are errors. At most 10,000 replicas.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::PhaseError;

/// The name of the list in the fleet's folder.
pub const FLEET_FILE: &str = "fleet.toml";

/// Bytes of the list, at most.
const BYTES_MAX: u64 = 4 << 20;
/// Replicas of the list, at most.
const REPLICAS_MAX: usize = 10_000;
/// Characters of an id, at most.
const ID_CHARS_MAX: usize = 64;

/// One replica whose acknowledgement is needed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredReplica {
    /// How its acknowledgements are called.
    pub id: String,
    /// How people call it.
    pub name: Option<String>,
    /// Where its backups go: a backup is a replica that comes back old.
    pub backups: Option<String>,
}

impl std::fmt::Display for RequiredReplica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} ({name})", self.id),
            None => f.write_str(&self.id),
        }
    }
}

/// The replicas of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The folder.
    pub folder: PathBuf,
    /// The replicas, in the order of the file; at least one.
    pub replicas: Vec<RequiredReplica>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetText {
    #[serde(default)]
    replica: Vec<RequiredReplica>,
}

impl Fleet {
    /// Reads the list of a fleet's folder.
    ///
    /// # Errors
    /// [`PhaseError::Io`] and [`PhaseError::BadFile`], naming the file and what to do.
    pub fn load(folder: &Path) -> Result<Self, PhaseError> {
        let path = folder.join(FLEET_FILE);
        let text = read_bounded(&path, BYTES_MAX, || {
            "write the list of replicas there: one [[replica]] with its id for each".to_owned()
        })?;
        let bad = |problem: String| PhaseError::BadFile {
            path: path.clone(),
            problem,
            remedy: "correct the list of replicas: one [[replica]] with its id for each".to_owned(),
        };
        let FleetText { replica } = toml::from_str(&text)
            .map_err(|error| bad(error.message().lines().collect::<Vec<_>>().join(" ")))?;
        if replica.is_empty() || replica.len() > REPLICAS_MAX {
            let count = replica.len();
            return Err(bad(format!("it lists {count} replicas, of 1 to {REPLICAS_MAX}")));
        }
        let mut seen = std::collections::HashSet::new();
        for one in &replica {
            check_id(&one.id).map_err(&bad)?;
            if !seen.insert(one.id.to_ascii_lowercase()) {
                return Err(bad(format!("it lists replica {:?} twice", one.id)));
            }
        }
        Ok(Self { folder: folder.to_owned(), replicas: replica })
    }

    /// True where the list has that id.
    #[must_use]
    pub fn lists(&self, id: &str) -> bool {
        self.replicas.iter().any(|replica| replica.id.eq_ignore_ascii_case(id))
    }
}

/// Reads a small text file.
pub(super) fn read_bounded(
    path: &Path,
    bytes_max: u64,
    remedy: impl Fn() -> String,
) -> Result<String, PhaseError> {
    use std::io::Read;
    let io =
        |source| PhaseError::Io { path: path.to_owned(), doing: "read", source, remedy: remedy() };
    let file = std::fs::File::open(path).map_err(io)?;
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > bytes_max {
        let problem = format!("it has more than {bytes_max} bytes");
        return Err(PhaseError::BadFile { path: path.to_owned(), problem, remedy: remedy() });
    }
    Ok(text)
}

/// Checks an id, which also names a file.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_id(id: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if id.is_empty() || id.len() > ID_CHARS_MAX || id.starts_with('.') || !id.chars().all(allowed) {
        return Err(format!(
            "replica id {id:?} is not 1 to {ID_CHARS_MAX} of a-z A-Z 0-9 . _ - beginning with no dot"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Fleet, PhaseError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FLEET_FILE), text).expect("written");
        Fleet::load(folder.path())
    }

    #[test]
    fn replicas_are_read_in_order() {
        let fleet = load(
            "[[replica]]\nid = \"a1\"\nname = \"edge\"\nbackups = \"/backup\"\n\
             [[replica]]\nid = \"b2\"\n",
        )
        .expect("a fleet");
        let shown: Vec<_> = fleet.replicas.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a1 (edge)", "b2"]);
        assert!(fleet.lists("A1") && !fleet.lists("c3"));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        let cases = [
            ("", "lists 0 replicas"),
            ("[[replica]]\nid = \"../x\"\n", "\"../x\" is not 1 to 64"),
            ("[[replica]]\nid = \"\"\n", "is not 1 to 64"),
            ("[[replica]]\nid = \"A\"\n[[replica]]\nid = \"a\"\n", "\"a\" twice"),
            ("[[replica]]\nid = \"a\"\nbackup = \"x\"\n", "unknown field `backup`"),
            ("replica = 7\n", "invalid type"),
        ];
        for (text, want) in cases {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains(want) && error.contains("fleet.toml"), "{error}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let error = Fleet::load(folder.path()).expect_err("no file").to_string();
        assert!(error.contains("write the list of replicas there"), "{error}");
    }
}
