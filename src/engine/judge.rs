//! What two replicas' proofs and the comparison of their trees say together. Pure.

use super::Verdict;
use crate::verify::{Compared, DigestReport};

/// Two replicas, each with its name for people.
pub(super) struct Pair<'p> {
    /// The replica that was named first.
    pub here: (&'p str, &'p DigestReport),
    /// The one that it is compared with.
    pub there: (&'p str, &'p DigestReport),
    /// Why keys and cells alone were compared, where they were.
    pub values_only: Option<String>,
}

/// A verdict with what is to be said of it.
#[derive(Debug, PartialEq)]
pub(super) struct Judged {
    pub verdict: Verdict,
    /// Why the two are not equal, and what to do.
    pub reason: Option<String>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// Judges. Where not `exact`, the counts are lower bounds.
pub(super) fn judge(pair: &Pair<'_>, compared: &Compared, exact: bool) -> Judged {
    let (verdict, reason) = match diverged(pair, compared, exact) {
        Some(reason) => (Verdict::Diverged, Some(reason)),
        None if compared.in_flight > 0 => {
            (Verdict::Inconclusive, Some(in_flight(pair, compared, exact)))
        }
        None => (Verdict::Equal, None),
    };
    Judged { verdict, reason, notes: notes(pair) }
}

/// True where sources are not followed: what differs may have been right once.
fn is_closed(report: &DigestReport) -> bool {
    matches!(report.phase.as_str(), "closed" | "applied")
}

/// Why the replicas have diverged, where they have: a local proof fails, or equal sources have
/// different values.
fn diverged(pair: &Pair<'_>, compared: &Compared, exact: bool) -> Option<String> {
    let id = &pair.here.1.migration;
    let failing: Vec<String> = [pair.here, pair.there]
        .into_iter()
        .filter(|(_, report)| report.rows_different > 0 && !is_closed(report))
        .map(|(name, report)| {
            let rows = rows(report.rows_different);
            format!(
                "{name} has {rows} without the derived value: `dotfill run {id}` there derives \
                 again"
            )
        })
        .collect();
    if !failing.is_empty() {
        return Some(failing.join("; "));
    }
    if compared.diverged == 0 {
        return None;
    }
    let what = match pair.values_only {
        Some(_) => "with different values",
        None => "with equal sources and different values",
    };
    let found = counted(compared.diverged, exact, what);
    let closed: Vec<&str> = [pair.here, pair.there]
        .into_iter()
        .filter(|(_, report)| is_closed(report))
        .map(|(name, _)| name)
        .collect();
    let remedy = if pair.values_only.is_some() {
        format!(
            "have `--diff` list them, `dotfill export {id} --only` that list on the replica that \
             derives, and `dotfill apply` on the other"
        )
    } else if closed.is_empty() {
        format!(
            "each replica holds what it derives: `dotfill run {id}` with the same release of \
             dotfill on both, and compare again"
        )
    } else {
        format!(
            "rows are not followed in {}, where it is closed or was applied from deltas: `dotfill \
             forget {id}` and `dotfill run` derive them again; or have `--diff` list them, `dotfill \
             export {id} --only` that list on the replica that is right, and `dotfill apply` there",
            closed.join(" and ")
        )
    };
    Some(format!("{found}; {remedy}"))
}

fn in_flight(pair: &Pair<'_>, compared: &Compared, exact: bool) -> String {
    let id = &pair.here.1.migration;
    let noted: Vec<String> = [pair.here, pair.there]
        .into_iter()
        .filter(|(_, report)| report.rows_pending > 0)
        .map(|(name, report)| format!("{} noted in {name}", report.rows_pending))
        .collect();
    let noted = if noted.is_empty() { String::new() } else { format!(" ({})", noted.join(", ")) };
    format!(
        "{}{noted}: let the replicas exchange their changes, `dotfill run {id}` on each, and \
         compare again",
        counted(compared.in_flight, exact, "in flight")
    )
}

fn counted(n: u64, exact: bool, what: &str) -> String {
    format!("{}{} {what}", if exact { "" } else { "at least " }, rows(n))
}

fn rows(n: u64) -> String {
    format!("{n} {}", if n == 1 { "row" } else { "rows" })
}

fn notes(pair: &Pair<'_>) -> Vec<String> {
    let (here, there) = (pair.here.1, pair.there.1);
    let mut notes: Vec<String> =
        pair.values_only.iter().map(|why| format!("keys and values alone: {why}")).collect();
    let mut versions = |what: &str, one: &str, other: &str| {
        if one != other {
            notes.push(format!("{what} by {one} here and by {other} there"));
        }
    };
    versions("the digests were made", &release(here), &release(there));
    if let (Some(one), Some(other)) = (&here.proof_sqlite_version, &there.proof_sqlite_version) {
        versions("the rows were filled", &format!("SQLite {one}"), &format!("SQLite {other}"));
    }
    for (name, report) in [pair.here, pair.there] {
        if is_closed(report) && report.rows_different > 0 {
            notes.push(format!(
                "{name} is {}: {} not derived from the source of now, and it may not be known \
                 whose the cells are",
                report.phase,
                rows(report.rows_different)
            ));
        }
    }
    notes
}

fn release(report: &DigestReport) -> String {
    format!("dotfill {} with SQLite {}", report.dotfill_version, report.sqlite_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(phase: &str, different: u64, pending: u64, sqlite: &str) -> DigestReport {
        DigestReport {
            format: DigestReport::format(),
            migration: "m".to_owned(),
            migration_digest: String::new(),
            phase: phase.to_owned(),
            rows: 10,
            rows_pending: pending,
            rows_different: different,
            rows_skipped: 0,
            digest: String::new(),
            sources_digest: String::new(),
            dotfill_version: "0.1.0".to_owned(),
            sqlite_version: sqlite.to_owned(),
            proof_sqlite_version: None,
            changes: Vec::new(),
        }
    }

    fn of(here: &DigestReport, there: &DigestReport, flight: u64, diverged: u64) -> Judged {
        let compared = Compared { differing: Vec::new(), in_flight: flight, diverged };
        judge(
            &Pair { here: ("a.db", here), there: ("b.db", there), values_only: None },
            &compared,
            false,
        )
    }

    #[track_caller]
    fn says(judged: &Judged, verdict: Verdict, words: &[&str]) {
        assert_eq!(judged.verdict, verdict, "{judged:?}");
        let text = format!("{:?} {:?}", judged.reason, judged.notes);
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }

    #[test]
    fn a_failing_local_proof_on_either_side_is_a_divergence() {
        let (good, bad) = (report("open", 0, 0, "3"), report("open", 2, 0, "3"));
        says(&of(&good, &good, 0, 0), Verdict::Equal, &[]);
        says(&of(&bad, &good, 9, 0), Verdict::Diverged, &["a.db has 2 rows", "`dotfill run m`"]);
        says(&of(&good, &bad, 9, 0), Verdict::Diverged, &["b.db has 2 rows"]);
    }

    #[test]
    fn a_closed_migration_follows_no_rows_and_fails_no_proof() {
        let (open, closed) = (report("open", 0, 0, "3"), report("closed", 2, 0, "3"));
        says(&of(&open, &closed, 0, 0), Verdict::Equal, &["b.db is closed: 2 rows"]);
        says(
            &of(&open, &closed, 0, 1),
            Verdict::Diverged,
            &["not followed in b.db", "dotfill forget m", "dotfill export m --only"],
        );
    }

    #[test]
    fn rows_in_flight_leave_it_open() {
        let (a, b) = (report("open", 0, 0, "3"), report("open", 0, 4, "3"));
        let words = ["at least 7 rows in flight", "4 noted in b.db", "compare again"];
        says(&of(&a, &b, 7, 0), Verdict::Inconclusive, &words);
        says(&of(&a, &b, 7, 1), Verdict::Diverged, &["at least 1 row with equal sources"]);
    }

    #[test]
    fn other_versions_are_told() {
        let (a, b) = (report("open", 0, 0, "3.50.0"), report("open", 0, 0, "3.54.1"));
        says(&of(&a, &b, 0, 0), Verdict::Equal, &["SQLite 3.50.0 here", "SQLite 3.54.1 there"]);
    }
}
