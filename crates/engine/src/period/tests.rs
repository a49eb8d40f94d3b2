//! Periods as tables of instants, and their laws for random ones.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn at(text: &str) -> UnixMicros {
    UnixMicros::parse_rfc3339(text).expect(text)
}

fn text(at: UnixMicros) -> String {
    at.to_rfc3339().replace(".000Z", "Z")
}

#[test]
fn windows_are_written_in_lower_case() {
    for window in Window::ALL {
        assert_eq!(Window::parse(window.as_str()), Some(*window));
    }
    assert_eq!(Window::parse("MONTH"), None);
    let endless: Vec<_> = Window::ALL.iter().filter(|w| !w.cycles()).collect();
    assert_eq!(endless, [&Window::Total, &Window::Manual]);
}

#[test]
fn periods_of_the_calendar_begin_where_their_unit_does() {
    for (window, now, start, next) in [
        (
            "minute",
            "2026-07-01T12:34:56Z",
            "2026-07-01T12:34:00Z",
            "2026-07-01T12:35:00Z",
        ),
        (
            "hour",
            "2026-07-01T12:34:56Z",
            "2026-07-01T12:00:00Z",
            "2026-07-01T13:00:00Z",
        ),
        (
            "day",
            "2026-07-01T12:34:56Z",
            "2026-07-01T00:00:00Z",
            "2026-07-02T00:00:00Z",
        ),
        // A Wednesday, a Sunday, and a Monday, which opens its own week.
        (
            "week",
            "2026-07-01T12:34:56Z",
            "2026-06-29T00:00:00Z",
            "2026-07-06T00:00:00Z",
        ),
        (
            "week",
            "2026-07-05T23:59:59Z",
            "2026-06-29T00:00:00Z",
            "2026-07-06T00:00:00Z",
        ),
        (
            "week",
            "2026-07-06T00:00:00Z",
            "2026-07-06T00:00:00Z",
            "2026-07-13T00:00:00Z",
        ),
        (
            "week",
            "1969-12-31T00:00:00Z",
            "1969-12-29T00:00:00Z",
            "1970-01-05T00:00:00Z",
        ),
        (
            "month",
            "2026-12-31T23:59:59Z",
            "2026-12-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ),
        (
            "month",
            "2024-02-29T00:00:00Z",
            "2024-02-01T00:00:00Z",
            "2024-03-01T00:00:00Z",
        ),
        (
            "month",
            "2026-07-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
            "2026-08-01T00:00:00Z",
        ),
    ] {
        let window = Window::parse(window).expect(window);
        let now = at(now);
        assert_eq!(
            calendar_start(window, now).map(text).as_deref(),
            Some(start)
        );
        assert_eq!(text(next_boundary(window, None, now)), next);
    }
    for window in [Window::Total, Window::Manual] {
        assert_eq!(calendar_start(window, at("2026-07-01T00:00:00Z")), None);
        let next = next_boundary(window, None, at("2026-07-01T00:00:00Z"));
        assert_eq!(text(next), "9999-12-31T00:00:00Z");
    }
}

#[test]
fn periods_of_an_anchor_are_counted_from_it() {
    let last_day = "2024-01-31T15:30:00Z";
    for (window, anchor, now, start, next) in [
        // The clock is before the anchor.
        (
            "month",
            last_day,
            "2024-01-31T15:29:59Z",
            last_day,
            last_day,
        ),
        ("day", last_day, "2023-01-01T00:00:00Z", last_day, last_day),
        // On it.
        (
            "month",
            last_day,
            last_day,
            last_day,
            "2024-02-29T15:30:00Z",
        ),
        // A leap February, and March has its 31st again.
        (
            "month",
            last_day,
            "2024-02-29T15:29:59Z",
            last_day,
            "2024-02-29T15:30:00Z",
        ),
        (
            "month",
            last_day,
            "2024-02-29T15:30:00Z",
            "2024-02-29T15:30:00Z",
            "2024-03-31T15:30:00Z",
        ),
        (
            "month",
            last_day,
            "2024-04-30T15:29:59Z",
            "2024-03-31T15:30:00Z",
            "2024-04-30T15:30:00Z",
        ),
        (
            "month",
            last_day,
            "2025-02-28T16:00:00Z",
            "2025-02-28T15:30:00Z",
            "2025-03-31T15:30:00Z",
        ),
        (
            "month",
            "2024-02-29T00:00:00Z",
            "2025-02-27T00:00:00Z",
            "2025-01-29T00:00:00Z",
            "2025-02-28T00:00:00Z",
        ),
        (
            "minute",
            "2026-07-01T00:00:30Z",
            "2026-07-01T12:00:29Z",
            "2026-07-01T11:59:30Z",
            "2026-07-01T12:00:30Z",
        ),
        (
            "hour",
            "2026-07-01T00:15:00Z",
            "2026-07-02T12:14:59Z",
            "2026-07-02T11:15:00Z",
            "2026-07-02T12:15:00Z",
        ),
        (
            "day",
            "2026-07-01T06:00:00Z",
            "2026-07-05T06:00:00Z",
            "2026-07-05T06:00:00Z",
            "2026-07-06T06:00:00Z",
        ),
        (
            "week",
            "2026-07-01T00:00:00Z",
            "2026-07-14T23:00:00Z",
            "2026-07-08T00:00:00Z",
            "2026-07-15T00:00:00Z",
        ),
    ] {
        let window = Window::parse(window).expect(window);
        let (anchor, now) = (at(anchor), at(now));
        let schedule = Schedule::opening(window, Some(anchor), now);
        let case = format!("{} {} {}", window.as_str(), text(anchor), text(now));
        assert_eq!(
            anchored_start(window, anchor, now).map(text).as_deref(),
            Some(start),
            "{case}"
        );
        assert_eq!(
            text(next_boundary(window, Some(anchor), now)),
            next,
            "{case}"
        );
        assert_eq!(
            schedule.floor(now).map(text).as_deref(),
            Some(start),
            "{case}"
        );
        assert_eq!(text(schedule.published(now).start), start, "{case}");
        assert_eq!(text(schedule.published(now).resets_at), next, "{case}");
    }
}

#[test]
fn a_reset_in_the_middle_shortens_only_the_period_it_falls_into() {
    let created = at("2026-07-03T00:00:00Z");
    let reset = at("2026-07-10T08:00:00Z");
    let read = |schedule: &Schedule, now: &str| {
        let Period { start, resets_at } = schedule.published(at(now));
        (
            schedule.floor(at(now)).map(text),
            text(start),
            text(resets_at),
        )
    };
    let pair = |floor: Option<&str>, start: &str, next: &str| {
        (floor.map(str::to_owned), start.to_owned(), next.to_owned())
    };

    let calendar = Schedule::opening(Window::Month, None, created);
    assert_eq!(
        read(&calendar, "2026-07-20T00:00:00Z"),
        pair(None, "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z")
    );
    let calendar = calendar.reset(reset);
    assert_eq!(
        read(&calendar, "2026-07-20T00:00:00Z"),
        pair(
            Some("2026-07-10T08:00:00Z"),
            "2026-07-10T08:00:00Z",
            "2026-08-01T00:00:00Z"
        )
    );
    assert_eq!(
        read(&calendar, "2026-08-01T00:00:00Z"),
        pair(None, "2026-08-01T00:00:00Z", "2026-09-01T00:00:00Z")
    );

    // One that falls onto a boundary changes nothing.
    let on_boundary = calendar.reset(at("2026-07-01T00:00:00Z"));
    assert_eq!(
        read(&on_boundary, "2026-07-20T00:00:00Z"),
        pair(None, "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z")
    );

    let anchored = Schedule::opening(Window::Month, Some(at("2026-06-05T00:00:00Z")), created);
    assert_eq!(text(anchored.period_started_at), "2026-06-05T00:00:00Z");
    let anchored = anchored.reset(reset);
    assert_eq!(
        read(&anchored, "2026-07-20T00:00:00Z"),
        pair(
            Some("2026-07-10T08:00:00Z"),
            "2026-07-10T08:00:00Z",
            "2026-08-05T00:00:00Z"
        )
    );
    assert_eq!(
        read(&anchored, "2026-08-05T00:00:00Z"),
        pair(
            Some("2026-08-05T00:00:00Z"),
            "2026-08-05T00:00:00Z",
            "2026-09-05T00:00:00Z"
        )
    );

    let never = "9999-12-31T00:00:00Z";
    let total = Schedule::opening(Window::Total, None, created);
    assert_eq!(
        read(&total, "2027-01-01T00:00:00Z"),
        pair(None, "2026-07-03T00:00:00Z", never)
    );
    assert_eq!(total.counts_from(at("2027-01-01T00:00:00Z")), None);
    let total = total.reset(reset);
    assert_eq!(
        read(&total, "2027-01-01T00:00:00Z"),
        pair(Some("2026-07-10T08:00:00Z"), "2026-07-10T08:00:00Z", never)
    );

    let manual = Schedule::opening(Window::Manual, None, created);
    let before = pair(Some("2026-07-03T00:00:00Z"), "2026-07-03T00:00:00Z", never);
    assert_eq!(read(&manual, "2027-01-01T00:00:00Z"), before);
    let manual = manual.reset(reset);
    let after = pair(Some("2026-07-10T08:00:00Z"), "2026-07-10T08:00:00Z", never);
    assert_eq!(read(&manual, "2027-01-01T00:00:00Z"), after);
}

#[test]
fn a_bucket_counts_from_the_later_of_the_two_boundaries() {
    let now = at("2026-07-20T00:00:00Z");
    let month = Schedule::opening(Window::Month, None, now);
    let total = Schedule::opening(Window::Total, None, now);
    let july = at("2026-07-01T00:00:00Z");
    let (june, later) = (at("2026-06-10T00:00:00Z"), at("2026-07-10T00:00:00Z"));
    for (schedule, boundary, expected) in [
        (month, None, Some(july)),
        (month, Some(june), Some(july)),
        (month, Some(later), Some(later)),
        (total, None, None),
        (total, Some(june), Some(june)),
    ] {
        assert_eq!(schedule.bucket_counts_from(boundary, now), expected);
    }
}

/// The years 1970 to 2200, in microseconds.
fn some_time() -> impl Strategy<Value = UnixMicros> {
    // Near whole minutes and days as often as anywhere.
    prop_oneof![
        (0_i64..7_258_000_000_000_000).prop_map(UnixMicros),
        (0_i64..84_000, -2_i64..3).prop_map(|(day, off)| UnixMicros(day * DAY_US + off)),
    ]
}

fn cycling() -> impl Strategy<Value = Window> {
    select(vec![
        Window::Minute,
        Window::Hour,
        Window::Day,
        Window::Week,
        Window::Month,
    ])
}

/// The start of a period by either rule.
fn start_of(window: Window, anchor: Option<UnixMicros>, now: UnixMicros) -> UnixMicros {
    let start = match anchor {
        Some(anchor) => anchored_start(window, anchor, now),
        None => calendar_start(window, now),
    };
    start.expect("a window that cycles")
}

fn civil(at: UnixMicros) -> DateTime {
    let stamp = Timestamp::from_microsecond(at.0).expect("within its range");
    stamp.to_zoned(TimeZone::UTC).datetime()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn now_lies_in_its_period_and_boundaries_open_theirs(
        window in cycling(),
        anchor in option::of(some_time()),
        now in some_time(),
    ) {
        let start = start_of(window, anchor, now);
        let next = next_boundary(window, anchor, now);
        if anchor.is_some_and(|anchor| now < anchor) {
            prop_assert_eq!((Some(start), Some(next)), (anchor, anchor));
        } else {
            prop_assert!(start <= now && now < next, "{start:?} {now:?} {next:?}");
            let last = next.plus_micros(-1);
            prop_assert_eq!(start_of(window, anchor, last), start);
            prop_assert_eq!(next_boundary(window, anchor, last), next);
        }
        prop_assert_eq!(start_of(window, anchor, start), start);
        prop_assert_eq!(start_of(window, anchor, next), next);
        prop_assert!(next_boundary(window, anchor, next) > next);
    }

    #[test]
    fn periods_never_go_back_in_time(
        window in cycling(),
        anchor in option::of(some_time()),
        one in some_time(),
        other in some_time(),
        reset in option::of(some_time()),
    ) {
        let (early, late) = (one.min(other), one.max(other));
        let opened = Schedule::opening(window, anchor, early);
        let schedule = reset.map_or(opened, |at| opened.reset(at));
        let (first, second) = (schedule.published(early), schedule.published(late));
        prop_assert!(first.start <= second.start);
        prop_assert!(first.resets_at <= second.resets_at);
        // A reset never lets older spend count again.
        prop_assert!(schedule.counts_from(late) >= opened.counts_from(late));
    }

    #[test]
    fn months_of_an_anchor_are_those_of_an_independent_calendar(
        anchor in some_time(),
        ahead in 0_i64..1200,
        last_days in any::<bool>(),
    ) {
        // The ends of months are where calendars differ.
        let date = Date::of(anchor);
        let anchor = if last_days {
            Date::in_month(date.month_index(), 28 + date.day % 4).start()
        } else {
            anchor
        };
        let expected = civil(anchor).checked_add(Span::new().months(ahead)).expect("a date");
        let start = month_cycle(anchor, ahead);
        prop_assert_eq!(civil(start), expected);
        prop_assert_eq!(months_since(anchor, start), ahead);
        prop_assert_eq!(anchored_start(Window::Month, anchor, start), Some(start));
    }
}
