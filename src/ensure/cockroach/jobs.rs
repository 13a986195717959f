//! Jobs of `CockroachDB`: which one builds an index, and what its status means. Pure.
//!
//! A schema change is a job: `CREATE INDEX` returns when its job has ended, but `CREATE INDEX IF
//! NOT EXISTS` of a second caller returns at once while the first one's job still runs, and may yet
//! fail and be reverted.

use crate::ensure::decide::Builder;
use crate::monitor::IndexProgress;

/// One row of `SHOW JOBS`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// The statement that began it.
    pub description: String,
    /// Such as `running`.
    pub status: String,
    /// From 0 to 1.
    pub fraction: f64,
}

/// What a job is doing for an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It builds, or is going to.
    Building,
    /// It does nothing until somebody says so.
    Paused,
    /// It has failed, and is being taken back.
    Reverting,
    /// It could not be taken back: somebody has to.
    Stuck,
    /// It has ended, one way or the other.
    Over,
}

impl Job {
    /// What its status means. One that is not known may be building.
    #[must_use]
    pub fn course(&self) -> Course {
        match self.status.as_str() {
            "succeeded" | "failed" | "canceled" => Course::Over,
            "paused" | "pause-requested" => Course::Paused,
            "reverting" | "retry-reverting" | "cancel-requested" => Course::Reverting,
            "revert-failed" => Course::Stuck,
            _ => Course::Building,
        }
    }

    /// Whether it builds `index` on `table`. A name in its description is quoted only where it must
    /// be, and a table may be told with its schema and database.
    #[must_use]
    pub fn builds(&self, index: &str, table: &str) -> bool {
        let Some((_, rest)) = self.description.split_once("INDEX ") else { return false };
        let rest = rest.trim_start_matches("CONCURRENTLY ").trim_start_matches("IF NOT EXISTS ");
        if !self.description.starts_with("CREATE ") {
            return false;
        }
        let Some((name, rest)) = name(rest) else { return false };
        let Some(mut rest) = rest.trim_start().strip_prefix("ON ") else { return false };
        let mut last = None;
        while let Some((part, more)) = self::name(rest.trim_start()) {
            last = Some(part);
            match more.strip_prefix('.') {
                Some(more) => rest = more,
                None => break,
            }
        }
        name == index && last.as_deref() == Some(table)
    }

    /// Who builds, for a decision; `None` where it does not.
    #[must_use]
    pub fn builder(&self) -> Option<Builder> {
        let what = match self.course() {
            Course::Over | Course::Stuck => return None,
            Course::Building => "",
            Course::Paused => ", which is paused: RESUME JOB continues it",
            Course::Reverting => ", which has failed and is being taken back",
        };
        Some(Builder { name: format!("job {}{what}", self.id), certain: true })
    }

    /// How far it is.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    pub fn progress(&self, index: &str) -> IndexProgress {
        IndexProgress {
            index: index.to_owned(),
            by: format!("job {}", self.id),
            phase: self.status.clone(),
            done: (self.fraction.clamp(0.0, 1.0) * 1000.0) as u64,
            total: 1000,
            unit: "parts",
            waits: None,
        }
    }
}

/// The first name of a text, unquoted, and what comes after it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!word.is_empty()).then(|| (word.to_owned(), rest));
    };
    let mut out = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        out += part;
        // A quote inside a name is doubled.
        match after.strip_prefix('"') {
            Some(more) => {
                out.push('"');
                rest = more;
            }
            None => return Some((out, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(description: &str, status: &str) -> Job {
        let (description, status) = (description.to_owned(), status.to_owned());
        Job { id: 812, description, status, fraction: 0.43 }
    }

    #[test]
    fn a_job_is_known_by_its_statement() {
        let builds = |text: &str| job(text, "running").builds("users_email", "users");
        assert!(builds("CREATE INDEX users_email ON defaultdb.public.users (email)"));
        assert!(builds("CREATE UNIQUE INDEX users_email ON users (lower(email))"));
        assert!(builds("CREATE UNIQUE INDEX IF NOT EXISTS users_email ON public.users (email)"));
        assert!(builds("CREATE INDEX CONCURRENTLY \"users_email\" ON \"users\" (email)"));
        assert!(!builds("CREATE INDEX users_email2 ON users (email)"));
        assert!(!builds("CREATE INDEX other ON users (users_email)"));
        assert!(!builds("CREATE INDEX users_email ON users.other (email)"));
        assert!(!builds("DROP INDEX users@users_email"));
        assert!(!builds("GC for DROP INDEX users_email ON users"));
        assert!(!builds("CREATE STATISTICS users_email ON users"));
        let odd = job("CREATE INDEX \"a \"\"b\" ON d.s.\"t.1\" (x)", "running");
        assert!(odd.builds("a \"b", "t.1"));
        for cut in ["CREATE INDEX \"a", "CREATE INDEX ", "CREATE INDEX a", "CREATE INDEX a ON", ""]
        {
            assert!(!job(cut, "running").builds("a", "t"), "{cut}");
        }
    }

    #[test]
    fn every_documented_status_has_a_meaning() {
        let cases = [
            ("pending", Course::Building),
            ("running", Course::Building),
            ("retry-running", Course::Building),
            ("paused", Course::Paused),
            ("pause-requested", Course::Paused),
            ("cancel-requested", Course::Reverting),
            ("reverting", Course::Reverting),
            ("retry-reverting", Course::Reverting),
            ("revert-failed", Course::Stuck),
            ("succeeded", Course::Over),
            ("failed", Course::Over),
            ("canceled", Course::Over),
            ("some later word", Course::Building),
        ];
        for (status, course) in cases {
            let job = job("", status);
            assert_eq!(job.course(), course, "{status}");
            let waits = !matches!(course, Course::Over | Course::Stuck);
            assert_eq!(job.builder().is_some(), waits, "{status}");
        }
    }
}
