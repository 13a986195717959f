//! Runs the contestants of a part in turn, round after round, each on a fresh copy, so that what
//! they are compared by was measured in the same minute on the same machine.

use std::path::Path;

use crate::check::{Verdict, check};
use crate::contestant::Contestant;
use crate::failed::{Failed, Outcome};
use crate::fixture;
use crate::options::Options;
use crate::sqlite;
use crate::watch::Watch;
use crate::work::{Took, work};

/// One run of one contestant.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Times and memory.
    pub took: Took,
    /// Largest size of the WAL.
    pub wal_bytes_max: u64,
    /// Size of the database, WAL emptied, minus its size before.
    pub growth_bytes: i64,
    /// Change records that were not there before; none on a plain table.
    pub change_records: Option<u64>,
}

/// How a contestant fared.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It did its job each time, rightly.
    Right,
    /// It could not do its job.
    Failed(String),
    /// It said it had done its job and had not.
    Wrong(String),
}

/// A contestant and its runs, in the order of the rounds.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who.
    pub contestant: Contestant,
    /// Its runs, as many as went well.
    pub samples: Vec<Sample>,
    /// How it fared.
    pub fate: Fate,
}

impl Standing {
    /// The middle one of the samples' values.
    pub fn median(&self, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.samples.iter().map(value).collect())
    }

    /// How many times faster this is than another, by the middle one of the rounds' ratios.
    pub fn times_faster_than(&self, other: &Self, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        let seconds = |sample: &Sample| sample.took.seconds;
        let pairs = self.samples.iter().zip(&other.samples);
        median(pairs.map(|(mine, theirs)| seconds(theirs) / value(mine)).collect())
    }
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// Runs all rounds of a part. A contestant that fails is left out of the rounds that follow.
pub fn rounds(contestants: &[Contestant], options: &Options) -> Vec<Standing> {
    let start = |contestant: &Contestant| Standing {
        contestant: *contestant,
        samples: Vec::new(),
        fate: Fate::Right,
    };
    let mut standings: Vec<_> = contestants.iter().map(start).collect();
    for round in 1..=options.repeat {
        for standing in &mut standings {
            if matches!(standing.fate, Fate::Right) {
                eprintln!("round {round}: {}", standing.contestant.name);
                take_part(standing, options);
            }
        }
    }
    standings
}

fn take_part(standing: &mut Standing, options: &Options) {
    match sample(&standing.contestant, options) {
        Ok((sample, Verdict::Right)) => standing.samples.push(sample),
        Ok((_, Verdict::Wrong(what))) => standing.fate = Fate::Wrong(what),
        Err(Failed(why)) => standing.fate = Fate::Failed(why),
    }
}

fn sample(contestant: &Contestant, options: &Options) -> Outcome<(Sample, Verdict)> {
    let fixture = fixture::fixture(contestant.layout, options)?;
    let db = options.work.join("run.db");
    fixture::copy(&fixture, &db)?;
    let result = measure(contestant, &db, &fixture, options);
    sqlite::remove(&db)?;
    result
}

fn measure(
    contestant: &Contestant,
    db: &Path,
    fixture: &Path,
    options: &Options,
) -> Outcome<(Sample, Verdict)> {
    let watch = Watch::file(sqlite::beside(db, "-wal"));
    let took = work(contestant, db, options, &mut |_| {});
    let wal_bytes_max = watch.finish()?.file_bytes;
    let took = took?;
    let growth_bytes = bytes(db)? - bytes(fixture)?;
    let (verdict, change_records) = check(contestant, db, fixture, options.rows, false)?;
    Ok((Sample { took, wal_bytes_max, growth_bytes, change_records }, verdict))
}

fn bytes(file: &Path) -> Outcome<i64> {
    Ok(std::fs::metadata(file)?.len().cast_signed())
}
