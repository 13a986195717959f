//! The signals `rows-per-second` and `bytes-per-second`: a token bucket over a growing total.
//!
//! # Invariants
//! The level is kept in billionths of a unit, as integers, so nothing is lost to rounding. A batch
//! larger than the bucket leaves a debt that is waited for in full: over any time span, what was
//! written is at most rate x (span + 50 ms) and one batch. What was not used within 50 ms is
//! forgotten, so that a pause is followed by no burst.

use std::time::Duration;

use super::{Moment, Pause, Throttle, Verdict, Work};

/// How much time's worth of unused units is kept: 1 / 20 second.
const BURST: Duration = Duration::from_millis(50);
/// Billionths per unit, and nanoseconds per second.
const SCALE: i128 = 1_000_000_000;

/// One limit on how fast a total of [`Work`] grows.
#[derive(Clone, Debug)]
pub struct Rate {
    unit: Unit,
    per_second: u64,
    /// Unused units, or owed ones where negative; in billionths.
    level: i128,
    /// When the level was last settled, and the total then; `None` before the first check.
    settled: Option<(Duration, u64)>,
    /// When the job could last go on, and the total then.
    went: (Duration, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Rows,
    Bytes,
}

impl Rate {
    /// Limits [`Work::rows`] to `per_second`, counted from the first check; 0 is taken as 1.
    #[must_use]
    pub fn rows(per_second: u64) -> Self {
        Self::new(Unit::Rows, per_second)
    }

    /// Limits [`Work::bytes`] to `per_second`, counted from the first check; 0 is taken as 1.
    #[must_use]
    pub fn bytes(per_second: u64) -> Self {
        Self::new(Unit::Bytes, per_second)
    }

    fn new(unit: Unit, per_second: u64) -> Self {
        Self {
            unit,
            per_second: per_second.max(1),
            level: 0,
            settled: None,
            went: (Duration::ZERO, 0),
        }
    }

    /// Takes another limit. A debt stays as many units, so it is waited for at the new rate.
    pub fn retune(&mut self, per_second: u64) {
        self.per_second = per_second.max(1);
    }

    /// How many units fill the bucket: a batch as large passes without jerks. At least 1.
    #[must_use]
    pub fn burst(&self) -> u64 {
        (self.per_second / 20).max(1)
    }

    /// Brings the level up to `now` and the total.
    fn settle(&mut self, now: Duration, total: u64) {
        let (then, before) = self.settled.unwrap_or((now, total));
        if self.settled.is_none() {
            self.went = (now, total);
        }
        let gained = times(self.per_second, now.saturating_sub(then));
        let spent = i128::from(total.saturating_sub(before)).saturating_mul(SCALE);
        let level = self.level.saturating_add(gained).saturating_sub(spent);
        self.level = level.min(times(self.per_second, BURST));
        self.settled = Some((now.max(then), total.max(before)));
    }

    fn pause(&self, now: Duration, total: u64) -> Pause {
        let wait = self.level.unsigned_abs().div_ceil(u128::from(self.per_second));
        let seen = self.seen(now, total).max(self.per_second);
        Pause {
            signal: match self.unit {
                Unit::Rows => "rows-per-second".to_owned(),
                Unit::Bytes => "bytes-per-second".to_owned(),
            },
            seen: self.unit.shown(seen),
            limit: self.unit.shown(self.per_second),
            wait: Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)),
        }
    }

    /// The rate since the job could last go on, were it to go on now.
    fn seen(&self, now: Duration, total: u64) -> u64 {
        let (since, before) = self.went;
        let millis = now.saturating_sub(since).as_millis().max(1);
        let rate = u128::from(total.saturating_sub(before)) * 1_000 / millis;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

impl Throttle for Rate {
    fn check(&mut self, now: Moment, work: &Work) -> Verdict {
        let total = match self.unit {
            Unit::Rows => work.rows,
            Unit::Bytes => work.bytes,
        };
        self.settle(now.monotonic, total);
        if self.level < 0 {
            return Verdict::Pause(self.pause(now.monotonic, total));
        }
        self.went = (now.monotonic, total);
        Verdict::Go
    }
}

impl Unit {
    fn shown(self, count: u64) -> String {
        match self {
            Self::Rows => count.to_string(),
            Self::Bytes => size(count),
        }
    }
}

/// What `per_second` gives in `time`, in billionths.
fn times(per_second: u64, time: Duration) -> i128 {
    let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    i128::from(per_second).saturating_mul(nanos)
}

/// `bytes` with one decimal and the largest unit that leaves a number of at least 1.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(factor, _)| bytes >= *factor) {
        Some((factor, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(factor);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}
