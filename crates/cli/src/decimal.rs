//! Money and prices as decimal text: compared, scaled and shown without a float in between.
//!
//! Nothing here rounds what the server said or what the person typed.

use crate::json::Json;
use crate::table::clean;

/// A price of this many tokens is what people know; the API counts one token.
const TOKENS_SHIFT: i32 = 6;

/// Digits behind the point that comparisons keep. Money of the API has at most nine.
const SCALE: usize = 12;

/// How much of a limit is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Fine,
    /// From 80 % on.
    Near,
    /// From the limit on.
    Over,
}

/// Plain digits with at most one point between them: no sign, no exponent.
pub(crate) fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(fraction)
}

/// `2.50` for `$2.5`; `None` when this is no decimal.
pub(crate) fn with_cents(text: &str) -> Option<String> {
    if !is_decimal(text) {
        return None;
    }
    Some(match text.split_once('.') {
        None => format!("{text}.00"),
        Some((_, fraction)) if fraction.len() < 2 => format!("{text}0"),
        Some(_) => text.to_owned(),
    })
}

/// Dollars as they came, with at least two digits behind the point; `-` when unknown.
pub(crate) fn dollars(value: Option<&Json>) -> String {
    let Some(text) = value.filter(|value| !value.is_null()).map(Json::display) else {
        return "-".to_owned();
    };
    clean(&format!("${}", with_cents(&text).unwrap_or(text)))
}

/// What is spent of `times` limits; `None` when one of them is no decimal.
pub(crate) fn used(spent: &str, limit: &str, times: u64) -> Option<Use> {
    let spent = scaled(spent)?;
    let limit = scaled(limit)?.checked_mul(i128::from(times))?;
    let over = spent >= limit && spent > 0;
    let near = spent.checked_mul(5)? >= limit.checked_mul(4)? && spent > 0;
    Some(match (over, near) {
        (true, _) => Use::Over,
        (false, true) => Use::Near,
        (false, false) => Use::Fine,
    })
}

fn scaled(text: &str) -> Option<i128> {
    if !is_decimal(text) {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let kept: String = fraction.chars().take(SCALE).collect();
    format!("{whole}{kept:0<SCALE$}").parse().ok()
}

/// The price of one token, from dollars for a million tokens.
pub(crate) fn per_token(per_million: &str) -> Option<String> {
    shifted(per_million, -TOKENS_SHIFT)
}

/// Dollars for a million tokens, from the price of one token.
pub(crate) fn per_million(per_token: &str) -> Option<String> {
    shifted(per_token, TOKENS_SHIFT)
}

/// The number times ten to the power of `places`, in its shortest spelling.
fn shifted(text: &str, places: i32) -> Option<String> {
    if !is_decimal(text) {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let zeros = "0".repeat(usize::try_from(places.unsigned_abs()).ok()?);
    let (digits, point) = if places < 0 {
        (format!("{zeros}{whole}{fraction}"), whole.len())
    } else {
        (
            format!("{whole}{fraction}{zeros}"),
            whole.len() + zeros.len(),
        )
    };
    let (whole, fraction) = digits.split_at_checked(point)?;
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    Some(match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{Use, dollars, per_million, per_token, used};
    use crate::json::Json;

    proptest! {
        #[test]
        fn a_price_comes_back_as_it_was_typed(whole in 0..1_000_000_000_u64, fraction in "[0-9]{0,18}[1-9]") {
            let typed = format!("{whole}.{fraction}");
            let token = per_token(&typed);
            prop_assert_eq!(token.as_deref().and_then(per_million), Some(typed));
        }

        #[test]
        fn what_is_used_of_a_limit_does_not_depend_on_the_spelling(spent in 0..2_000_u64, limit in 1..1_000_u64) {
            let plain = used(&spent.to_string(), &limit.to_string(), 1);
            let expected = if spent >= limit {
                Use::Over
            } else if spent * 5 >= limit * 4 {
                Use::Near
            } else {
                Use::Fine
            };
            prop_assert_eq!(plain, Some(expected));
            prop_assert_eq!(used(&format!("0{spent}.000000000"), &format!("{limit}.0"), 1), plain);
        }
    }

    #[test]
    fn a_price_moves_its_point_and_loses_nothing() {
        for (million, token) in [
            ("2.5", "0.0000025"),
            ("10", "0.00001"),
            ("0.075", "0.000000075"),
            ("0", "0"),
            ("1000000", "1"),
            ("12345678.9", "12.3456789"),
            (
                "0.123456789012345678901234567890",
                "0.00000012345678901234567890123456789",
            ),
        ] {
            assert_eq!(per_token(million).as_deref(), Some(token), "{million}");
        }
        for (token, million) in [
            ("0.0000025", "2.5"),
            ("0.00001", "10"),
            ("0.000000075", "0.075"),
            ("0", "0"),
            ("0.0", "0"),
            ("1", "1000000"),
            ("0.0000000001", "0.0001"),
        ] {
            assert_eq!(per_million(token).as_deref(), Some(million), "{token}");
        }
        for bad in ["", "-1", "1e-6", ".5", "5.", "1.2.3", "$1"] {
            assert_eq!(per_token(bad), None, "{bad}");
        }
    }

    #[test]
    fn eighty_percent_is_near_and_all_of_it_is_over() {
        for (spent, limit, times, expected) in [
            ("0", "10", 1, Some(Use::Fine)),
            ("7.999999999", "10", 1, Some(Use::Fine)),
            ("8", "10", 1, Some(Use::Near)),
            ("9.999999999", "10.000000", 1, Some(Use::Near)),
            ("10", "10", 1, Some(Use::Over)),
            ("20", "10", 3, Some(Use::Fine)),
            ("24", "10", 3, Some(Use::Near)),
            ("0", "10", 0, Some(Use::Fine)),
            ("0.1", "10", 0, Some(Use::Over)),
            ("a", "10", 1, None),
        ] {
            assert_eq!(
                used(spent, limit, times),
                expected,
                "{spent} of {limit} x{times}"
            );
        }
    }

    #[test]
    fn dollars_show_at_least_cents() {
        for (value, shown) in [
            ("5000", "$5000.00"),
            ("0.5", "$0.50"),
            ("12.4531", "$12.4531"),
            ("odd\u{1b}", "$odd "),
        ] {
            assert_eq!(dollars(Some(&value.into())), shown);
        }
        assert_eq!(dollars(Some(&Json::Null)), "-");
        assert_eq!(dollars(None), "-");
    }
}
