//! The name of a migration. Owns its alphabet, nothing else.

use std::fmt;

use serde::Serialize;

use super::error::quoted;

/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 64;

/// The name of a migration: 1 to 64 characters of `a-z`, `0-9` and `-`.
///
/// Safe to put into SQL literals, file names and messages without quoting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct MigrationId(String);

impl MigrationId {
    /// Checks and wraps `id`.
    ///
    /// # Errors
    /// [`MigrationIdError`] when `id` is empty, too long or holds another character.
    pub fn new(id: &str) -> Result<Self, MigrationIdError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed) {
            Ok(Self(id.to_owned()))
        } else {
            Err(MigrationIdError { id: id.to_owned() })
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is no [`MigrationId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no migration id; write 1 to 64 characters of a-z, 0-9 and -", quoted(.id))]
pub struct MigrationIdError {
    /// The text that was refused.
    pub id: String,
}
