//! How far an export of one change was, as its segments keep it.

use std::fmt;

use crate::split::Position;

/// How the checkpoints of an export begin.
const BY_KEY: &str = "keys:";

/// Rows that are not in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub user: u64,
    pub noted: u64,
}

/// How far a change is exported, and what was left out up to there: a call that continues the
/// chain says of all of it what an uninterrupted one says, and cuts it at the same rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Checkpoint {
    pub through: Position,
    pub left_out: LeftOut,
    /// The end of the piece that `through` lies in, where it is not that end itself.
    pub piece: Option<Position>,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BY_KEY}{}", self.through.to_text())?;
        match (self.left_out, &self.piece) {
            (LeftOut { user: 0, noted: 0 }, None) => Ok(()),
            (LeftOut { user, noted }, None) => write!(f, " {user} {noted}"),
            (LeftOut { user, noted }, Some(end)) => {
                write!(f, " {user} {noted} {}", end.to_text())
            }
        }
    }
}

impl Checkpoint {
    /// Reads what [`fmt::Display`] wrote; `None` where it is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix(BY_KEY)?.split(' ');
        let through = Position::from_text(words.next()?)?;
        let mut count = || words.next().map_or(Some(0), |word| word.parse().ok());
        let left_out = LeftOut { user: count()?, noted: count()? };
        let piece = match words.next() {
            Some(end) => Some(Position::from_text(end)?),
            None => None,
        };
        words.next().is_none().then_some(Self { through, left_out, piece })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Datum;

    #[test]
    fn it_is_read_as_it_was_written() {
        let through = Position(vec![Datum::Integer(-7), Datum::Text(b"a b".to_vec())]);
        let plain = Checkpoint { through, left_out: LeftOut::default(), piece: None };
        let more = Checkpoint { left_out: LeftOut { user: 3, noted: 0 }, ..plain.clone() };
        let end = Some(Position(vec![Datum::Integer(3), Datum::Null]));
        let within = Checkpoint { piece: end.clone(), ..plain.clone() };
        let both = Checkpoint { piece: end, ..more.clone() };
        for checkpoint in [&plain, &more, &within, &both] {
            assert_eq!(Checkpoint::parse(&checkpoint.to_string()).as_ref(), Some(checkpoint));
        }
        for other in [
            "",
            "keys:",
            "keys:zz",
            &format!("{plain} x"),
            &format!("{more} 1"),
            &format!("{both} 01"),
        ] {
            assert_eq!(Checkpoint::parse(other), None, "{other}");
        }
    }
}
