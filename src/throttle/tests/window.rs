//! Windows: midnight, time zones, and the days on which clocks change.

use jiff::Timestamp;

use super::*;

fn window(text: &str) -> Window {
    let window = text.parse();
    window.unwrap_or_else(|error: WindowError| panic!("{error}"))
}

fn check(window: &str, time: &str) -> Verdict {
    let time: Timestamp = time.parse().unwrap_or_else(|error| panic!("{error}"));
    let now = Moment { monotonic: Duration::ZERO, unix_seconds: time.as_second() };
    self::window(window).check(now, &Work::default())
}

/// Asserts that the window is open at exactly those of the times (UTC) marked `true`.
fn open(window: &str, times: &[(&str, bool)]) {
    for (time, want) in times {
        assert_eq!(check(window, time) == Verdict::Go, *want, "{window} at {time}");
    }
}

fn stopped(window: &str, time: &str) -> String {
    match check(window, time) {
        Verdict::Stop(reason) => reason,
        other => panic!("{window} at {time}: {other:?}"),
    }
}

#[test]
fn the_first_minute_is_inside_and_the_last_is_not() {
    let times = [
        ("2026-11-21T00:59:59Z", false),
        ("2026-11-21T01:00:00Z", true),
        ("2026-11-21T04:59:59Z", true),
        ("2026-11-21T05:00:00Z", false),
    ];
    open("01:00-05:00[UTC]", &times);
}

#[test]
fn a_window_may_cross_midnight() {
    let times = [
        ("2026-11-21T21:59:59Z", false),
        ("2026-11-21T22:00:00Z", true),
        ("2026-11-21T23:59:59Z", true),
        ("2026-11-22T00:00:00Z", true),
        ("2026-11-22T04:59:59Z", true),
        ("2026-11-22T05:00:00Z", false),
    ];
    open("22:00-05:00[UTC]", &times);
    let times = [("2026-11-21T23:59:59Z", true), ("2026-11-22T00:00:00Z", false)];
    open("22:00-24:00[UTC]", &times);
    open("22:00-00:00[UTC]", &times);
}

#[test]
fn a_zone_moves_the_window() {
    let times = [
        ("2026-11-20T19:29:59Z", false),
        ("2026-11-20T19:30:00Z", true),
        ("2026-11-20T23:30:00Z", false),
    ];
    open("01:00-05:00[Asia/Kolkata]", &times);
}

#[test]
fn outside_the_reason_says_when_it_opens_next() {
    assert_eq!(
        stopped("01:00-05:00[Europe/Berlin]", "2026-11-21T12:00:00Z"),
        "outside --window 01:00-05:00[Europe/Berlin]; next opens at 2026-11-22 01:00 CET"
    );
    assert_eq!(
        stopped("01:00-05:00[UTC]", "2026-11-21T00:00:00Z"),
        "outside --window 01:00-05:00[UTC]; next opens at 2026-11-21 01:00 UTC"
    );
}

/// Berlin, 2026-03-29: 02:00 CET (01:00Z) becomes 03:00 CEST.
#[test]
fn a_skipped_hour_neither_opens_nor_keeps_open() {
    let times = [
        ("2026-03-29T00:59:59Z", true),
        ("2026-03-29T01:00:00Z", false),
        ("2026-03-29T01:29:59Z", false),
    ];
    open("01:00-02:30[Europe/Berlin]", &times);
    let times = [
        ("2026-03-29T00:59:59Z", false),
        ("2026-03-29T01:00:00Z", true),
        ("2026-03-29T01:14:59Z", true),
        ("2026-03-29T01:15:00Z", false),
    ];
    open("02:30-03:15[Europe/Berlin]", &times);
    assert_eq!(
        stopped("02:00-02:30[Europe/Berlin]", "2026-03-29T00:00:00Z"),
        "outside --window 02:00-02:30[Europe/Berlin]; next opens at 2026-03-30 02:00 CEST"
    );
}

/// Berlin, 2026-10-25: 03:00 CEST (01:00Z) becomes 02:00 CET.
#[test]
fn a_repeated_hour_opens_once_and_interrupts_nothing() {
    let times = [
        ("2026-10-25T00:00:00Z", true),
        ("2026-10-25T00:30:00Z", false),
        ("2026-10-25T01:00:00Z", false),
        ("2026-10-25T01:29:59Z", false),
    ];
    open("02:00-02:30[Europe/Berlin]", &times);
    let times = [
        ("2026-10-25T00:29:59Z", false),
        ("2026-10-25T00:30:00Z", true),
        ("2026-10-25T01:00:00Z", true),
        ("2026-10-25T03:59:59Z", true),
        ("2026-10-25T04:00:00Z", false),
    ];
    open("02:30-05:00[Europe/Berlin]", &times);
}

/// Apia had no 2011-12-30: 24:00 on the 29th (10:00Z) was 00:00 on the 31st.
#[test]
fn a_skipped_day_has_no_window() {
    assert_eq!(
        stopped("09:00-10:00[Pacific/Apia]", "2011-12-30T09:00:00Z"),
        "outside --window 09:00-10:00[Pacific/Apia]; next opens at 2011-12-31 09:00 +14"
    );
}

#[test]
fn every_second_of_a_year_is_inside_or_knows_the_next_opening() {
    let mut now = 1_767_225_600;
    let mut window = window("02:30-03:15[America/New_York]");
    for _ in 0..365 * 96 {
        let moment = Moment { monotonic: Duration::ZERO, unix_seconds: now };
        match window.check(moment, &Work::default()) {
            Verdict::Go => {}
            Verdict::Stop(reason) => assert!(reason.contains("next opens at "), "{reason}"),
            Verdict::Pause(pause) => panic!("{pause}"),
        }
        now += 900;
    }
}

#[test]
fn a_time_that_cannot_be_told_pauses() {
    let now = Moment { monotonic: Duration::ZERO, unix_seconds: i64::MAX };
    let pause = paused(window("01:00-05:00[UTC]").check(now, &Work::default()));
    assert!(pause.to_string().starts_with("window cannot tell the time of day: "));
}

#[test]
fn without_a_zone_the_machine_decides() {
    match "01:00-05:00".parse::<Window>() {
        Ok(window) => assert_eq!(window.to_string(), "01:00-05:00"),
        Err(error) => assert!(matches!(error, WindowError::NoLocalZone { .. }), "{error}"),
    }
}

#[test]
fn what_is_no_window_is_refused() {
    let refusal = |text: &str| match text.parse::<Window>() {
        Ok(window) => panic!("accepted {window}"),
        Err(error) => error.to_string(),
    };
    let form = "is no window; write HH:MM-HH:MM and an optional time zone, such as \
                01:00-05:00[Europe/Berlin]";
    for text in [
        "",
        "01:00",
        "1-5",
        "01:00-05:00[UTC",
        "01:00-05:00]",
        "25:00-05:00",
        "01:60-05:00",
        "01:0-05:00",
        "24:00-05:00",
        "001:00-05:00",
        "+1:00-05:00",
        ":00-05:00",
        "01:00-05:00-06:00",
        "01:00:00-05:00",
    ] {
        assert_eq!(refusal(text), format!("{text:?} {form}"));
    }
    assert_eq!(
        refusal("01:00-1:00[UTC]"),
        "\"01:00-1:00[UTC]\" closes when it opens; leave the window out to run at any time"
    );
    assert_eq!(
        refusal("01:00-05:00[Mars/Base]"),
        "there is no time zone \"Mars/Base\"; write a name of the IANA database, such as \
         Europe/Berlin or UTC"
    );
    assert_eq!(window(" 1:00 - 5:00 [utc] ").to_string(), "1:00 - 5:00 [utc]");
}
