//! Everything that was measured in one call.

use crate::deltas::Deltas;
use crate::interference::Felt;
use crate::machine::Machine;
use crate::rounds::{Fate, Standing};

/// The results, part by part; a part that was not asked for is absent.
#[derive(Debug)]
pub struct Results {
    /// When and on what.
    pub machine: Machine,
    /// Rows of each table.
    pub rows: u64,
    /// Rounds.
    pub repeat: u32,
    /// The parts in which contestants take turns.
    pub turns: Vec<Turns>,
    /// What other writers felt.
    pub foreground: Option<Vec<Felt>>,
    /// The share of the machine that others kept busy during the foreground part.
    pub foreground_others: f64,
    /// The part about deltas.
    pub deltas: Option<Deltas>,
}

/// A part in which contestants take turns.
#[derive(Debug)]
pub struct Turns {
    /// Its heading.
    pub title: String,
    /// Its contestants; the first is the base line.
    pub standings: Vec<Standing>,
    /// The share of the machine that others kept busy meanwhile.
    pub others: f64,
}

impl Results {
    /// The contestant of this id, if it was asked to take part.
    pub fn standing(&self, id: &str) -> Option<&Standing> {
        let mut all = self.turns.iter().flat_map(|turns| &turns.standings);
        all.find(|standing| standing.contestant.id == id)
    }

    /// The foreground scene of this id, if it was played.
    pub fn felt(&self, id: &str) -> Option<&Felt> {
        self.foreground.iter().flatten().find(|felt| felt.scene.id == id)
    }

    /// Whether anyone said it was done and left wrong data.
    pub fn anyone_wrong(&self) -> bool {
        let turns = self.turns.iter().flat_map(|turns| &turns.standings).map(|s| &s.fate);
        let felt = self.foreground.iter().flatten().map(|felt| &felt.fate);
        turns.chain(felt).any(|fate| matches!(fate, Fate::Wrong(_)))
            || self.deltas.as_ref().is_some_and(Deltas::anyone_wrong)
    }
}
