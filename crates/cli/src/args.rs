//! Argument values that several commands share, and the times that they print.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::decimal::is_decimal;
use crate::environment::Environment;
use crate::error::CliError;
use crate::json::Json;

const MS_PER_DAY: i64 = 86_400_000;

/// `type:id` as the API takes it. The id may be a slug: the server knows.
pub(crate) fn parse_scope(text: &str) -> Result<Json, String> {
    let expected = "expected <type>:<id> with type org, organization, team or project";
    let (kind, id) = text.split_once(':').ok_or(expected)?;
    let kind = match kind.trim().to_ascii_lowercase().as_str() {
        "org" | "organization" => "organization",
        "team" => "team",
        "project" => "project",
        _ => return Err(expected.to_owned()),
    };
    let id = id.trim();
    if id.is_empty() {
        return Err(expected.to_owned());
    }
    Ok(Json::object([
        ("scope_type", kind.into()),
        ("scope_id", id.into()),
    ]))
}

/// `org:<id>` and so on, joined by commas.
pub(crate) fn scopes_text(scopes: Option<&Json>) -> String {
    let scopes: Vec<String> = scopes
        .map(Json::items)
        .unwrap_or_default()
        .iter()
        .map(scope_text)
        .collect();
    if scopes.is_empty() {
        "-".to_owned()
    } else {
        scopes.join(", ")
    }
}

fn scope_text(scope: &Json) -> String {
    let kind = scope.text("scope_type").unwrap_or("?").to_ascii_lowercase();
    let kind = if kind == "organization" {
        "org"
    } else {
        kind.as_str()
    };
    crate::table::clean(&format!("{kind}:{}", scope.text("scope_id").unwrap_or("?")))
}

/// `key=value`, split at the first `=`.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("expected key=value".to_owned()),
    }
}

/// `Name: value` of a header, split at the first `:`.
pub(crate) fn parse_header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        // What is wrong may hold a secret: it is not repeated.
        _ => Err("expected name:value".to_owned()),
    }
}

/// The pairs as an object; a repeated key keeps its last value.
pub(crate) fn pairs_object(pairs: &[(String, String)]) -> Json {
    let mut object = Json::Object(Vec::new());
    for (key, value) in pairs {
        object.set(key, value.as_str().into());
    }
    object
}

/// A JSON object given as text.
pub(crate) fn parse_object(text: &str) -> Result<Json, String> {
    match Json::parse(text) {
        Ok(value @ Json::Object(_)) => Ok(value),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(error) => Err(format!("this is not valid JSON: {error}")),
    }
}

/// The object of one of two flags: as text, or in a file.
pub(crate) fn text_or_file(
    env: &Environment,
    text: Option<&Json>,
    file: Option<&str>,
) -> Result<Option<Json>, CliError> {
    match (text, file) {
        (Some(object), _) => Ok(Some(object.clone())),
        (None, Some(path)) => read_object(env, path).map(Some),
        (None, None) => Ok(None),
    }
}

/// A JSON object from a file.
fn read_object(env: &Environment, path: &str) -> Result<Json, CliError> {
    let path = env.working_dir().join(path);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| CliError::usage(format!("Cannot read {}: {error}.", path.display())))?;
    parse_object(&text).map_err(|error| CliError::usage(format!("{}: {error}.", path.display())))
}

/// Dollars above zero as decimal text. Stays text, so that no float rounds it.
pub(crate) fn parse_usd(text: &str) -> Result<String, String> {
    let text = text.trim();
    let positive = text.bytes().any(|b| matches!(b, b'1'..=b'9'));
    if is_decimal(text) && positive {
        Ok(text.to_owned())
    } else {
        Err("expected dollars above zero, such as 25 or 0.50".to_owned())
    }
}

/// An instant, in epoch milliseconds: ISO 8601 (UTC unless it says otherwise) or the number itself.
pub(crate) fn parse_instant(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse()
            .map_err(|_| "this is too many milliseconds".to_owned());
    }
    instant(text).map(Timestamp::as_millisecond).ok_or_else(|| {
        "expected an ISO 8601 time such as 2026-07-01T00:00:00Z, or epoch milliseconds".to_owned()
    })
}

/// An instant with its offset, kept as it was typed.
pub(crate) fn parse_timestamp(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.parse::<Timestamp>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected a time with an offset, such as 2026-07-01T00:00:00Z".to_owned()),
    }
}

/// An instant in epoch milliseconds as the API spells times.
pub(crate) fn iso(ms: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(ms).ok()?;
    Some(format!("{at:.3}"))
}

fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let local = text
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Date>().map(DateTime::from));
    let zoned = local.ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// When a key ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expiry {
    Never,
    At(i64),
    Days(i64),
}

/// `never`, `30d`, or an ISO 8601 time.
pub(crate) fn parse_expiry(text: &str) -> Result<Expiry, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("never") {
        return Ok(Expiry::Never);
    }
    if let Some(days) = text.strip_suffix(['d', 'D'])
        && let Ok(days) = days.parse::<u16>()
    {
        return Ok(Expiry::Days(i64::from(days)));
    }
    instant(text)
        .map(|instant| Expiry::At(instant.as_millisecond()))
        .ok_or_else(|| {
            "expected never, a number of days such as 30d, or an ISO 8601 time".to_owned()
        })
}

impl Expiry {
    /// The API's value; null is never.
    pub(crate) fn to_json(&self, now_ms: i64) -> Json {
        let at = match self {
            Self::Never => return Json::Null,
            Self::At(ms) => *ms,
            Self::Days(days) => now_ms.saturating_add(days.saturating_mul(MS_PER_DAY)),
        };
        iso(at).into()
    }
}

/// A time of the API for a person: to the minute, in UTC.
pub(crate) fn when(value: Option<&Json>) -> Option<String> {
    let instant = match value? {
        Json::String(text) => text.parse::<Timestamp>().ok(),
        number => number
            .as_i64()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok()),
    }?;
    Some(instant.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::{Expiry, parse_expiry, parse_instant, parse_scope, parse_usd, when};
    use crate::json::Json;

    #[test]
    fn scopes_in_any_case() {
        for text in ["ORG:acme", "Organization: acme", "org:acme"] {
            assert_eq!(
                parse_scope(text).expect(text).compact(),
                r#"{"scope_type":"organization","scope_id":"acme"}"#
            );
        }
        for text in ["acme", "org:", "user:x", ":x", ""] {
            parse_scope(text).expect_err(text);
        }
    }

    #[test]
    fn instants_are_iso_or_milliseconds() {
        for (text, ms) in [
            ("1782864000000", 1_782_864_000_000),
            ("2026-07-01", 1_782_864_000_000),
            ("2026-07-01T00:00:00Z", 1_782_864_000_000),
            ("2026-07-01T02:00:00+02:00", 1_782_864_000_000),
            ("2026-07-01T00:00", 1_782_864_000_000),
        ] {
            assert_eq!(parse_instant(text), Ok(ms), "{text}");
        }
        parse_instant("yesterday").expect_err("no word");
        parse_instant("").expect_err("not nothing");
    }

    #[test]
    fn money_stays_text() {
        for good in ["25", "0.50", "5000.000001"] {
            assert_eq!(parse_usd(good).as_deref(), Ok(good));
        }
        for bad in ["0", "0.0", "-1", "1.", ".5", "1e3", "$5", ""] {
            parse_usd(bad).expect_err(bad);
        }
    }

    #[test]
    fn expiry_in_days_counts_from_now() {
        assert_eq!(parse_expiry("Never"), Ok(Expiry::Never));
        let days = parse_expiry("30d").expect("days");
        assert_eq!(
            days.to_json(1_782_864_000_000),
            "2026-07-31T00:00:00.000Z".into()
        );
        let at = parse_expiry("2026-12-31").expect("date");
        assert_eq!(at.to_json(0), "2026-12-31T00:00:00.000Z".into());
        parse_expiry("soon").expect_err("no word");
    }

    #[test]
    fn times_are_printed_to_the_minute() {
        assert_eq!(
            when(Some(&"2026-07-01T12:34:56.789Z".into())).as_deref(),
            Some("2026-07-01 12:34")
        );
        assert_eq!(
            when(Some(&Json::from(0_i64))).as_deref(),
            Some("1970-01-01 00:00")
        );
        assert_eq!(when(Some(&Json::Null)), None);
    }
}
