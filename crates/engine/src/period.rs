//! Periods of budgets: where the current one began and when the next one begins (domain 12).
//!
//! Everything is UTC. An instant that is a boundary belongs to the period that it opens. Must never
//! read a clock: `now` is the instant at which the spend was read. Start at [`Schedule`].

#[cfg(test)]
mod tests;

use lw_core::UnixMicros;
use lw_core::civil::{DAY_US, Date};

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 3_600_000_000;
const WEEK_US: i64 = 7 * DAY_US;
/// From a Monday to the Thursday that 1970 began on.
const MONDAY_TO_EPOCH_US: i64 = 3 * DAY_US;

/// The boundary of budgets that have none: 9999-12-31T00:00:00Z.
pub const NEVER: UnixMicros = UnixMicros(253_402_214_400_000_000);

/// How long a budget lasts before it starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month, or from an anchor to the same day of the next month.
    Month,
    /// For ever.
    Total,
    /// Until somebody resets it.
    Manual,
}

impl Window {
    /// Every window, shortest first.
    pub const ALL: &[Self] = &[
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Total,
        Self::Manual,
    ];

    /// The window as it is written: lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
            Self::Manual => "manual",
        }
    }

    /// Reads a window, in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|window| window.as_str() == text)
    }

    /// Whether it starts anew by itself. Only such a window can have an anchor.
    #[must_use]
    pub const fn cycles(self) -> bool {
        !matches!(self.shape(), Shape::Endless)
    }

    const fn shape(self) -> Shape {
        match self {
            Self::Minute => Shape::Fixed {
                length: MINUTE_US,
                phase: 0,
            },
            Self::Hour => Shape::Fixed {
                length: HOUR_US,
                phase: 0,
            },
            Self::Day => Shape::Fixed {
                length: DAY_US,
                phase: 0,
            },
            Self::Week => Shape::Fixed {
                length: WEEK_US,
                phase: -MONDAY_TO_EPOCH_US,
            },
            Self::Month => Shape::Month,
            Self::Total | Self::Manual => Shape::Endless,
        }
    }
}

/// What periods of a window look like.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// All equally long; `phase` is the start of one of the calendar's.
    Fixed { length: i64, phase: i64 },
    /// As long as the months are.
    Month,
    /// One.
    Endless,
}

/// Where the calendar's period of `window` began. `None` for windows that do not cycle.
#[must_use]
pub const fn calendar_start(window: Window, now: UnixMicros) -> Option<UnixMicros> {
    match window.shape() {
        Shape::Fixed { length, phase } => Some(step(phase, length, now)),
        Shape::Month => Some(
            Date {
                day: 1,
                ..Date::of(now)
            }
            .start(),
        ),
        Shape::Endless => None,
    }
}

/// Where the period that `anchor` counts from began; the anchor itself while it lies ahead. `None` for
/// windows that do not cycle.
#[must_use]
pub const fn anchored_start(
    window: Window,
    anchor: UnixMicros,
    now: UnixMicros,
) -> Option<UnixMicros> {
    if now.0 < anchor.0 {
        return if window.cycles() { Some(anchor) } else { None };
    }
    match window.shape() {
        Shape::Fixed { length, .. } => Some(step(anchor.0, length, now)),
        Shape::Month => Some(month_cycle(anchor, months_since(anchor, now))),
        Shape::Endless => None,
    }
}

/// When the next period begins: [`NEVER`] for windows that do not cycle, the anchor while it lies ahead.
#[must_use]
pub const fn next_boundary(
    window: Window,
    anchor: Option<UnixMicros>,
    now: UnixMicros,
) -> UnixMicros {
    match (window.shape(), anchor) {
        (Shape::Endless, _) => NEVER,
        (_, Some(anchor)) if now.0 < anchor.0 => anchor,
        (Shape::Fixed { length, phase }, anchor) => {
            let from = match anchor {
                Some(anchor) => anchor.0,
                None => phase,
            };
            step(from, length, now).plus_micros(length)
        }
        (Shape::Month, Some(anchor)) => month_cycle(anchor, months_since(anchor, now) + 1),
        (Shape::Month, None) => Date::in_month(Date::of(now).month_index() + 1, 1).start(),
    }
}

/// The last of `from`, `from + length`, `from - length`, … that is not after `now`.
const fn step(from: i64, length: i64, now: UnixMicros) -> UnixMicros {
    // In the phase of `from`, without a difference that could overflow.
    let past = (now.0.rem_euclid(length) - from.rem_euclid(length)).rem_euclid(length);
    UnixMicros(now.0.saturating_sub(past))
}

/// The start of the `n`-th month since the anchor. The day is read off the anchor each time, so that
/// a short month does not move the later ones.
const fn month_cycle(anchor: UnixMicros, n: i64) -> UnixMicros {
    let date = Date::of(anchor);
    Date::in_month(date.month_index() + n, date.day)
        .start()
        .plus_micros(anchor.0.rem_euclid(DAY_US))
}

/// How many whole months of the anchor have passed.
const fn months_since(anchor: UnixMicros, now: UnixMicros) -> i64 {
    let n = Date::of(now).month_index() - Date::of(anchor).month_index();
    if month_cycle(anchor, n).0 > now.0 {
        n - 1
    } else {
        n
    }
}

/// A period as it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    /// When it began; spend counts from here on.
    pub start: UnixMicros,
    /// When the next one begins.
    pub resets_at: UnixMicros,
}

/// What a budget stores about its periods. The stored pair moves only at creation and at a reset; reads
/// compute the live one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// The window.
    pub window: Window,
    /// What periods are counted from, instead of the calendar; ignored by windows that do not cycle.
    pub anchor: Option<UnixMicros>,
    /// The stored start.
    pub period_started_at: UnixMicros,
    /// The stored end.
    pub resets_at: UnixMicros,
    /// When somebody last reset the budget by hand.
    pub last_reset_at: Option<UnixMicros>,
}

impl Schedule {
    /// The schedule of a budget that is created at `now`. One that never cycles starts now.
    #[must_use]
    pub fn opening(window: Window, anchor: Option<UnixMicros>, now: UnixMicros) -> Self {
        let anchor = anchor.filter(|_| window.cycles());
        let start = match anchor {
            Some(anchor) => anchored_start(window, anchor, now),
            None => calendar_start(window, now),
        };
        Self {
            window,
            anchor,
            period_started_at: start.unwrap_or(now),
            resets_at: next_boundary(window, anchor, now),
            last_reset_at: None,
        }
    }

    /// The schedule after a reset at `now`: a shorter period begins, and the later boundaries stay.
    #[must_use]
    pub const fn reset(self, now: UnixMicros) -> Self {
        let Self {
            window,
            anchor,
            period_started_at: _,
            resets_at: _,
            last_reset_at: _,
        } = self;
        Self {
            window,
            anchor,
            period_started_at: now,
            resets_at: next_boundary(window, anchor, now),
            last_reset_at: Some(now),
        }
    }

    /// The lower bound that the budget itself sets to its current period. `None` means the calendar's
    /// period or, for `total`, everything.
    #[must_use]
    pub fn floor(&self, now: UnixMicros) -> Option<UnixMicros> {
        let stored = self.period_started_at;
        if self.window == Window::Manual {
            return Some(stored);
        }
        let anchored = self
            .anchor
            .and_then(|anchor| anchored_start(self.window, anchor, now));
        match (anchored, self.last_reset_at) {
            (Some(start), None) => Some(start),
            (Some(start), Some(_)) => Some(start.max(stored)),
            (None, None) => None,
            (None, Some(_)) => {
                let calendar = calendar_start(self.window, now);
                calendar
                    .is_none_or(|start| stored > start)
                    .then_some(stored)
            }
        }
    }

    /// From when on spend counts: [`Self::floor`] or the calendar's start. `None` means all of it.
    #[must_use]
    pub fn counts_from(&self, now: UnixMicros) -> Option<UnixMicros> {
        self.floor(now).or_else(|| calendar_start(self.window, now))
    }

    /// From when on spend of one bucket counts (templates): the later of [`Self::counts_from`] and the
    /// bucket's own boundary, whichever exist.
    #[must_use]
    pub fn bucket_counts_from(
        &self,
        boundary: Option<UnixMicros>,
        now: UnixMicros,
    ) -> Option<UnixMicros> {
        // `None` sorts before every instant.
        self.counts_from(now).max(boundary)
    }

    /// When the next period begins.
    #[must_use]
    pub const fn next_boundary(&self, now: UnixMicros) -> UnixMicros {
        next_boundary(self.window, self.anchor, now)
    }

    /// The pair that reads publish: live for windows that cycle, else the stored one.
    #[must_use]
    pub fn published(&self, now: UnixMicros) -> Period {
        match self.counts_from(now) {
            Some(start) if self.window.cycles() => Period {
                start,
                resets_at: self.next_boundary(now),
            },
            _ => Period {
                start: self.period_started_at,
                resets_at: self.resets_at,
            },
        }
    }
}
