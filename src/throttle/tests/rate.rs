//! The token buckets: exact over seconds, whatever the batches and pauses.

use proptest::prelude::*;

use super::*;

/// Runs batches of `batch` rows that take `millis` each for `seconds`, and returns the rows.
fn run(rate: &mut Rate, batch: u64, millis: u64, seconds: u64) -> u64 {
    let clock = SimulatedClock::new(0);
    let mut work = Work::default();
    while clock.now().monotonic < Duration::from_secs(seconds) {
        match rate.check(clock.now(), &work) {
            Verdict::Go => {
                clock.advance(Duration::from_millis(millis));
                work.rows += batch;
            }
            verdict => clock.sleep(paused(verdict).wait),
        }
    }
    work.rows
}

#[test]
fn the_rate_is_exact_over_seconds() {
    for (per_second, batch, millis) in [
        (1_000, 16, 0),
        (1_000, 1_000, 3),
        (10_000, 128, 1),
        (100_000, 20_000, 25),
        (333, 7, 2),
        (1, 1, 1),
    ] {
        let written = run(&mut Rate::rows(per_second), batch, millis, 20);
        let want = per_second * 20;
        let slack = batch + per_second / 20 + per_second * millis / 1_000 + 1;
        assert!(written.abs_diff(want) <= slack, "{written} rows, not {want}");
    }
}

#[test]
fn work_that_is_slower_than_the_rate_never_waits() {
    let mut rate = Rate::rows(1_000);
    for batch in 0..100 {
        // A batch of 100 rows that took 100 ms is just as fast as allowed.
        let verdict = rate.check(after(batch * 100), &rows(batch * 100));
        assert_eq!(verdict, Verdict::Go);
    }
}

#[test]
fn a_long_pause_gives_no_burst_and_leaves_no_debt() {
    let mut rate = Rate::rows(1_000);
    assert_eq!(rate.check(after(0), &rows(0)), Verdict::Go);
    // An hour in which another signal paused the job, so that this one was not asked.
    assert_eq!(rate.check(after(3_600_000), &rows(500)), Verdict::Go);
    let pause = paused(rate.check(after(3_600_000), &rows(1_000)));
    assert_eq!(pause.wait, Duration::from_millis(450));
    assert_eq!(rate.check(after(3_600_450), &rows(1_000)), Verdict::Go);
}

#[test]
fn a_batch_larger_than_the_bucket_is_waited_for_in_full() {
    let mut rate = Rate::rows(1_000);
    rate.check(after(0), &rows(0));
    let pause = paused(rate.check(after(10), &rows(20_000)));
    assert_eq!(pause.wait, Duration::from_millis(19_990));
    assert_eq!(pause.to_string(), "rows-per-second 2000000 >= 1000");
    let pause = paused(rate.check(after(19_999), &rows(20_000)));
    assert_eq!(pause.wait, Duration::from_millis(1));
    assert_eq!(rate.check(after(20_000), &rows(20_000)), Verdict::Go);
}

#[test]
fn totals_count_from_the_first_check() {
    let mut rate = Rate::rows(10);
    assert_eq!(rate.check(after(0), &rows(1_000_000)), Verdict::Go);
    paused(rate.check(after(0), &rows(1_000_001)));
}

#[test]
fn a_debt_is_paid_at_the_new_rate() {
    let mut rate = Rate::rows(10);
    rate.check(after(0), &rows(0));
    let pause = paused(rate.check(after(0), &rows(1_000)));
    assert_eq!(pause.wait, Duration::from_secs(100));
    rate.retune(10_000);
    let pause = paused(rate.check(after(0), &rows(1_000)));
    assert_eq!(pause.wait, Duration::from_millis(100));
}

#[test]
fn bytes_are_shown_as_people_write_them() {
    let mut rate = Rate::bytes(10 << 20);
    let bytes = |bytes| Work { bytes, ..Work::default() };
    rate.check(after(0), &bytes(0));
    let pause = paused(rate.check(after(1_000), &bytes(25 << 19)));
    assert_eq!(pause.to_string(), "bytes-per-second 12.5 MiB >= 10.0 MiB");
    assert_eq!(pause.wait, Duration::from_millis(250));
    let mut slow = Rate::bytes(100);
    slow.check(after(0), &bytes(0));
    let pause = paused(slow.check(after(1_000), &bytes(2_048)));
    assert_eq!(pause.to_string(), "bytes-per-second 2.0 KiB >= 100 B");
}

#[test]
fn extremes_neither_overflow_nor_hang() {
    let mut rate = Rate::rows(0);
    rate.check(after(0), &rows(0));
    let pause = paused(rate.check(after(0), &rows(u64::MAX)));
    assert_eq!(pause.wait, Duration::from_nanos(u64::MAX));
    let end = Moment { monotonic: Duration::MAX, unix_seconds: i64::MAX };
    assert_eq!(Rate::rows(u64::MAX).check(end, &rows(u64::MAX)), Verdict::Go);
    let mut rate = Rate::rows(u64::MAX);
    rate.check(after(0), &rows(0));
    assert_eq!(rate.check(end, &rows(u64::MAX)), Verdict::Go);
}

proptest! {
    /// Whatever the batches, the times between them and the moments of asking.
    #[test]
    fn no_span_holds_more_than_its_share_and_one_batch(
        per_second in 1..100_000_u64,
        steps in prop::collection::vec((0..2_000_u64, 1..5_000_u64, 0..200_u64), 1..60),
    ) {
        let mut rate = Rate::rows(per_second);
        let (mut now, mut total) = (0, 0);
        let mut starts: Vec<(u64, u64)> = Vec::new();
        for (idle, batch, took) in steps {
            now += idle;
            while let Verdict::Pause(pause) = rate.check(after(now), &rows(total)) {
                now += u64::try_from(pause.wait.as_millis()).unwrap_or(u64::MAX) + 1;
            }
            for (start, before) in &starts {
                let allowed = per_second * (now - start + 50) / 1_000 + 1;
                prop_assert!(total - before <= allowed, "{} > {allowed}", total - before);
            }
            starts.push((now, total));
            now += took;
            total += batch;
        }
    }
}
