//! The backlog of a Corrosion agent: short, busy, stuck, unreadable, unknown.

use super::*;
use crate::layout::corrosion::Backlog;

/// A backlog of so many changes of one version; none for 0.
fn changes(n: u64) -> Backlog {
    Backlog {
        buffered_changes: n,
        part_versions: u64::from(n > 0),
        mark: n.to_string(),
        ..Backlog::default()
    }
}

/// What the agent's tables say, and how often they were asked.
struct Agent {
    answer: Result<Backlog, String>,
    asked: u32,
}

impl Ask for Agent {
    fn value(&mut self, sql: &str) -> Result<Option<Reading>, String> {
        panic!("asked {sql}")
    }

    fn backlog(&mut self) -> Result<Backlog, String> {
        self.asked += 1;
        self.answer.clone()
    }
}

/// The signals of a job beside an agent, and a clock that a test moves.
struct Beside {
    throttles: Throttles,
    clock: SimulatedClock,
    agent: Agent,
}

impl Beside {
    fn new() -> Self {
        let mut throttles = Throttles::new(&Tuning::default());
        throttles.watch_corrosion();
        let agent = Agent { answer: Ok(changes(0)), asked: 0 };
        Self { throttles, clock: SimulatedClock::default(), agent }
    }

    fn check(&mut self) -> Verdict {
        self.throttles.check(self.clock.now(), &rows(0), &mut self.agent)
    }

    /// Time passes, then the backlog is that.
    fn after(&mut self, millis: u64, answer: Result<Backlog, &str>) -> Verdict {
        self.clock.advance(Duration::from_millis(millis));
        self.agent.answer = answer.map_err(str::to_owned);
        self.check()
    }

    fn warnings(&mut self) -> Vec<String> {
        self.throttles.take_warnings()
    }
}

#[test]
fn the_backlogs_of_live_traffic_do_not_pause() {
    let mut job = Beside::new();
    for step in 0..1_000 {
        // There at three readings of four: 750 ms, never a second.
        let backlog = changes(if step % 4 == 0 { 0 } else { step });
        assert_eq!(job.after(250, Ok(backlog)), Verdict::Go, "reading {step}");
    }
    assert_eq!(job.warnings(), [""; 0]);
}

#[test]
fn a_backlog_of_a_second_pauses_until_it_is_gone() {
    let mut job = Beside::new();
    for n in 1..=4 {
        assert_eq!(job.after(250, Ok(changes(n))), Verdict::Go);
    }
    let pause = paused(job.after(250, Ok(changes(100_000))));
    assert_eq!(pause.to_string(), "corrosion: 100,000 buffered changes of 1 version");
    assert_eq!(pause.wait, Duration::from_millis(250));
    paused(job.after(250, Ok(changes(3))));
    assert_eq!(job.after(250, Ok(changes(0))), Verdict::Go);
    assert_eq!(job.after(250, Ok(changes(9))), Verdict::Go, "another one has its own second");
}

#[test]
fn two_readings_far_apart_are_enough() {
    let mut job = Beside::new();
    assert_eq!(job.after(0, Ok(changes(1))), Verdict::Go);
    paused(job.after(1_000, Ok(changes(2))));
}

#[test]
fn the_backlog_is_read_at_most_four_times_a_second() {
    let mut job = Beside::new();
    for _ in 0..2_000 {
        job.after(1, Ok(changes(1)));
    }
    assert_eq!(job.agent.asked, 8);
}

#[test]
fn a_backlog_that_moves_pauses_for_as_long_as_it_takes() {
    let mut job = Beside::new();
    for n in (1..2_000).rev() {
        let verdict = job.after(250, Ok(changes(n)));
        assert_eq!(verdict != Verdict::Go, n <= 1_995, "{n}: {verdict:?}");
    }
    assert_eq!(job.warnings(), [""; 0]);
}

#[test]
fn a_stuck_backlog_lets_the_job_go_on_and_says_so_once() {
    let mut job = Beside::new();
    job.after(0, Ok(changes(7)));
    paused(job.after(59_999, Ok(changes(7))));
    assert_eq!(job.after(250, Ok(changes(7))), Verdict::Go);
    let warnings = job.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in ["7 buffered changes of 1 version", "60 s", "`dotfill doctor`"] {
        assert!(warnings[0].contains(word), "{word:?} in {warnings:?}");
    }
    for _ in 0..1_000 {
        assert_eq!(job.after(250, Ok(changes(7))), Verdict::Go);
    }
    assert_eq!(job.warnings(), [""; 0]);
}

#[test]
fn what_comes_on_top_of_a_stuck_backlog_pauses_again() {
    let mut job = Beside::new();
    job.after(0, Ok(changes(7)));
    assert_eq!(job.after(60_000, Ok(changes(7))), Verdict::Go);
    assert_eq!(job.after(250, Ok(changes(8))), Verdict::Go);
    paused(job.after(1_000, Ok(changes(9))));
    assert_eq!(job.after(250, Ok(changes(7))), Verdict::Go, "back to what is stuck");
    assert_eq!(job.warnings().len(), 1);
}

#[test]
fn traffic_around_a_stuck_backlog_does_not_hide_that_it_is_stuck() {
    let mut job = Beside::new();
    for step in 0..240 {
        let traffic = if step % 10 == 0 { 0 } else { 1_000 + step };
        job.after(250, Ok(changes(7 + traffic)));
    }
    assert_eq!(job.after(250, Ok(changes(7))), Verdict::Go);
    assert_eq!(job.warnings().len(), 1);
}

#[test]
fn a_backlog_that_cannot_be_read_pauses_with_the_reason() {
    let mut job = Beside::new();
    let pause = paused(job.after(0, Err("disk I/O error")));
    assert_eq!(pause.to_string(), "corrosion: the agent's backlog cannot be read: disk I/O error");
    assert_eq!(job.after(250, Ok(changes(0))), Verdict::Go);
}

#[test]
fn a_table_of_another_release_is_named_once_and_does_not_pause() {
    let mut job = Beside::new();
    let other = Backlog { unknown: vec!["__corro_bookkeeping_gaps"], ..changes(0) };
    for _ in 0..10 {
        assert_eq!(job.after(1_000, Ok(other.clone())), Verdict::Go);
    }
    let warnings = job.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("__corro_bookkeeping_gaps"), "{warnings:?}");
}

#[test]
fn other_limits_keep_what_is_known_and_without_an_agent_nobody_asks() {
    let mut job = Beside::new();
    job.after(0, Ok(changes(1)));
    job.throttles.retune(&Tuning::default());
    paused(job.after(1_000, Ok(changes(1))));
    let mut alone = Throttles::new(&Tuning::default());
    assert_eq!(alone.check(after(0), &rows(0), &mut unasked()), Verdict::Go);
}
