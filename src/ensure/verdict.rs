//! How a build has failed for good: what those who wait for it are told.
//!
//! # The rule
//! Whoever builds and fails for good writes the verdict into `_dotfill_ensure`, a table beside the
//! indexed one, while it still has the build lock, and takes back what it began. So whoever gets
//! the lock next finds either no verdict or a whole one.
//! - A verdict that appears *while a caller waits* is that caller's verdict: nobody builds again
//!   what has just failed. All callers say the same words.
//! - A verdict that *was there when a caller came* counts where it is about the rows
//!   ([`Cause::Data`]), which are not better for being asked again, until somebody says `--retry`.
//!   One about effort ([`Cause::Effort`]: cancelled, no space, a deadlock too many) does not: to
//!   start again is a retry.
//! - A verdict about another definition counts for nobody.
//! - An index that is there, valid and as wanted is done whatever a verdict says; whoever finds it
//!   so removes the verdict, and the table with the last one.

use serde::{Deserialize, Serialize};

use super::Fault;
use super::decide::Caller;
use super::wanted::Wanted;

/// A build that failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Names this failure; another one of the same index has another.
    pub round: String,
    /// Which definition was tried ([`super::wanted::Wanted::digest`]).
    pub definition: String,
    /// What kind of failure it was.
    pub cause: Cause,
    /// The server's SQLSTATE.
    pub code: String,
    /// What to say of it.
    pub message: String,
    /// Keys that several rows have, where that is what failed.
    pub examples: Vec<Example>,
}

/// A key that is to be unique and is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The terms, as text, in the order of the index.
    pub key: Vec<String>,
    /// How many rows have it, when it was looked; 0 where that was not counted.
    pub rows: u64,
}

/// Why a build failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The rows are such that there can be no such index.
    Data,
    /// Every attempt failed, each of which might have gone well.
    Effort,
}

impl Cause {
    /// The word in tables and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Effort => "effort",
        }
    }
}

/// What a caller knew when it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The round of the verdict that was there.
    pub round: Option<String>,
    /// Whether the caller asked to try again what has failed.
    pub retry: bool,
}

impl Verdict {
    /// The verdict on a build that ended with `fault`; `left` says what is left of it.
    #[must_use]
    pub fn new(
        wanted: &Wanted,
        cause: Cause,
        fault: &Fault,
        examples: Vec<Example>,
        left: &str,
        caller: &Caller,
    ) -> Self {
        let examples = if examples.is_empty() { told_by(fault) } else { examples };
        let remedy = match cause {
            Cause::Data if fault.is_duplicate() => {
                "leave one row of each, then repeat the command with --retry"
            }
            Cause::Data => "mend the rows, then repeat the command with --retry",
            Cause::Effort => "mend the cause, then repeat the command",
        };
        let what = match cause {
            Cause::Data => format!("{fault}{}", listed(&examples)),
            Cause::Effort => format!("{} attempts failed, the last one: {fault}", caller.attempts),
        };
        let round = round(&wanted.digest(), caller);
        Self {
            round,
            definition: wanted.digest(),
            cause,
            code: fault.code.to_string(),
            message: format!("{what}; {left}; {remedy}"),
            examples,
        }
    }

    /// Whether this is the verdict of a caller who came thus and wants this definition.
    #[must_use]
    pub fn counts(&self, arrival: &Arrival, definition: &str) -> bool {
        if self.definition != definition {
            return false;
        }
        let is_old = arrival.round.as_ref() == Some(&self.round);
        match (is_old, self.cause) {
            (false, _) => true,
            (true, Cause::Data) => !arrival.retry,
            (true, Cause::Effort) => false,
        }
    }
}

/// A name that no other failure has: of this process, at this time.
fn round(definition: &str, caller: &Caller) -> String {
    let owner = crate::lease::Owner::this();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let text = format!("{definition} {owner:?} {now:?} {caller:?}");
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

/// The one key that `PostgreSQL` tells: `Key (a, b)=(1, x) is duplicated.`
fn told_by(fault: &Fault) -> Vec<Example> {
    let detail = fault.detail.as_deref().unwrap_or_default();
    let key = detail.split_once(")=(").and_then(|(_, rest)| rest.rsplit_once(") is duplicated"));
    // Where a value holds a comma, the parts cannot be told apart: they stay one text.
    key.map(|(text, _)| Example { key: vec![text.to_owned()], rows: 0 }).into_iter().collect()
}

/// `; 2 rows have (a@b), 3 have (c@d)`.
fn listed(examples: &[Example]) -> String {
    let counted: Vec<String> = examples
        .iter()
        .filter(|example| example.rows > 0)
        .map(|example| format!("{} rows have ({})", example.rows, example.key.join(", ")))
        .collect();
    if counted.is_empty() { String::new() } else { format!("; {}", counted.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(round: &str, cause: Cause) -> Verdict {
        Verdict {
            round: round.to_owned(),
            definition: "d".to_owned(),
            cause,
            code: "23505".to_owned(),
            message: "m".to_owned(),
            examples: Vec::new(),
        }
    }

    #[test]
    fn the_key_that_the_server_tells_is_an_example() {
        let fault = |detail: &str| Fault {
            detail: Some(detail.into()),
            ..Fault::local("build", "no unique index")
        };
        let one = |text: &str| vec![Example { key: vec![text.to_owned()], rows: 0 }];
        assert_eq!(told_by(&fault("Key (email)=(a@b) is duplicated.")), one("a@b"));
        assert_eq!(told_by(&fault("Key (lower(a), b)=(x), 1) is duplicated.")), one("x), 1"));
        assert_eq!(told_by(&fault("Something else.")), []);
    }

    #[test]
    fn what_appears_while_one_waits_counts_and_old_efforts_do_not() {
        let came = |round: Option<&str>, retry| Arrival { round: round.map(str::to_owned), retry };
        let cases = [
            (Cause::Data, came(None, false), true),
            (Cause::Data, came(None, true), true),
            (Cause::Data, came(Some("1"), true), true),
            (Cause::Data, came(Some("2"), false), true),
            (Cause::Data, came(Some("2"), true), false),
            (Cause::Effort, came(None, false), true),
            (Cause::Effort, came(Some("1"), true), true),
            (Cause::Effort, came(Some("2"), false), false),
            (Cause::Effort, came(Some("2"), true), false),
        ];
        for (cause, arrival, counts) in cases {
            let seen = verdict("2", cause).counts(&arrival, "d");
            assert_eq!(seen, counts, "{cause:?} {arrival:?}");
            assert!(!verdict("2", cause).counts(&arrival, "another definition"));
        }
    }
}
