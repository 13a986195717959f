//! What the checkpoint of a segment says of its rows. The rest of a checkpoint is its writer's own
//! affair: how it goes on from there.
//!
//! # Definitions
//! A checkpoint begins with a word and a colon. `keys` and `fill`: a part of the only walk over the
//! rows that is made, in the order of their keys (`keys`), or in the order in which a backfill filled
//! them (`fill`). `again`: rows that may have come before; these are their present values, a NULL
//! for a cell that has become NULL. No other word is known to this version.
//!
//! # Invariants
//! A row may meet a walk twice where others give rows other keys meanwhile; then its key comes
//! `again` afterwards, unless its cell is a user's by then and travels by itself.

/// The words, and what they say.
const WORDS: [(&str, Coming); 3] =
    [("keys:", Coming::Once), ("fill:", Coming::Once), ("again:", Coming::Again)];

/// How the keys of a segment come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coming {
    /// Each once, unless it comes again later.
    Once,
    /// They may have come before.
    Again,
}

/// How the keys of a segment with this checkpoint come; `None` where this release does not know.
#[must_use]
pub fn coming(checkpoint: &str) -> Option<Coming> {
    WORDS.iter().find(|(word, _)| checkpoint.starts_with(word)).map(|(_, coming)| *coming)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_says_how_keys_come() {
        assert_eq!(coming("keys:0101"), Some(Coming::Once));
        assert_eq!(coming("fill:12:0101"), Some(Coming::Once));
        assert_eq!(coming("again:7"), Some(Coming::Again));
        assert_eq!(coming("again:fill:12:0101"), Some(Coming::Again));
        assert_eq!((coming("later:7"), coming("")), (None, None));
    }
}
