//! What the leaves of two trees say together. Pure; knows no rows.

use super::Leaf;

/// What two leaves say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafVerdict {
    /// The same rows, sources and values.
    Equal,
    /// Rows or sources differ: something is on its way.
    InFlight,
    /// The same rows and sources, and other values.
    Diverged,
}

impl LeafVerdict {
    /// The verdict on a leaf of each replica.
    #[must_use]
    pub fn of(here: &Leaf, there: &Leaf) -> Self {
        if (here.rows, here.sources) != (there.rows, there.sources) {
            Self::InFlight
        } else if here.values != there.values {
            Self::Diverged
        } else {
            Self::Equal
        }
    }
}

/// What two trees say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The leaves that differ, in order.
    pub differing: Vec<usize>,
    /// Rows that are in flight, at least.
    pub in_flight: u64,
    /// Rows with the same source and another value, at least.
    pub diverged: u64,
}

impl Compared {
    /// True where no row was found to differ.
    #[must_use]
    pub fn is_none(&self) -> bool {
        (self.in_flight, self.diverged) == (0, 0)
    }
}

impl std::ops::AddAssign<&Self> for Compared {
    /// Adds the counts; leaves are of one tree only.
    fn add_assign(&mut self, other: &Self) {
        self.in_flight += other.in_flight;
        self.diverged += other.diverged;
    }
}

/// Compares the leaves of two trees of the same number of leaves.
#[must_use]
pub fn compare_leaves(here: &[Leaf], there: &[Leaf]) -> Compared {
    let mut compared = Compared::default();
    for (i, (a, b)) in here.iter().zip(there).enumerate() {
        match LeafVerdict::of(a, b) {
            LeafVerdict::Equal => continue,
            LeafVerdict::InFlight => compared.in_flight += a.rows.abs_diff(b.rows).max(1),
            LeafVerdict::Diverged => compared.diverged += 1,
        }
        compared.differing.push(i);
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn leaf(rows: u64, sources: u64, values: u64) -> Leaf {
        Leaf { rows, sources, values }
    }

    #[test]
    fn equal_sources_with_other_values_are_a_divergence() {
        let here = [leaf(1, 2, 3), leaf(4, 5, 6), leaf(7, 8, 9), leaf(3, 1, 1)];
        let there = [leaf(1, 2, 3), leaf(4, 5, 7), leaf(7, 9, 9), leaf(9, 1, 1)];
        let found = compare_leaves(&here, &there);
        assert_eq!(found, Compared { differing: vec![1, 2, 3], in_flight: 1 + 6, diverged: 1 });
        assert_eq!(compare_leaves(&here, &here), Compared::default());
    }
}
