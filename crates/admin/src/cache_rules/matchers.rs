//! The conditions of a cache rule (domain 14, data-plane 14.4): read strictly, because a gateway never
//! applies a rule with a condition that it does not know.
//!
//! What is kept is what was set, in the form that callers see; a time window is kept complete, so that
//! every gateway reads the same one. Start at [`read`] and [`known`].

use std::ops::RangeInclusive;

use http::HeaderName;
use lw_core::{Code, Error, UserId};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::caller::Caller;
use crate::edge::stored;
use crate::input::{BODY, Fields, Given, Problems, whole_number};
use crate::keys;

/// Every condition.
const KNOWN: [&str; 7] = [
    "vk_id",
    "vk_tags",
    "vk_prefix",
    "principal_id",
    "model",
    "request_metadata",
    "time_window",
];
/// The most tags or headers of a rule.
const ENTRIES: usize = 32;
/// The longest tag: as long as a key's tags are.
const TAG: RangeInclusive<usize> = 1..=128;
/// The longest value of a header.
const HEADER: usize = 1_024;
/// The end of a day as a time window writes it.
const MIDNIGHT: &str = "24:00";

/// Reads the conditions of a rule; null is a condition that is not set.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Value {
    fields.only(&KNOWN, problems);
    let mut out = Map::new();
    let mut keep = |name: &str, given: Given<Value>| {
        if let Given::Value(value) = given {
            out.insert(name.to_owned(), value);
        }
    };
    keep(
        "vk_id",
        fields.trimmed("vk_id", TAG, problems).map(Value::from),
    );
    keep("vk_tags", tags(fields, problems));
    let prefix = fields.trimmed("vk_prefix", 1..=64, problems);
    keep("vk_prefix", prefix.map(Value::from));
    let principal = fields.trimmed("principal_id", TAG, problems);
    keep("principal_id", principal.map(Value::from));
    keep("model", model(fields, problems));
    keep("request_metadata", headers(fields, problems));
    let window = fields.object(&["time_window"], problems);
    keep(
        "time_window",
        window.map(|window| time_window(&window, problems)),
    );
    out.into()
}

/// Insists that the key and the person of new conditions are the organization's, so that a rule does not
/// wait for somebody who never calls. What stands in `before` already stays: whoever resends a rule need not
/// see its key.
///
/// # Errors
/// `validation_error` with every problem, a key that the caller does not see answering like one that does
/// not exist; or the store failed.
pub(super) fn known(
    admin: &Admin,
    caller: &Caller,
    before: Option<&Value>,
    matchers: &Value,
) -> Result<(), Error> {
    let new = |name: &str| {
        let sent = matchers.get(name);
        let kept = before.and_then(|before| before.get(name));
        sent.filter(|_| sent != kept).and_then(Value::as_str)
    };
    let mut problems = Problems::of(BODY);
    if let Some(id) = new("vk_id") {
        match keys::visible(admin, caller, id) {
            Ok(_) => {}
            Err(error) if error.code() == Code::VirtualKeyNotFound => {
                let text = "must be the id of a virtual key of the organization";
                problems.add("matchers.vk_id", "invalid_value", text);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(id) = new("principal_id") {
        let found = match UserId::parse(id) {
            Ok(id) => admin.store.member(&caller.organization.id, &id),
            Err(_not_an_id) => Ok(None),
        };
        if found.map_err(stored)?.is_none() {
            let text = "must be the id of a member of the organization";
            problems.add("matchers.principal_id", "invalid_value", text);
        }
    }
    problems.finish()
}

fn tags(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields.texts(&["vk_tags"], TAG, problems).map(|tags| {
        // A list that lost an entry to a problem may be empty; it was refused already.
        let sent = fields
            .raw(&["vk_tags"])
            .and_then(|(_, sent)| sent.as_array());
        counted(&fields.path("vk_tags"), sent.map_or(0, Vec::len), problems);
        tags.into()
    })
}

/// A model's name, or the beginning of names with a `*` at its end.
fn model(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields.trimmed("model", 1..=256, problems).map(|model| {
        if model.strip_suffix('*').unwrap_or(&model).contains('*') {
            let text = "may hold `*` only at its end";
            problems.add(fields.path("model"), "invalid_value", text);
        }
        model.into()
    })
}

/// Names of request headers and the values that they must have.
fn headers(fields: &Fields<'_>, problems: &mut Problems) -> Given<Value> {
    fields.object(&["request_metadata"], problems).map(|map| {
        counted(&fields.path("request_metadata"), map.map().len(), problems);
        let mut out = Map::new();
        for (name, value) in map.map() {
            let named = name.len() <= TAG.end().saturating_mul(2)
                && HeaderName::from_bytes(name.as_bytes()).is_ok();
            match value.as_str() {
                Some(text) if named && text.len() <= HEADER => {
                    out.insert(name.clone(), text.into());
                }
                _ => {
                    let text = format!(
                        "must map the name of a header to its value of at most {HEADER} bytes"
                    );
                    problems.add(map.path(name), "invalid_value", text);
                }
            }
        }
        out.into()
    })
}

fn counted(path: &str, length: usize, problems: &mut Problems) {
    if length == 0 || length > ENTRIES {
        let text = format!("must hold 1 to {ENTRIES} entries");
        problems.add(path, "invalid_length", text);
    }
}

/// `{days, from, to, tz}`: days 0 to 6 from Sunday on, all when left out; the times of a day as `HH:MM`,
/// `from` included and `to` not, the whole day when left out. A window whose end is before its begin goes
/// on after midnight and belongs to the day on which it began.
fn time_window(fields: &Fields<'_>, problems: &mut Problems) -> Value {
    fields.only(&["days", "from", "to", "tz"], problems);
    let days = fields.list(&["days"], problems).map(|days| {
        let mut known: Vec<u64> = Vec::new();
        for (place, day) in days.iter().enumerate().take(ENTRIES) {
            let number = whole_number(day).and_then(|day| u64::try_from(day).ok());
            match number.filter(|day| *day <= 6) {
                Some(day) if !known.contains(&day) => known.push(day),
                Some(_) => {}
                None => {
                    let path = format!("{}.{place}", fields.path("days"));
                    let text = "must be a day from 0, Sunday, to 6, Saturday";
                    problems.add(path, "invalid_value", text);
                }
            }
        }
        if days.is_empty() || days.len() > ENTRIES {
            let text = "must name at least one day, and each once";
            problems.add(fields.path("days"), "invalid_length", text);
        }
        known.sort_unstable();
        known
    });
    let from = clock(fields, "from", problems);
    let to = clock(fields, "to", problems);
    let [no_days, no_from, no_to] = ["days", "from", "to"].map(|name| missing(fields, name));
    if no_from != no_to {
        let name = if no_from { "from" } else { "to" };
        let text = "is required: `from` and `to` come together";
        problems.add(fields.path(name), "required", text);
    } else if no_days && no_from {
        let text = "is required: name days, or `from` and `to`";
        problems.add(fields.path("days"), "required", text);
    } else if from.is_some() && from == to {
        let text = "must be another time than `from`; leave both out for whole days";
        problems.add(fields.path("to"), "invalid_value", text);
    }
    let zone = fields.trimmed("tz", 1..=64, problems).value();
    let zone = zone.unwrap_or_else(|| "UTC".to_owned());
    if !is_zone(&zone) {
        let text = "must be a time zone such as Europe/Berlin, UTC or +02:00";
        problems.add(fields.path("tz"), "invalid_value", text);
    }
    json!({
        "days": days.value().unwrap_or_else(|| (0..=6).collect()),
        "from": from.unwrap_or_else(|| "00:00".to_owned()),
        "to": to.unwrap_or_else(|| MIDNIGHT.to_owned()),
        "tz": zone,
    })
}

fn missing(fields: &Fields<'_>, name: &'static str) -> bool {
    fields.raw(&[name]).is_none_or(|(_, value)| value.is_null())
}

/// A time of day: `00:00` to `23:59`; as an end also `24:00`.
fn clock(fields: &Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<String> {
    let text = fields.trimmed(name, 1..=5, problems).value()?;
    let fine = (name == "to" && text == MIDNIGHT) || is_time(&text);
    if fine {
        return Some(text);
    }
    let expected = "must be a time of day such as 09:00";
    problems.add(fields.path(name), "invalid_value", expected);
    None
}

/// `HH:MM`.
fn is_time(text: &str) -> bool {
    let Some((hours, minutes)) = text.split_once(':') else {
        return false;
    };
    two_digits(hours).is_some_and(|hours| hours < 24)
        && two_digits(minutes).is_some_and(|minutes| minutes < 60)
}

fn two_digits(text: &str) -> Option<u8> {
    let fine = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    fine.then(|| text.parse().ok()).flatten()
}

/// A name of the IANA database, or an offset from UTC. Asks only what is compiled in: what one machine
/// takes, every other takes too.
fn is_zone(text: &str) -> bool {
    if let Some((hours, minutes)) = text
        .strip_prefix(['+', '-'])
        .and_then(|offset| offset.split_once(':'))
    {
        return two_digits(hours).is_some_and(|hours| hours <= 14)
            && two_digits(minutes).is_some_and(|minutes| minutes < 60);
    }
    jiff::tz::db().get(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_names_or_offsets() {
        for zone in [
            "UTC",
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "+02:00",
            "-11:30",
        ] {
            assert!(is_zone(zone), "{zone}");
        }
        for zone in [
            "",
            "Mars/Phobos",
            "+2",
            "+25:00",
            "+02:60",
            "+é:00",
            "../etc/passwd",
            "CEST!",
        ] {
            assert!(!is_zone(zone), "{zone}");
        }
    }

    #[test]
    fn times_have_four_digits() {
        for time in ["00:00", "09:30", "23:59"] {
            assert!(is_time(time), "{time}");
        }
        for time in ["24:00", "9:30", "09:60", "0930", "-1:00", "é:00", "09:3é"] {
            assert!(!is_time(time), "{time}");
        }
    }
}
