//! Amounts of money as callers send them: a number or a decimal text, never a float of ours.
//!
//! Start at [`limit`].

use lw_core::NanoUsd;
use serde_json::Value;

use crate::input::{Fields, Given, Problems};

/// Fractional digits that a limit may have (billing 3).
const DIGITS: usize = 6;

/// The largest limit, in nano-dollars: the most that fits with six fractional digits. Money is kept as a
/// whole number of nano-dollars everywhere, so this is less than the decimal(18,6) of management-api 9.1.
const LARGEST: NanoUsd = NanoUsd(i64::MAX - i64::MAX % 1_000);

/// Reads a limit in US dollars: above zero, at most six fractional digits and at most [`LARGEST`]
/// (management-api 9.3).
pub(crate) fn limit(
    fields: &Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Given<NanoUsd> {
    let text = match fields.raw(&[name]) {
        None => return Given::Absent,
        Some((_, Value::Null)) => return Given::Null,
        // The digits as they were sent.
        Some((_, Value::Number(number))) => number.to_string(),
        Some((_, Value::String(text))) if is_plain(text) => text.clone(),
        Some(_) => {
            let text = "must be a number or a decimal text such as \"12.50\"";
            problems.add(fields.path(name), "invalid_type", text);
            return Given::Absent;
        }
    };
    let wrong = match NanoUsd::parse_usd(&text) {
        Some(amount) if amount <= NanoUsd::ZERO => ("too_small", "must be above zero".to_owned()),
        Some(amount) if fraction(&text) > DIGITS || amount.0 % 1_000 != 0 => (
            "invalid_value",
            format!("must have at most {DIGITS} fractional digits"),
        ),
        Some(amount) => return Given::Value(amount),
        None if text.starts_with('-') => ("too_small", "must be above zero".to_owned()),
        None => ("too_big", format!("must be at most {LARGEST}")),
    };
    problems.add(fields.path(name), wrong.0, wrong.1);
    Given::Absent
}

/// `^\d+(\.\d+)?$`.
fn is_plain(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

/// Significant digits after the point; zero for a text with an exponent, which is judged by its value.
fn fraction(text: &str) -> usize {
    let plain = text.split_once('.').filter(|_| !text.contains(['e', 'E']));
    plain.map_or(0, |(_, digits)| digits.trim_end_matches('0').len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::input::BODY;

    #[test]
    fn a_limit_is_a_number_or_a_decimal_text_of_six_digits() {
        let read = |value: Value| {
            let body = json!({ "limit_usd": value });
            let mut problems = Problems::of(BODY);
            let fields = Fields::new(body.as_object().expect("an object"), "");
            let given = limit(&fields, "limit_usd", &mut problems);
            problems.finish().map(|()| given).map_err(|_| ())
        };
        let nano = |nano| Ok(Given::Value(NanoUsd(nano)));
        assert_eq!(read(json!(5000)), nano(5_000_000_000_000));
        assert_eq!(read(json!(0.1)), nano(100_000_000));
        assert_eq!(read(json!("12.500000")), nano(12_500_000_000));
        assert_eq!(read(json!("0.000001")), nano(1_000));
        assert_eq!(read(json!(null)), Ok(Given::Null));
        for bad in [
            json!(0),
            json!(-1),
            json!("0.0000001"),
            json!(1e-7),
            json!("1.0000000000001"),
            json!("1e3"),
            json!(".5"),
            json!("5."),
            json!(""),
            json!("99999999999999"),
            json!(true),
        ] {
            assert_eq!(read(bad.clone()), Err(()), "{bad}");
        }
    }

    #[test]
    fn the_largest_limit_is_taken_and_named_to_whoever_sends_more() {
        let read = |value: Value| {
            let body = json!({ "limit_usd": value });
            let mut problems = Problems::of(BODY);
            let fields = Fields::new(body.as_object().expect("an object"), "");
            let given = limit(&fields, "limit_usd", &mut problems);
            problems.finish().map(|()| given)
        };
        let largest = Given::Value(NanoUsd(9_223_372_036_854_775_000));
        for fine in [json!("9223372036.854775"), json!("9223372036.854775000")] {
            assert_eq!(read(fine).ok(), Some(largest.clone()));
        }
        for (bad, said) in [
            (
                json!("999999999999.999999"),
                "must be at most 9223372036.854775",
            ),
            (
                json!("9223372036.854776"),
                "must be at most 9223372036.854775",
            ),
            (
                json!(9_223_372_037_u64),
                "must be at most 9223372036.854775",
            ),
            (json!(-9_223_372_037_i64), "must be above zero"),
        ] {
            let refusal = read(bad.clone()).expect_err("too much");
            let text = format!("{refusal:?}");
            assert!(text.contains(said), "{bad}: {text}");
        }
    }
}
