//! Batch sizes and gaps against a simulated table and a simulated foreground.

use proptest::prelude::*;

use super::*;

const HOLD: Duration = Duration::from_millis(2);

/// A table that takes a fixed time per transaction and per row, and a clock.
struct Table {
    clock: SimulatedClock,
    commit: Duration,
    row: Duration,
}

impl Table {
    /// `rows_per_second` without the 100 us that a commit takes.
    fn new(rows_per_second: u64) -> Self {
        Self {
            clock: SimulatedClock::new(0),
            commit: Duration::from_micros(100),
            row: Duration::from_nanos(1_000_000_000 / rows_per_second),
        }
    }

    /// One batch and its gap; returns the rows and the hold.
    fn batch(&self, politeness: &mut Politeness, neighbour: bool, wrote: bool) -> (u64, Duration) {
        let now = self.clock.now().monotonic;
        politeness.observe(now, neighbour, wrote, false);
        let rows = politeness.batch_rows();
        let hold = self.commit + self.row * u32::try_from(rows).unwrap_or(u32::MAX);
        self.clock.sleep(hold);
        politeness.held(rows, hold);
        self.clock.sleep(politeness.gap(hold));
        (rows, hold)
    }

    fn batches(&self, politeness: &mut Politeness, count: u64, neighbour: bool, wrote: bool) {
        for _ in 0..count {
            self.batch(politeness, neighbour, wrote);
        }
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn it_starts_busy_where_there_is_a_neighbour_and_alone_where_there_is_none() {
    let mut politeness = Politeness::new(HOLD, 20_000);
    assert_eq!(politeness.company(), Company::Busy);
    politeness.observe(Duration::ZERO, false, false, false);
    assert_eq!(politeness.company(), Company::Alone);
    let mut politeness = Politeness::new(HOLD, 20_000);
    politeness.observe(Duration::ZERO, true, false, false);
    assert_eq!(politeness.company(), Company::Busy);
    politeness.observe(millis(999), true, false, false);
    assert_eq!(politeness.company(), Company::Busy);
    politeness.observe(millis(1_000), true, false, false);
    assert_eq!(politeness.company(), Company::Quiet);
    politeness.observe(millis(1_001), false, false, false);
    assert_eq!(politeness.company(), Company::Alone);
}

#[test]
fn a_newcomer_a_foreign_commit_and_a_busy_lock_count_from_the_next_batch() {
    let alone = || {
        let table = Table::new(400_000);
        let mut politeness = Politeness::new(HOLD, 20_000);
        table.batches(&mut politeness, 50, false, false);
        assert!(politeness.batch_rows() > 9_000);
        (politeness, table.clock.now().monotonic)
    };
    for (neighbour, wrote, busy) in
        [(true, false, false), (false, true, false), (false, false, true)]
    {
        let (mut politeness, now) = alone();
        politeness.observe(now, neighbour, wrote, busy);
        assert_eq!(politeness.company(), Company::Busy);
        let rows = politeness.batch_rows();
        assert!((560..=640).contains(&rows), "{rows}");
        assert_eq!(politeness.gap(millis(25)), millis(25));
    }
}

#[test]
fn batches_converge_to_the_hold_of_each_company() {
    for rows_per_second in [50_000, 150_000, 400_000, 1_500_000] {
        let table = Table::new(rows_per_second);
        let mut politeness = Politeness::new(HOLD, 1_000_000);
        for (neighbour, wrote, target) in
            [(true, true, 1_600), (false, false, 25_000), (true, true, 1_600)]
        {
            if !wrote {
                table.clock.advance(millis(1_000));
            }
            table.batches(&mut politeness, 40, neighbour, wrote);
            let (_, hold) = table.batch(&mut politeness, neighbour, wrote);
            let off = hold.as_micros().abs_diff(target);
            assert!(off <= target / 10, "{hold:?} at {rows_per_second} rows/s");
        }
    }
}

#[test]
fn it_speeds_up_by_itself_when_the_foreground_goes_quiet() {
    let table = Table::new(400_000);
    let mut politeness = Politeness::new(HOLD, 20_000);
    table.batches(&mut politeness, 50, true, true);
    assert_eq!(politeness.company(), Company::Busy);
    let silent_at = table.clock.now().monotonic;
    let mut holds = Vec::new();
    while table.clock.now().monotonic < silent_at + millis(4_000) {
        let (_, hold) = table.batch(&mut politeness, true, false);
        let now = table.clock.now().monotonic;
        holds.push((now.saturating_sub(silent_at), hold));
    }
    let longest = |from: u64, to: u64| {
        let within = holds.iter().filter(|(at, _)| (millis(from)..millis(to)).contains(at));
        within.map(|(_, hold)| *hold).max().unwrap_or_default()
    };
    assert!(longest(0, 900) <= HOLD, "{:?}", longest(0, 900));
    assert!((millis(3)..=millis(4)).contains(&longest(1_100, 2_900)));
    assert!((millis(7)..=millis(8)).contains(&longest(3_200, 4_000)));
    assert_eq!(politeness.company(), Company::Quiet);
}

#[test]
fn a_hold_that_overran_shrinks_the_next_batch_at_once() {
    let table = Table::new(400_000);
    let mut politeness = Politeness::new(HOLD, 20_000);
    table.batches(&mut politeness, 50, true, true);
    let before = politeness.batch_rows();
    politeness.held(before, HOLD.mul_f64(0.8) * 4);
    let shrunk = politeness.batch_rows();
    assert!(shrunk.abs_diff(before / 4) <= 1, "{before} -> {shrunk}");
    politeness.held(shrunk, Duration::from_secs(5));
    assert_eq!(politeness.batch_rows(), 16);
}

#[test]
fn a_batch_grows_by_at_most_half() {
    let table = Table::new(1_000_000);
    let mut politeness = Politeness::new(HOLD, 1_000_000);
    let (mut before, _) = table.batch(&mut politeness, false, false);
    assert_eq!(before, 128);
    for _ in 0..30 {
        let (rows, _) = table.batch(&mut politeness, false, false);
        assert!(rows <= before + before / 2, "{before} -> {rows}");
        before = rows;
    }
    assert!(before > 20_000, "{before}");
}

#[test]
fn the_short_batch_at_the_end_of_a_range_teaches_nothing() {
    let table = Table::new(400_000);
    let mut politeness = Politeness::new(HOLD, 20_000);
    table.batches(&mut politeness, 50, true, true);
    let before = politeness.batch_rows();
    politeness.held(3, Duration::from_micros(107));
    politeness.held(0, Duration::from_micros(100));
    assert_eq!(politeness.batch_rows(), before);
}

#[test]
fn gaps_follow_the_company() {
    let mut politeness = Politeness::new(HOLD, 20_000);
    politeness.observe(Duration::ZERO, true, false, false);
    assert_eq!(politeness.gap(millis(3)), millis(3));
    assert_eq!(politeness.gap(Duration::from_micros(10)), Duration::from_micros(1_250));
    politeness.observe(millis(1_000), true, false, false);
    assert_eq!(politeness.gap(millis(9)), millis(3));
    assert_eq!(politeness.gap(millis(1)), Duration::from_micros(1_250));
    politeness.observe(millis(1_000), false, false, false);
    assert_eq!(politeness.gap(millis(9)), Duration::ZERO);
}

#[test]
fn another_tuning_counts_from_the_next_batch() {
    let table = Table::new(400_000);
    let mut politeness = Politeness::new(HOLD, 20_000);
    table.batches(&mut politeness, 50, true, true);
    let before = politeness.batch_rows();
    politeness.retune(millis(1), 20_000);
    assert!(politeness.batch_rows().abs_diff(before / 2) <= 1);
    politeness.retune(HOLD, 100);
    assert_eq!(politeness.batch_rows(), 100);
    politeness.retune(HOLD, 5);
    assert_eq!(politeness.batch_rows(), 5);
    politeness.retune(HOLD, 20_000);
    assert_eq!(politeness.batch_rows(), before);
}

proptest! {
    #[test]
    fn no_feedback_leaves_the_bounds(
        batch_rows_max in 1..100_000_u64,
        steps in prop::collection::vec(
            (any::<u64>(), 0..10_000_000_u64, 0..2_000_u64, any::<[bool; 3]>()),
            0..100,
        ),
    ) {
        let mut politeness = Politeness::new(HOLD, batch_rows_max);
        let mut now = Duration::ZERO;
        for (rows, hold_micros, idle, [neighbour, wrote, busy]) in steps {
            let hold = Duration::from_micros(hold_micros);
            now += millis(idle);
            politeness.observe(now, neighbour, wrote, busy);
            let granted = politeness.batch_rows();
            prop_assert!(granted >= 16.min(batch_rows_max) && granted <= batch_rows_max);
            politeness.held(rows, hold);
            let gap = politeness.gap(hold);
            match politeness.company() {
                Company::Alone => prop_assert_eq!(gap, Duration::ZERO),
                Company::Quiet => prop_assert!(gap >= hold / 3 && gap >= millis(1)),
                Company::Busy => prop_assert!(gap >= hold && gap >= millis(1)),
            }
        }
    }
}
