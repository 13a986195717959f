//! The signal `window`: the times of day at which the job may write.
//!
//! # Definitions
//! A window is `HH:MM-HH:MM[Zone]`. `Zone` is a name of the IANA time zone database; without one
//! the times are those of the machine. It opens on every day at the first time, which belongs to
//! it, and closes at the next occurrence of the second time, which does not; `24:00` is the
//! midnight that ends a day.
//!
//! # Invariants
//! Where clocks go back, a time that occurs twice means its first occurrence, so that a window
//! opens once a day and is never interrupted. Where they go forward, a time that is skipped
//! means the moment of the change: a window that lies in the skipped hour does not open.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::error::WindowError;
use super::{Moment, Pause, Throttle, Verdict, Work};

/// How many days ahead the next opening is looked for: one may be skipped, and a zone may skip a
/// whole date.
const DAYS_AHEAD: i32 = 4;
/// How soon to look again when the time cannot be told.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The times of day at which a job may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    text: String,
    opens: Time,
    closes: Time,
    zone: TimeZone,
}

impl Window {
    /// Whether the window is open at `unix_seconds`, and if not, when it opens next.
    fn state(&self, unix_seconds: i64) -> Result<State, jiff::Error> {
        let now = Timestamp::from_second(unix_seconds)?;
        let today = self.zone.to_datetime(now).date();
        let mut day = today.yesterday()?;
        for _ in 0..DAYS_AHEAD + 2 {
            let next_day = day.tomorrow()?;
            let opens = self.instant(day, self.opens)?;
            let crosses_midnight = self.closes <= self.opens;
            let closing_day = if crosses_midnight { next_day } else { day };
            let closes = self.instant(closing_day, self.closes)?;
            if opens <= now && now < closes {
                return Ok(State::Open);
            }
            if now < opens && opens < closes {
                return Ok(State::Opens(opens));
            }
            day = next_day;
        }
        Ok(State::Closed)
    }

    /// When it is `time` on `date`: the first occurrence, or the change that skipped it.
    fn instant(&self, date: Date, time: Time) -> Result<Timestamp, jiff::Error> {
        let ambiguous = self.zone.to_ambiguous_timestamp(date.to_datetime(time));
        let in_gap = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        let earlier = ambiguous.earlier()?;
        if !in_gap {
            return Ok(earlier);
        }
        let change = self.zone.following(earlier).next();
        Ok(change.map_or(earlier, |change| change.timestamp()))
    }

    fn outside(&self, next: Option<Timestamp>) -> String {
        let next = match next {
            Some(at) => at
                .to_zoned(self.zone.clone())
                .strftime("next opens at %Y-%m-%d %H:%M %Z")
                .to_string(),
            None => format!("does not open within {DAYS_AHEAD} days"),
        };
        format!("outside --window {self}; {next}")
    }
}

enum State {
    Open,
    Opens(Timestamp),
    Closed,
}

impl Throttle for Window {
    fn check(&mut self, now: Moment, _: &Work) -> Verdict {
        match self.state(now.unix_seconds) {
            Ok(State::Open) => Verdict::Go,
            Ok(State::Opens(at)) => Verdict::Stop(self.outside(Some(at))),
            Ok(State::Closed) => Verdict::Stop(self.outside(None)),
            Err(error) => Verdict::Pause(Pause {
                signal: "window".to_owned(),
                seen: format!("cannot tell the time of day: {error}"),
                limit: String::new(),
                wait: LOOK_AGAIN,
            }),
        }
    }
}

/// Shown as it was written.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let text = text.trim();
        let form = || WindowError::Form { text: text.to_owned() };
        let (times, zone) = match text.split_once('[') {
            Some((times, rest)) => (times, Some(rest.strip_suffix(']').ok_or_else(form)?)),
            None => (text, None),
        };
        let (opens, closes) = times.split_once('-').ok_or_else(form)?;
        let opens = time(opens).ok_or_else(form)?;
        let closes = match closes.trim() {
            "24:00" => Time::midnight(),
            closes => time(closes).ok_or_else(form)?,
        };
        if opens == closes {
            let text = text.to_owned();
            return Err(WindowError::Empty { text });
        }
        let text = text.to_owned();
        let zone = zone.map_or_else(local_zone, named_zone)?;
        Ok(Self { text, opens, closes, zone })
    }
}

/// `H:MM` or `HH:MM`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if hour.len() > 2 || minute.len() != 2 || !is_number(hour) || !is_number(minute) {
        return None;
    }
    let (Ok(hour), Ok(minute)) = (hour.parse(), minute.parse()) else {
        return None;
    };
    Time::new(hour, minute, 0, 0).ok()
}

fn named_zone(name: &str) -> Result<TimeZone, WindowError> {
    TimeZone::get(name.trim()).map_err(|_| WindowError::UnknownZone { zone: name.to_owned() })
}

fn local_zone() -> Result<TimeZone, WindowError> {
    TimeZone::try_system().map_err(|error| WindowError::NoLocalZone { problem: error.to_string() })
}
