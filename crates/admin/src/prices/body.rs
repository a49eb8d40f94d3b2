//! What callers send about a price, read exactly (billing 3 and 5).
//!
//! A rate is kept as the shortest decimal text of the very price that calls are charged with; what is finer
//! than that price can be is refused and never rounded. Start at [`NewPrice`] and [`PricePatch`].

use std::collections::BTreeMap;

use lw_core::{Error, PricePerMTok};
use serde_json::{Map, Value};

use crate::input::{BODY, Fields, Given, Problems, never_null};

/// The rates of a price, in US dollars for one token.
pub(super) const RATES: [&str; 5] = [
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_cost_per_token",
    "cache_creation_cost_per_token",
    "cache_creation_1h_cost_per_token",
];
/// Fractional digits of a rate in dollars for one token: one unit of [`PricePerMTok`].
const DIGITS: usize = 15;
/// A dollar for one token: more is a mistake.
const DEAREST: PricePerMTok = PricePerMTok(1_000_000_000_000_000);

/// What an input says of each rate.
pub(super) type RatesPatch = Vec<(&'static str, Given<String>)>;

/// The body of a create.
#[derive(Debug, Clone)]
pub(super) struct NewPrice {
    pub(super) model: String,
    pub(super) provider: Option<String>,
    pub(super) rates: BTreeMap<String, String>,
}

/// The body of an update: what is absent stays.
#[derive(Debug, Clone)]
pub(super) struct PricePatch {
    pub(super) model: Option<String>,
    pub(super) provider: Given<String>,
    pub(super) rates: RatesPatch,
}

impl NewPrice {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        for name in ["model", "rates"] {
            if fields.raw(&[name]).is_none() {
                problems.add(name, "required", "is required");
            }
        }
        let patch = common(&fields, &mut problems);
        problems.finish()?;
        let PricePatch {
            model,
            provider,
            rates: wanted,
        } = patch;
        let mut rates = BTreeMap::new();
        over(&wanted, &mut rates)?;
        Ok(Self {
            model: model.unwrap_or_default(),
            provider: provider.value(),
            rates,
        })
    }
}

impl PricePatch {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let patch = common(&Fields::new(body, ""), &mut problems);
        problems.finish()?;
        Ok(patch)
    }
}

/// The rates afterwards.
///
/// # Errors
/// `validation_error`: none would be left.
pub(super) fn over(wanted: &RatesPatch, rates: &mut BTreeMap<String, String>) -> Result<(), Error> {
    for (name, rate) in wanted {
        match rate {
            Given::Absent => {}
            Given::Null => {
                rates.remove(*name);
            }
            Given::Value(rate) => {
                rates.insert((*name).to_owned(), rate.clone());
            }
        }
    }
    let mut problems = Problems::of(BODY);
    if rates.is_empty() {
        let text = format!("must set at least one of {}", RATES.join(", "));
        problems.add("rates", "too_small", text);
    }
    problems.finish()
}

fn common(fields: &Fields<'_>, problems: &mut Problems) -> PricePatch {
    let model = fields.trimmed("model", 1..=256, problems);
    let rates = fields
        .object(&["rates"], problems)
        .map(|sent| rates(&sent, problems));
    PricePatch {
        model: never_null(model, "model".into(), problems),
        provider: provider(fields, problems),
        rates: never_null(rates, "rates".into(), problems).unwrap_or_default(),
    }
}

/// A kind of provider, also one that this version does not know; null is any.
fn provider(fields: &Fields<'_>, problems: &mut Problems) -> Given<String> {
    fields
        .trimmed("provider", 1..=32, problems)
        .and_then(|kind| {
            let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if !kind.bytes().all(word) {
                let text = "must be a kind of provider such as openai; null is any kind";
                problems.add("provider", "invalid_value", text);
                return None;
            }
            // The aliases of domain 6.1 and 12.1 are one kind each.
            Some(match kind.as_str() {
                "google" | "google_gemini" => "gemini".to_owned(),
                "vertex" => "vertex_ai".to_owned(),
                _ => kind,
            })
        })
}

fn rates(fields: &Fields<'_>, problems: &mut Problems) -> RatesPatch {
    fields.only(&RATES, problems);
    let read = |name: &'static str, problems: &mut Problems| match fields.raw(&[name]) {
        None => Given::Absent,
        Some((_, Value::Null)) => Given::Null,
        Some((_, value)) => match rate(value) {
            Ok(text) => Given::Value(text),
            Err((code, text)) => {
                problems.add(fields.path(name), code, text);
                Given::Absent
            }
        },
    };
    RATES
        .iter()
        .map(|name| (*name, read(name, problems)))
        .collect()
}

/// A rate as a number or a decimal text, in its shortest form without an exponent.
fn rate(value: &Value) -> Result<String, (&'static str, String)> {
    let text = match value {
        // The digits as they were sent.
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    let expected =
        "must be dollars for one token, as a number or a decimal text such as \"0.0000025\"";
    let digits = fraction(&text).ok_or_else(|| ("invalid_value", expected.to_owned()))?;
    if digits > DIGITS {
        let text = format!("must have at most {DIGITS} fractional digits");
        return Err(("invalid_value", text));
    }
    match PricePerMTok::parse_usd_per_token(&text) {
        Some(price) if price <= DEAREST => Ok(decimal(price)),
        _ => Err((
            "too_big",
            "must be at most one dollar for one token".to_owned(),
        )),
    }
}

/// How many fractional digits the value of a decimal needs; `None` for what is no plain decimal of at
/// least zero (an exponent is fine).
fn fraction(text: &str) -> Option<usize> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) if exponent.len() <= 4 => {
            (mantissa, exponent.parse::<i64>().ok()?)
        }
        Some(_) => return None,
        None => (text, 0),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let point = mantissa.split_once('.');
    let (whole, decimals) = point.unwrap_or((mantissa, ""));
    if !digits(whole) || (point.is_some() && !digits(decimals)) || mantissa.len() > 50 {
        return None;
    }
    let all = format!("{whole}{decimals}");
    if all.bytes().all(|b| b == b'0') {
        return Some(0);
    }
    let trailing = all.len() - all.trim_end_matches('0').len();
    let needed = i64::try_from(decimals.len()).ok()? - i64::try_from(trailing).ok()? - exponent;
    usize::try_from(needed.max(0)).ok()
}

/// Decimal dollars for one token, without an exponent and without trailing zeros.
fn decimal(price: PricePerMTok) -> String {
    const UNIT: u64 = 1_000_000_000_000_000;
    let units = price.0.unsigned_abs();
    let (whole, rest) = (units / UNIT, units % UNIT);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = format!("{rest:015}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_numbers_or_decimals_and_exact() {
        for (sent, kept) in [
            (json!(0), "0"),
            (json!(2.5e-6), "0.0000025"),
            (json!("0.000002500"), "0.0000025"),
            (json!("2.5E-6"), "0.0000025"),
            (json!("1e-15"), "0.000000000000001"),
            (json!("0.0"), "0"),
            (json!("1.0000000000000000000000"), "1"),
            (json!("0e-999"), "0"),
            (json!("007e-3"), "0.007"),
        ] {
            assert_eq!(rate(&sent).as_deref(), Ok(kept), "{sent}");
        }
        for bad in [
            json!(-1),
            json!(-0.0),
            json!("1e-16"),
            json!("0.0000000000000001"),
            json!(0.300_000_000_000_000_04),
            json!("1.5"),
            json!("1e9"),
            json!("1e99999"),
            json!(" 1"),
            json!("+1"),
            json!(".5"),
            json!("5."),
            json!(""),
            json!("1,5"),
            json!("NaN"),
            json!(true),
            json!([1]),
        ] {
            assert!(rate(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_very_price(units in 0..=DEAREST.0) {
            let text = decimal(PricePerMTok(units));
            prop_assert_eq!(PricePerMTok::parse_usd_per_token(&text), Some(PricePerMTok(units)));
            prop_assert_eq!(rate(&json!(text)), Ok(text));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9eE.+-]{0,40}") {
            if let Ok(kept) = rate(&json!(text)) {
                let kept = PricePerMTok::parse_usd_per_token(&kept);
                prop_assert_eq!(PricePerMTok::parse_usd_per_token(&text), kept);
            }
        }
    }
}
