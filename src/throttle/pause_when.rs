//! The signal `pause-when`: the job pauses while a query's one value is true.
//!
//! Owns when the query is asked and what the answer means. The engine asks it, on a connection
//! of its own that cannot write.

use std::time::Duration;

use super::{Ask, Moment, Throttle, Verdict, Work};

/// The query is asked at most this often; it may cost more than a batch.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How much of the query, and of its value, a reason repeats; in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// What a query gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The value as text, for the reason of a pause.
    pub value: String,
    /// Whether `SQLite` takes the value as true: a number that is not zero.
    pub truth: bool,
}

/// A query that pauses the job while its value is true. A query without a row, or with a NULL, is
/// not true; one that fails pauses.
#[derive(Clone, Debug)]
pub struct PauseWhen {
    sql: String,
    /// When the query was last asked, and why that pauses the job.
    asked: Option<(Duration, Option<String>)>,
}

impl PauseWhen {
    /// Will ask `sql`, for the first time at the first check.
    #[must_use]
    pub fn new(sql: String) -> Self {
        Self { sql, asked: None }
    }

    /// The query.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// This signal, with the way to ask.
    pub(super) fn asking<'a>(&'a mut self, ask: &'a mut dyn Ask) -> impl Throttle + 'a {
        Asking { signal: self, ask }
    }

    /// What the query says now, or said within [`ASK_EVERY`], and when it may be asked again.
    fn reason(&mut self, now: Duration, ask: &mut dyn Ask) -> (Option<String>, Duration) {
        if let Some((at, reason)) = &self.asked {
            let rest = ASK_EVERY.saturating_sub(now.saturating_sub(*at));
            if !rest.is_zero() {
                return (reason.clone(), rest);
            }
        }
        let reason = match ask.value(&self.sql) {
            Ok(Some(Reading { value, truth: true })) => {
                Some(format!("{} from {}", shown(&value), shown(&self.sql)))
            }
            Ok(_) => None,
            Err(error) => Some(error),
        };
        self.asked = Some((now, reason.clone()));
        (reason, ASK_EVERY)
    }
}

struct Asking<'a> {
    signal: &'a mut PauseWhen,
    ask: &'a mut dyn Ask,
}

impl Throttle for Asking<'_> {
    fn check(&mut self, now: Moment, _: &Work) -> Verdict {
        let (seen, wait) = self.signal.reason(now.monotonic, self.ask);
        Verdict::while_seen("pause-when", seen, wait)
    }
}

/// `text` on one line, with its end cut off when long.
fn shown(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
