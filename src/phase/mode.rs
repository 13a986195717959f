//! Which mode may follow which. One step forward at a time, by `advance`; back by `rollback`, as far
//! as what was written since allows. Owns no database and no condition of a step.

use crate::state::Mode;

/// One step forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To `read-new-write-old`: applications may read the new form.
    ReadNew,
    /// To `read-new-write-both`: applications may write the new form beside the old one.
    WriteBoth,
    /// To `read-new-write-new`: the epoch is closed, for all objects or for a share of them.
    WriteNew,
    /// To `compact-old`: the old form is removed.
    CompactOld,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 4] = [Self::ReadNew, Self::WriteBoth, Self::WriteNew, Self::CompactOld];

    /// The mode that it starts from.
    #[must_use]
    pub const fn from(self) -> Mode {
        match self {
            Self::ReadNew => Mode::ReadOldWriteOld,
            Self::WriteBoth => Mode::ReadNewWriteOld,
            Self::WriteNew => Mode::ReadNewWriteBoth,
            Self::CompactOld => Mode::ReadNewWriteNew,
        }
    }

    /// The mode that it leads to.
    #[must_use]
    pub const fn to(self) -> Mode {
        match self {
            Self::ReadNew => Mode::ReadNewWriteOld,
            Self::WriteBoth => Mode::ReadNewWriteBoth,
            Self::WriteNew => Mode::ReadNewWriteNew,
            Self::CompactOld => Mode::CompactOld,
        }
    }
}

/// What asking for a mode means, seen from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It is the mode already.
    Stay,
    /// The next mode.
    Forward(Step),
    /// A later mode, behind others that come first.
    TooFar {
        /// The mode that comes next.
        next: Mode,
    },
    /// An earlier mode: `rollback` goes there.
    Back,
}

/// What it means to go from one mode to another.
#[must_use]
pub const fn movement(from: Mode, to: Mode) -> Move {
    use Mode::{CompactOld, ReadNewWriteBoth, ReadNewWriteNew, ReadNewWriteOld, ReadOldWriteOld};
    match (from, to) {
        (ReadOldWriteOld, ReadOldWriteOld)
        | (ReadNewWriteOld, ReadNewWriteOld)
        | (ReadNewWriteBoth, ReadNewWriteBoth)
        | (ReadNewWriteNew, ReadNewWriteNew)
        | (CompactOld, CompactOld) => Move::Stay,
        (ReadOldWriteOld, ReadNewWriteOld) => Move::Forward(Step::ReadNew),
        (ReadNewWriteOld, ReadNewWriteBoth) => Move::Forward(Step::WriteBoth),
        (ReadNewWriteBoth, ReadNewWriteNew) => Move::Forward(Step::WriteNew),
        (ReadNewWriteNew, CompactOld) => Move::Forward(Step::CompactOld),
        (ReadOldWriteOld, ReadNewWriteBoth | ReadNewWriteNew | CompactOld) => {
            Move::TooFar { next: ReadNewWriteOld }
        }
        (ReadNewWriteOld, ReadNewWriteNew | CompactOld) => Move::TooFar { next: ReadNewWriteBoth },
        (ReadNewWriteBoth, CompactOld) => Move::TooFar { next: ReadNewWriteNew },
        (ReadNewWriteOld, ReadOldWriteOld)
        | (ReadNewWriteBoth, ReadOldWriteOld | ReadNewWriteOld)
        | (ReadNewWriteNew, ReadOldWriteOld | ReadNewWriteOld | ReadNewWriteBoth)
        | (CompactOld, ReadOldWriteOld | ReadNewWriteOld | ReadNewWriteBoth | ReadNewWriteNew) => {
            Move::Back
        }
    }
}

/// True where the new form is authoritative for every object: nothing is derived from the old one.
#[must_use]
pub const fn is_closed(mode: Mode) -> bool {
    match mode {
        Mode::ReadOldWriteOld | Mode::ReadNewWriteOld | Mode::ReadNewWriteBoth => false,
        Mode::ReadNewWriteNew | Mode::CompactOld => true,
    }
}

/// The mode of that name.
#[must_use]
pub fn from_name(name: &str) -> Option<Mode> {
    Mode::ALL.into_iter().find(|mode| mode.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: from; columns: to. `=` stay, `>` forward, `.` too far, `<` back.
    const TABLE: [&str; 5] = ["=>...", "<=>..", "<<=>.", "<<<=>", "<<<<="];

    #[test]
    fn the_table_of_transitions_is_complete() {
        for (from, row) in Mode::ALL.into_iter().zip(TABLE) {
            for (to, want) in Mode::ALL.into_iter().zip(row.chars()) {
                let got = match movement(from, to) {
                    Move::Stay => '=',
                    Move::Forward(step) => {
                        assert_eq!((step.from(), step.to()), (from, to));
                        '>'
                    }
                    Move::TooFar { next } => {
                        assert!(matches!(movement(from, next), Move::Forward(_)), "{from} {to}");
                        '.'
                    }
                    Move::Back => '<',
                };
                assert_eq!(got, want, "{from} to {to}");
            }
        }
    }

    #[test]
    fn steps_lead_from_the_first_mode_to_the_last() {
        let mut mode = Mode::default();
        for step in Step::ALL {
            assert_eq!(step.from(), mode);
            mode = step.to();
        }
        assert_eq!(mode, Mode::CompactOld);
        for mode in Mode::ALL {
            assert_eq!(from_name(mode.as_str()), Some(mode));
        }
        assert_eq!(from_name("read-new"), None);
    }
}
