//! The hours of a week in a time zone (data-plane 14.4, `time_window`).
//!
//! Start at [`Window`].

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use lw_core::UnixMicros;
use serde_json::Value;

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// The farthest that a zone is from UTC, in hours.
const FARTHEST: u16 = 14;

/// Hours of some days. What ends before it begins goes on after midnight and belongs to the day on which it
/// began.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// Whether it begins on a day, from Sunday on.
    days: [bool; 7],
    /// Its first minute of the day.
    from: u16,
    /// The minute of the day before which it ends; up to and including [`DAY`].
    to: u16,
    zone: TimeZone,
}

impl Window {
    /// Reads `{days, from, to, tz}`. Without days it is every day, without times all day, without a zone
    /// UTC. `None` when anything in it is not understood.
    pub(super) fn read(stored: &Value) -> Option<Self> {
        let mut window = Self {
            days: [true; 7],
            from: 0,
            to: DAY,
            zone: TimeZone::UTC,
        };
        for (name, value) in stored.as_object()? {
            match (name.as_str(), value) {
                ("days" | "from" | "to" | "tz", Value::Null) => {}
                ("days", Value::Array(days)) => window.days = week(days)?,
                ("from", Value::String(time)) => {
                    window.from = minute_of_day(time).filter(|minute| *minute < DAY)?;
                }
                ("to", Value::String(time)) => window.to = minute_of_day(time)?,
                ("tz", Value::String(name)) => window.zone = zone(name)?,
                _ => return None,
            }
        }
        (window.from != window.to).then_some(window)
    }

    /// Whether an instant lies in it.
    pub(super) fn contains(&self, at: UnixMicros) -> bool {
        let Self {
            days,
            from,
            to,
            zone,
        } = self;
        let Ok(at) = Timestamp::from_microsecond(at.0) else {
            return false;
        };
        let there = zone.to_datetime(at);
        let minute =
            u16::from(there.hour().unsigned_abs()) * 60 + u16::from(there.minute().unsigned_abs());
        let begins_on = |day: i8| {
            usize::try_from(day.rem_euclid(7)).is_ok_and(|day| days.get(day) == Some(&true))
        };
        let today = there.weekday().to_sunday_zero_offset();
        if from < to {
            return begins_on(today) && (*from..*to).contains(&minute);
        }
        (minute >= *from && begins_on(today)) || (minute < *to && begins_on(today - 1))
    }
}

/// Days by their numbers; at least one.
fn week(numbers: &[Value]) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for number in numbers {
        let day = usize::try_from(number.as_u64()?).ok()?;
        *days.get_mut(day)? = true;
    }
    days.contains(&true).then_some(days)
}

/// The minute that `HH:MM` is; `24:00` is the end of the day.
fn minute_of_day(time: &str) -> Option<u16> {
    let (hours, minutes) = time.split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY).then_some(minute)
}

fn two_digits(text: &str) -> Option<u16> {
    let fine = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    fine.then(|| text.parse().ok()).flatten()
}

/// A name of the IANA database, or an offset such as `+02:00`. Asks only what is compiled in, so that every
/// machine knows the same zones.
fn zone(name: &str) -> Option<TimeZone> {
    let (sign, offset) = match (name.strip_prefix('+'), name.strip_prefix('-')) {
        (Some(offset), _) => (1, offset),
        (None, Some(offset)) => (-1, offset),
        (None, None) => return jiff::tz::db().get(name).ok(),
    };
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if hours > FARTHEST || minutes >= 60 {
        return None;
    }
    let seconds = i32::from(hours * 60 + minutes) * 60;
    Offset::from_seconds(sign * seconds)
        .ok()
        .map(TimeZone::fixed)
}
