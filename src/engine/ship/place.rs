//! How far the chain is with one change, as its checkpoints say it.
//!
//! # Definitions
//! `fill:<schema>:<position>`: every row through this position was looked at, in the order of the
//! fill. Where positions do not survive VACUUM, `schema` is the version of the schema that they hold
//! for, else 0. `again:fill:..`: the same in a walk that had to begin again. `again:<id>`: the walk is
//! done, and of the keys to ship again those through this id are.

use crate::split::Position;

/// A place in the walk over one change, or after it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Walk(Walk),
    /// The walk is done; keys through this id were shipped again.
    After(i64),
}

/// A place in the walk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Walk {
    /// The last row that was looked at.
    pub after: Option<Position>,
    /// The version of the schema that the position holds for; `None` where it holds for any.
    pub schema: Option<i64>,
    /// Rows may have come before: an earlier walk was not completed.
    pub again: bool,
}

impl Place {
    /// Reads a checkpoint; `None` where it is no run's.
    pub(super) fn read(checkpoint: &str) -> Option<Self> {
        let (again, rest) = match checkpoint.strip_prefix("again:") {
            Some(rest) => (true, rest),
            None => (false, checkpoint),
        };
        let Some(walk) = rest.strip_prefix("fill:") else {
            return rest.parse().ok().filter(|_| again).map(Self::After);
        };
        let (schema, position) = walk.split_once(':')?;
        let schema: i64 = schema.parse().ok()?;
        let after = Some(Position::from_text(position)?);
        Some(Self::Walk(Walk { after, schema: (schema != 0).then_some(schema), again }))
    }
}

impl Walk {
    /// The checkpoint; `None` before the first row.
    pub(super) fn checkpoint(&self) -> Option<String> {
        let again = if self.again { "again:" } else { "" };
        let position = self.after.as_ref()?.to_text();
        Some(format!("{again}fill:{}:{position}", self.schema.unwrap_or(0)))
    }
}

/// The checkpoint after keys through `id` were shipped again.
pub(super) fn after(id: i64) -> String {
    format!("again:{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Datum;
    use crate::delta::{Coming, coming};

    #[test]
    fn a_place_is_read_back_and_says_how_keys_come() {
        let position = Position(vec![Datum::Integer(7), Datum::Text(b"k".to_vec())]);
        for (schema, again) in [(None, false), (Some(12), false), (Some(12), true), (None, true)] {
            let walk = Walk { after: Some(position.clone()), schema, again };
            let text = walk.checkpoint().expect("a position");
            assert_eq!(Place::read(&text), Some(Place::Walk(walk)));
            let want = if again { Coming::Again } else { Coming::Once };
            assert_eq!(coming(&text), Some(want));
        }
        assert_eq!(Place::read(&after(9)), Some(Place::After(9)));
        assert_eq!(coming(&after(9)), Some(Coming::Again));
        for other in ["keys:0101", "9", "again:", "again:x", "fill:1", "fill:x:01", "fill:1:"] {
            assert_eq!(Place::read(other), None, "{other}");
        }
        assert_eq!(Walk::default().checkpoint(), None);
    }
}
