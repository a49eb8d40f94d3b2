//! What a key spent in a window (billing 7.5). Start at [`of`].

use lw_core::{Error, UnixMicros};
use serde_json::{Value, json};

use super::service;
use crate::Admin;
use crate::caller::Permit;
use crate::edge::stored;
use crate::input::{Problems, QUERY};
use crate::permission::GatewayUsageView;

/// From, inclusive, to, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    from: UnixMicros,
    to: UnixMicros,
}

impl Window {
    /// Epoch milliseconds; by default the current UTC month up to now.
    ///
    /// # Errors
    /// `validation_error` at `query`.
    pub(crate) fn read(
        from: Option<&str>,
        to: Option<&str>,
        now: UnixMicros,
    ) -> Result<Self, Error> {
        let mut problems = Problems::of(QUERY);
        let mut read = |name: &str, text: Option<&str>, default: UnixMicros| {
            let Some(text) = text else { return default };
            match text.parse::<i64>() {
                Ok(millis) if millis >= 0 => UnixMicros::from_millis(millis),
                _ => {
                    problems.add(name, "invalid_value", "must be epoch milliseconds");
                    default
                }
            }
        };
        let from_at = read("from", from, month_start(now));
        let to_at = read("to", to, now);
        problems.finish()?;
        // At the very start of a month the default window is empty, which is no mistake of the caller.
        let defaults = from.is_none() && to.is_none();
        if from_at >= to_at && !defaults {
            let mut problems = Problems::of(QUERY);
            problems.add("from", "invalid_value", "must lie before `to`");
            problems.finish()?;
        }
        Ok(Self {
            from: from_at,
            to: to_at,
        })
    }
}

/// The sum, as callers see it.
///
/// # Errors
/// `virtual_key_not_found`, or the store failed.
pub(crate) fn of(
    admin: &Admin,
    permit: &Permit<GatewayUsageView>,
    id: &str,
    window: Window,
) -> Result<Value, Error> {
    let key = service::visible(admin, permit, id)?;
    let Window { from, to } = window;
    let spend = admin.ledger.key_spend(&key.id, from, to).map_err(stored)?;
    Ok(json!({
        "virtual_key_id": key.id,
        "spent_usd": spend.spent.to_string(),
        "requests": spend.requests,
        "window": { "from": from.millis(), "to": to.millis() },
    }))
}

/// The first instant of the UTC month of `now`.
fn month_start(now: UnixMicros) -> UnixMicros {
    let text = now.to_rfc3339();
    let month = text.get(..7).unwrap_or("1970-01");
    UnixMicros::parse_rfc3339(&format!("{month}-01T00:00:00Z")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_window_is_the_current_utc_month() {
        let now = UnixMicros::parse_rfc3339("2026-11-23T14:00:00Z").expect("a time");
        let window = Window::read(None, None, now).expect("defaults");
        assert_eq!(window.from.to_rfc3339(), "2026-11-01T00:00:00.000Z");
        assert_eq!(window.to, now);
        assert!(Window::read(Some("5"), Some("5"), now).is_err());
        assert!(Window::read(Some("soon"), None, now).is_err());
    }
}
