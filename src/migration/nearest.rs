//! The word that a typing mistake most likely meant. A leaf: two texts in, a distance out.

/// Words longer than this are no typing mistake of ours; it also bounds the work.
const WORD_BYTES_MAX: usize = 64;

/// The candidate nearest to `word`, if one is near enough to be suggested.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let edits_max = word.chars().count().div_ceil(3).min(2);
    let ranked = candidates.iter().map(|candidate| (distance(&lower, candidate), *candidate));
    let (edits, candidate) = ranked.min_by_key(|(edits, _)| *edits)?;
    (edits <= edits_max).then_some(candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `left` into `right`.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row; right.len() + 1];
        for column in 1..=right.len() {
            let differs = usize::from(left[row - 1] != right[column - 1]);
            let mut edits =
                (above[column - 1] + differs).min(above[column] + 1).min(current[column - 1] + 1);
            let swapped = row > 1
                && column > 1
                && left[row - 1] == right[column - 2]
                && left[row - 2] == right[column - 1];
            if swapped {
                edits = edits.min(before[column - 2] + 1);
            }
            current[column] = edits;
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}
