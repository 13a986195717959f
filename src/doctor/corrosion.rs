//! What the Corrosion agent of the database is stuck with, and what heals it.
//!
//! Live traffic leaves parts of versions and gaps behind for some milliseconds. What counts is what
//! stays the same while doctor looks twice.
//!
//! What heals each of them was read off the crates klukai-agent 0.1.4 and klukai 0.1.4 (a column that
//! the node lacked, as a gap and as a whole version, was also tried on real agents): a version
//! that is there whole is applied once, in a transaction that ends after `perf.sql_tx_timeout`, and
//! again only when the agent starts; missing parts and gaps are asked for in every sync with peers;
//! a version that failed while it was applied is dropped when it comes again, until the agent
//! restarts; `corrosion sync reconcile-gaps` joins the rows of gaps and fetches nothing.

use std::time::Duration;

use rusqlite::Connection;

use super::{Finding, Patient};
use crate::db::{self, Access, DbError};
use crate::layout::corrosion::{Backlog, Gap, PartVersion, gaps, part_versions};

/// The time between the two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Versions, and actors with gaps, that have a finding of their own.
const NAMED_MAX: usize = 10;
/// Ranges that a finding names.
const RANGES_MAX: usize = 5;

/// What waits at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    versions: Vec<PartVersion>,
    gaps: Vec<Gap>,
}

impl Look {
    fn at(conn: &Connection) -> Result<Self, DbError> {
        Ok(Self { versions: part_versions(conn)?, gaps: gaps(conn)? })
    }

    fn len(&self) -> usize {
        self.versions.len() + self.gaps.len()
    }

    /// What `later` has too, unchanged.
    fn kept(mut self, later: &Self) -> Self {
        self.versions.retain(|version| later.versions.contains(version));
        self.gaps.retain(|gap| later.gaps.contains(gap));
        self
    }
}

pub(super) fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, DbError> {
    if !patient.environment.corrosion {
        return Ok(Vec::new());
    }
    let first = Look::at(&patient.conn)?;
    let later = if first.len() == 0 {
        Look::default()
    } else {
        std::thread::sleep(LOOK_AGAIN);
        Look::at(&db::open(patient.db, Access::Read)?)?
    };
    let mut findings = judge(first, &later);
    let unknown = Backlog::read(&patient.conn)?.unknown;
    if !unknown.is_empty() {
        findings.push(Finding::ok(
            "corrosion",
            format!(
                "this release of the agent has no {}, or another one: what waits there is not seen",
                unknown.join(", no ")
            ),
        ));
    }
    Ok(findings)
}

fn judge(first: Look, later: &Look) -> Vec<Finding> {
    let seen = first.len();
    let stuck = first.kept(later);
    let moving = seen - stuck.len();
    if seen == 0 {
        let detail = "the agent has applied all that it has received, and knows of no gap";
        return vec![Finding::ok("corrosion", detail)];
    }
    let mut findings = Vec::new();
    if moving > 0 {
        let detail =
            format!("the agent is at work: {moving} of {seen} waiting things have changed");
        findings.push(Finding::ok("corrosion", detail));
    }
    let (applied, waiting): (Vec<_>, Vec<_>) =
        stuck.versions.into_iter().partition(|version| version.missing.is_none());
    findings.extend(cleared(&applied));
    findings.extend(named(&waiting, version));
    findings.extend(named(&stuck.gaps, gap));
    findings
}

/// A finding for each of the first, and one for all the others.
fn named<T>(all: &[T], finding: impl Fn(&T) -> Finding) -> Vec<Finding> {
    let mut findings: Vec<Finding> = all.iter().take(NAMED_MAX).map(&finding).collect();
    if let Some(last) = all.get(NAMED_MAX).map(finding) {
        let more = all.len() - NAMED_MAX;
        let detail = format!("and {more} more, of which this is the first: {}", last.detail);
        findings.push(Finding { detail, ..last });
    }
    findings
}

/// Rows of versions that were applied.
fn cleared(applied: &[PartVersion]) -> Option<Finding> {
    let rows: u64 = applied.iter().map(|version| version.buffered_changes).sum();
    (rows > 0).then(|| {
        Finding::ok(
            "corrosion",
            format!(
                "{rows} buffered changes have no bookkeeping: they were applied, and the agent \
                 clears 1000 of them every two seconds; after a restart they just stay, and harm \
                 nothing"
            ),
        )
    })
}

fn version(version: &PartVersion) -> Finding {
    let what = format!("version {} of actor {}", version.version, version.actor);
    let changes = version.buffered_changes;
    if !version.unknown.is_empty() {
        return Finding::wrong(
            what,
            format!(
                "{changes} buffered changes; they name what this node lacks ({}), so that applying \
                 them fails",
                version.unknown.join(", ")
            ),
            "add it to the schema files of this node and reload the agent (`corrosion reload`), \
             then restart the agent: it applies what it has whole when it starts"
                .to_owned(),
        );
    }
    if version.is_whole() {
        return Finding::owed(
            what,
            format!(
                "{changes} buffered changes, all that there are, and not applied: the agent is at \
                 it, or has given up (after perf.sql_tx_timeout, by default 60 s, or for an error \
                 that its log names, such as a column that this node lacked then)"
            ),
            "repeat `dotfill doctor` in a minute; if it is still there, restart the agent, which \
             applies it when it starts; if its log then says \"could not apply fully buffered \
             changes\", raise perf.sql_tx_timeout in its configuration and restart it again"
                .to_owned(),
        );
    }
    let missing = version.missing.as_deref().unwrap_or_default();
    Finding::owed(
        what,
        format!("{changes} buffered changes; parts are missing: seq {}", ranges(missing)),
        peers("every sync with a peer asks for them"),
    )
}

fn gap(gap: &Gap) -> Finding {
    let versions: i64 =
        gap.ranges.iter().map(|(start, end)| end.saturating_sub(*start).saturating_add(1)).sum();
    Finding::owed(
        format!("gaps of actor {}", gap.actor),
        format!("{versions} versions are missing: {}", ranges(&gap.ranges)),
        format!(
            "{}; where a peer has them and the gap stays, applying them has failed here (the \
             agent's log says why; often a column that this node lacked): put that right, then \
             restart the agent, which takes no failed version again before",
            peers("every sync with a peer asks for them")
        ),
    )
}

fn peers(how: &str) -> String {
    format!(
        "{how}: `corrosion cluster members` shows whether peers are reachable, `corrosion sync \
         generate` what is asked for"
    )
}

/// `3-4, 9, and 2 more ranges`.
fn ranges(all: &[(i64, i64)]) -> String {
    let range = |(start, end): &(i64, i64)| {
        if start == end { start.to_string() } else { format!("{start}-{end}") }
    };
    let mut parts: Vec<String> = all.iter().take(RANGES_MAX).map(range).collect();
    if all.len() > RANGES_MAX {
        parts.push(format!("and {} more ranges", all.len() - RANGES_MAX));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Severity, is_healthy};

    fn part(version: i64, missing: Option<&[(i64, i64)]>) -> PartVersion {
        PartVersion {
            actor: "a-b".to_owned(),
            version,
            buffered_changes: 3,
            missing: missing.map(<[_]>::to_vec),
            unknown: Vec::new(),
        }
    }

    fn stuck(versions: Vec<PartVersion>, gaps: Vec<Gap>) -> Vec<Finding> {
        let look = Look { versions, gaps };
        judge(look.clone(), &look)
    }

    #[track_caller]
    fn says(finding: &Finding, severity: Severity, detail: &[&str], next: &[&str]) {
        assert_eq!(finding.severity, severity, "{finding:?}");
        for word in detail {
            assert!(format!("{}: {}", finding.what, finding.detail).contains(word), "{finding:?}");
        }
        for word in next {
            assert!(finding.next.as_deref().unwrap_or_default().contains(word), "{finding:?}");
        }
    }

    #[test]
    fn nothing_waiting_is_one_healthy_line() {
        let findings = stuck(Vec::new(), Vec::new());
        assert!(findings.len() == 1 && is_healthy(&findings), "{findings:?}");
    }

    #[test]
    fn what_changes_between_two_looks_is_work_and_not_a_finding() {
        let first = Look { versions: vec![part(7, Some(&[(3, 4)]))], gaps: Vec::new() };
        let later = Look { versions: vec![part(7, Some(&[(4, 4)]))], gaps: Vec::new() };
        let findings = judge(first, &later);
        assert!(findings.len() == 1 && is_healthy(&findings), "{findings:?}");
        assert!(findings[0].detail.contains("at work"));
    }

    #[test]
    fn a_version_in_part_names_its_missing_ranges() {
        let missing = [(3, 4), (7, 7), (9, 9), (11, 11), (13, 13), (15, 15)];
        let found = stuck(vec![part(7, Some(&missing))], Vec::new());
        let words = ["version 7 of actor a-b", "3 buffered", "seq 3-4, 7, 9", "1 more range"];
        says(&found[0], Severity::Owed, &words, &["corrosion sync generate"]);
    }

    #[test]
    fn a_whole_version_is_applied_by_a_restart() {
        let found = stuck(vec![part(7, Some(&[]))], Vec::new());
        says(&found[0], Severity::Owed, &["not applied"], &["restart", "perf.sql_tx_timeout"]);
    }

    #[test]
    fn a_version_for_a_column_that_is_not_here_is_wrong() {
        let unknown = vec!["column machines.owner".to_owned()];
        let found = stuck(vec![PartVersion { unknown, ..part(7, Some(&[])) }], Vec::new());
        says(
            &found[0],
            Severity::Wrong,
            &["column machines.owner"],
            &["corrosion reload", "restart"],
        );
    }

    #[test]
    fn rows_of_applied_versions_are_healthy() {
        let found = stuck(vec![part(7, None), part(8, None)], Vec::new());
        assert!(found.len() == 1 && is_healthy(&found), "{found:?}");
        assert!(found[0].detail.starts_with("6 buffered changes"));
    }

    #[test]
    fn gaps_are_owed_for_each_actor_and_a_long_list_is_cut() {
        let gap = |n: i64| Gap { actor: format!("a-{n}"), ranges: vec![(3, 4), (9, 9)] };
        let found = stuck(Vec::new(), (0..12).map(gap).collect());
        assert_eq!(found.len(), NAMED_MAX + 1);
        says(&found[0], Severity::Owed, &["actor a-0", "3 versions", "3-4, 9"], &["restart"]);
        says(&found[NAMED_MAX], Severity::Owed, &["and 2 more"], &[]);
    }
}
