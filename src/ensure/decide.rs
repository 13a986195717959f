//! What to do next about one index, from what was seen. The whole decision, and nothing else: no
//! server is asked, no time is read.

use super::verdict::{Arrival, Verdict};
use crate::monitor::IndexProgress;

/// What a look at the server has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What has the index's name.
    pub there: There,
    /// Who may be building it, ourselves apart.
    pub builder: Option<Builder>,
    /// Who has the build lock.
    pub lock: BuildLock,
    /// How an earlier build failed for good.
    pub verdict: Option<Verdict>,
    /// How far whoever builds is; for people.
    pub progress: Option<IndexProgress>,
}

/// What has the index's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    #[default]
    Nothing,
    /// An index of the table.
    Index(IndexState),
    /// Something else; in words.
    Other(String),
}

/// An index, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexState {
    /// Whether queries may use it, writes maintain it, and nobody is dropping it: all three.
    pub whole: bool,
    /// How it differs from what is wanted; empty where it does not.
    pub differences: Vec<String>,
    /// The statement that would make it.
    pub statement: String,
    /// The statement that would make what is wanted, in the server's words.
    pub wanted: String,
}

/// A session or job that may be building the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    /// What it is called: `pid 4711`, `job 812`.
    pub name: String,
    /// Whether that is certain, or only nothing says otherwise.
    pub certain: bool,
}

/// Who has the lock under which one caller builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BuildLock {
    /// Nobody.
    #[default]
    Free,
    /// This session.
    Ours,
    /// Another one, by name.
    Theirs(String),
}

/// What the caller wants and has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// What it knew when it came.
    pub arrival: Arrival,
    /// Which definition it wants.
    pub definition: String,
    /// How often it has tried.
    pub attempts: u32,
    /// How often it may.
    pub attempts_max: u32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is there, whole, and as wanted: prove it once more and be done.
    Done,
    /// Not this index, not here; in words.
    Refuse(String),
    /// Another definition has the name; what differs.
    Different(Vec<String>),
    /// Somebody has tried, and failed for good.
    Fail(Box<Verdict>),
    /// Somebody else is at it; in words.
    Wait(String),
    /// Take the build lock, and look again.
    Lock,
    /// Remove what a failed build has left.
    Remove,
    /// Build.
    Build,
    /// We have tried as often as we may: record it, and fail.
    GiveUp,
}

/// Decides. The order of the rules matters: what is there comes before what was said of it, and
/// nothing is removed or built without the lock.
#[must_use]
pub fn decide(seen: &Seen, caller: &Caller) -> Step {
    if let There::Other(what) = &seen.there {
        return Step::Refuse(what.clone());
    }
    if let There::Index(index) = &seen.there {
        if !index.differences.is_empty() {
            return Step::Different(index.differences.clone());
        }
        if index.whole {
            return Step::Done;
        }
    }
    if let Some(verdict) = &seen.verdict
        && verdict.counts(&caller.arrival, &caller.definition)
    {
        return Step::Fail(Box::new(verdict.clone()));
    }
    match (&seen.lock, &seen.builder, &seen.there) {
        (BuildLock::Theirs(who), _, _) => Step::Wait(format!("{who} has the build lock")),
        // Whoever builds without the lock is another tool, or a build of ours whose client is gone.
        (_, Some(builder), There::Index(_)) => Step::Wait(if builder.certain {
            format!("{} builds it", builder.name)
        } else {
            format!("{} may be building it: it holds a lock of a build on the table", builder.name)
        }),
        (_, Some(builder), _) if builder.certain => {
            Step::Wait(format!("{} builds it", builder.name))
        }
        (BuildLock::Free, _, _) => Step::Lock,
        (BuildLock::Ours, _, _) if caller.attempts >= caller.attempts_max => Step::GiveUp,
        (BuildLock::Ours, _, There::Index(_)) => Step::Remove,
        (BuildLock::Ours, _, _) => Step::Build,
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Cause;
    use super::*;

    fn index(whole: bool) -> There {
        There::Index(IndexState { whole, ..IndexState::default() })
    }

    fn different(whole: bool) -> There {
        let differences = vec!["method".to_owned()];
        There::Index(IndexState { whole, differences, ..IndexState::default() })
    }

    fn builder(certain: bool) -> Builder {
        Builder { name: "pid 7".to_owned(), certain }
    }

    fn verdict() -> Verdict {
        Verdict {
            round: "1".to_owned(),
            definition: "d".to_owned(),
            cause: Cause::Data,
            code: "23505".to_owned(),
            message: "duplicates".to_owned(),
            examples: Vec::new(),
        }
    }

    fn caller(attempts: u32) -> Caller {
        Caller { definition: "d".to_owned(), attempts, attempts_max: 3, ..Caller::default() }
    }

    /// Every combination of what can be seen.
    fn all() -> Vec<Seen> {
        let theres = || {
            let other = There::Other("a view".to_owned());
            [There::Nothing, index(true), index(false), different(true), different(false), other]
        };
        let locks = || [BuildLock::Free, BuildLock::Ours, BuildLock::Theirs("pid 9".to_owned())];
        let mut out = Vec::new();
        for there in theres() {
            for builder in [None, Some(builder(true)), Some(builder(false))] {
                for lock in locks() {
                    for verdict in [None, Some(verdict())] {
                        let (there, builder) = (there.clone(), builder.clone());
                        let lock = lock.clone();
                        out.push(Seen { there, builder, lock, verdict, progress: None });
                    }
                }
            }
        }
        out
    }

    #[test]
    fn done_means_that_it_is_there_whole_and_as_wanted() {
        for seen in all() {
            let is_done = decide(&seen, &caller(0)) == Step::Done;
            assert_eq!(is_done, seen.there == index(true), "{seen:?}");
        }
    }

    #[test]
    fn nothing_is_built_or_removed_without_the_lock() {
        for seen in all() {
            let step = decide(&seen, &caller(0));
            if matches!(step, Step::Build | Step::Remove | Step::GiveUp) {
                assert_eq!(seen.lock, BuildLock::Ours, "{seen:?}");
            }
            if step == Step::Lock {
                assert_eq!(seen.lock, BuildLock::Free, "{seen:?}");
            }
        }
    }

    #[test]
    fn what_somebody_may_be_building_is_never_removed() {
        for seen in all().into_iter().filter(|seen| seen.builder.is_some()) {
            for attempts in 0..5 {
                assert_ne!(decide(&seen, &caller(attempts)), Step::Remove, "{seen:?}");
            }
        }
    }

    #[test]
    fn another_definition_is_refused_whole_or_not() {
        for seen in all().into_iter().filter(|seen| matches!(seen.there, There::Index(_))) {
            let refused = matches!(decide(&seen, &caller(0)), Step::Different(_));
            let differs = seen.there == different(true) || seen.there == different(false);
            assert_eq!(refused, differs, "{seen:?}");
        }
    }

    #[test]
    fn a_verdict_that_counts_ends_it_unless_the_index_is_whole() {
        for seen in all().into_iter().filter(|seen| seen.verdict.is_some()) {
            let failed = matches!(decide(&seen, &caller(0)), Step::Fail(_));
            let open = matches!(&seen.there, There::Nothing) || seen.there == index(false);
            assert_eq!(failed, open, "{seen:?}");
        }
    }

    #[test]
    fn a_caller_tries_as_often_as_it_may() {
        let seen = |there| Seen { there, lock: BuildLock::Ours, ..Seen::default() };
        assert_eq!(decide(&seen(There::Nothing), &caller(0)), Step::Build);
        assert_eq!(decide(&seen(index(false)), &caller(2)), Step::Remove);
        assert_eq!(decide(&seen(There::Nothing), &caller(3)), Step::GiveUp);
        assert_eq!(decide(&seen(index(false)), &caller(3)), Step::GiveUp);
        // A lock of a build on the table alone is nothing to wait for where nothing is there.
        let beside = Seen { builder: Some(builder(false)), ..seen(There::Nothing) };
        assert_eq!(decide(&beside, &caller(0)), Step::Build);
        let begun = Seen { builder: Some(builder(true)), ..seen(There::Nothing) };
        assert_eq!(decide(&begun, &caller(0)), Step::Wait("pid 7 builds it".to_owned()));
    }
}
