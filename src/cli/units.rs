//! Times, sizes, counts and rates as people write them. Numbers for machines never pass here.

use std::time::Duration;

/// How long a job took, how fast it was, and how much of it was a pause.
#[must_use]
pub fn work_time(took: f64, rows_per_second: f64, throttled: f64) -> String {
    let text = format!("{}, {}", seconds(took), rate(rows_per_second, "rows"));
    if throttled < 0.05 { text } else { format!("{text}, {} of it paused", seconds(throttled)) }
}

/// `1,234,567`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `512 B`, `1.2 GiB`: powers of 1024, three digits at most before the unit.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = float(n) / 1024.0;
    let mut unit = 0;
    // 1023.95 KiB would be written 1024.0 KiB.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 9.95) + usize::from(value < 99.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `12 ms`, `4.8 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if time.as_millis() < 1 {
        return if time.is_zero() { "0 s".to_owned() } else { "<1 ms".to_owned() };
    }
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = (time + Duration::from_millis(500)).as_secs();
    let (minutes, hours) = (whole / 60, whole / 3600);
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{minutes} min {:02} s", whole % 60),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// [`duration`] of a number of seconds; `-` where it is no number that time can have.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "-".to_owned(), duration)
}

/// `410,000 rows/s`: three significant digits.
#[must_use]
pub fn rate(per_second: f64, what: &str) -> String {
    if !per_second.is_finite() || per_second <= 0.0 {
        return format!("0 {what}/s");
    }
    if per_second < 9.95 {
        return format!("{per_second:.1} {what}/s");
    }
    let mut step = 1_u64;
    let whole = round(per_second);
    while whole / step >= 1000 {
        step *= 10;
    }
    format!("{} {what}/s", count((whole + step / 2) / step * step))
}

/// `61.3 %`; never `100.0 %` for less than the whole.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if part >= whole {
        return "100 %".to_owned();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn float(n: u64) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and a cast saturates"
)]
fn round(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (n, want) in cases {
            assert_eq!(count(n), want);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn bytes_have_a_unit() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (64 << 20, "64.0 MiB"),
            (1_288_490_189, "1.20 GiB"),
            (1_048_575, "1.00 MiB"),
            (139_000_000, "133 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (n, want) in cases {
            assert_eq!(bytes(n), want, "{n}");
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let cases = [
            (0, "0 s"),
            (12, "12 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (4_800, "4.8 s"),
            (9_949, "9.9 s"),
            (9_999, "10 s"),
            (59_700, "1 min 00 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 05 min"),
            (273_600_000, "3 d 4 h"),
        ];
        for (ms, want) in cases {
            assert_eq!(duration(Duration::from_millis(ms)), want, "{ms}");
        }
        assert_eq!(duration(Duration::from_micros(3)), "<1 ms");
        assert_eq!(seconds(f64::NAN), "-");
        assert_eq!(seconds(-1.0), "-");
    }

    #[test]
    fn rates_have_three_digits() {
        let cases = [
            (410_231.0, "410,000 rows/s"),
            (1_399_999.0, "1,400,000 rows/s"),
            (12.4, "12 rows/s"),
            (0.25, "0.2 rows/s"),
            (0.0, "0 rows/s"),
            (f64::INFINITY, "0 rows/s"),
        ];
        for (rate_seen, want) in cases {
            assert_eq!(rate(rate_seen, "rows"), want);
        }
    }

    #[test]
    fn only_the_whole_is_a_hundred_percent() {
        assert_eq!(percent(613, 1000), "61.3 %");
        assert_eq!(percent(999_999, 1_000_000), "99.9 %");
        assert_eq!(percent(5, 5), "100 %");
        assert_eq!(percent(0, 0), "100 %");
    }
}
