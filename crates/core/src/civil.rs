//! The calendar in UTC, as arithmetic on whole days. Total: there is no date that it refuses.
//!
//! Holds the proleptic Gregorian calendar and nothing else: no zones, no leap seconds. Start at
//! [`Date`].

use crate::UnixMicros;

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;

/// Days of 400 years, after which the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_FROM_MARCH: i64 = 719_468;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// The year; 0 is the year before 1.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to the days of the month.
    pub day: i64,
}

impl Date {
    /// The day that `at` lies in.
    #[must_use]
    pub const fn of(at: UnixMicros) -> Self {
        // Years begin in March here, so that the leap day is the last of its year and the lengths of
        // the months before it follow one line: 153 days in five months.
        let days = at.0.div_euclid(DAY_US) + EPOCH_FROM_MARCH;
        let cycle = days.div_euclid(CYCLE_DAYS);
        let day_of_cycle = days.rem_euclid(CYCLE_DAYS);
        let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524
            - day_of_cycle / 146_096)
            / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = cycle * 400 + year_of_cycle + if month <= 2 { 1 } else { 0 };
        Self { year, month, day }
    }

    /// The midnight that opens the day; saturates at the ends of the range.
    #[must_use]
    pub const fn start(self) -> UnixMicros {
        let Self { year, month, day } = self;
        let year = if month <= 2 { year - 1 } else { year };
        let year_of_cycle = year.rem_euclid(400);
        let from_march = (month + 9) % 12;
        let day_of_year = (153 * from_march + 2) / 5 + day - 1;
        let day_of_cycle =
            year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
        let days = year.div_euclid(400) * CYCLE_DAYS + day_of_cycle - EPOCH_FROM_MARCH;
        UnixMicros(days.saturating_mul(DAY_US))
    }

    /// Months since January of the year 0: the month as a number that can be counted with.
    #[must_use]
    pub const fn month_index(self) -> i64 {
        self.year * 12 + self.month - 1
    }

    /// The given day of a month from [`Self::month_index`], or the last day of it when it is shorter.
    #[must_use]
    pub const fn in_month(index: i64, day: i64) -> Self {
        let year = index.div_euclid(12);
        let month = index.rem_euclid(12) + 1;
        let last = days_in_month(year, month);
        Self {
            year,
            month,
            day: if day < last { day } else { last },
        }
    }
}

/// How many days the month has; `month` is 1 to 12.
#[must_use]
pub const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0
            && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) =>
        {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use jiff::{Timestamp, civil};

    use super::*;

    #[test]
    fn leap_years_are_those_of_the_gregorian_calendar() {
        for (year, days) in [(1900, 28), (2000, 29), (2023, 28), (2024, 29), (2100, 28)] {
            assert_eq!(days_in_month(year, 2), days, "{year}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_dates_too() {
        for at in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
            let date = Date::of(UnixMicros(at));
            assert!((1..=12).contains(&date.month), "{date:?}");
            let start = date.start().0;
            assert!(start <= at, "{date:?}");
            assert!(
                i128::from(at) - i128::from(start) < i128::from(DAY_US),
                "{date:?}"
            );
        }
    }

    #[test]
    fn a_month_that_is_too_short_gives_its_last_day() {
        let january = Date {
            year: 2023,
            month: 1,
            day: 31,
        };
        let days: Vec<_> = (0..4)
            .map(|n| Date::in_month(january.month_index() + n, january.day).day)
            .collect();
        assert_eq!(days, [31, 28, 31, 30]);
        assert_eq!(
            Date::in_month(january.month_index() - 1, 31),
            Date {
                year: 2022,
                month: 12,
                day: 31
            }
        );
    }

    #[test]
    fn every_day_of_eight_centuries_is_that_of_an_independent_calendar() {
        let mut expected = civil::date(1600, 1, 1);
        let first = Timestamp::from(expected.to_zoned(TimeZone::UTC).expect("a day"));
        for days in 0.. {
            let start = UnixMicros(first.as_microsecond() + days * DAY_US);
            let date = Date {
                year: expected.year().into(),
                month: expected.month().into(),
                day: expected.day().into(),
            };
            assert_eq!(Date::of(start), date);
            assert_eq!(Date::of(start.plus_micros(DAY_US - 1)), date);
            assert_eq!(date.start(), start);
            assert_eq!(
                days_in_month(date.year, date.month),
                i64::from(expected.days_in_month())
            );
            if expected == civil::date(2400, 12, 31) {
                return;
            }
            expected = expected.tomorrow().expect("a day");
        }
    }
}
