//! Money as integers: billionths of a US dollar, and prices as billionths for a million tokens.
//!
//! No float ever touches an amount. Decimal text is read digit by digit (billing 3) and a price is
//! exact: the finest published price, 1e-15 dollars for a token, is one unit of [`PricePerMTok`].

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An amount in billionths of a US dollar. Negative amounts are corrections.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads decimal dollars (`"12.5"`, `"1e-6"`); digits after the ninth round half away from zero.
    /// `None` for anything else and for amounts out of range.
    #[must_use]
    pub fn parse_usd(text: &str) -> Option<Self> {
        decimal_scaled(text, 9).map(Self)
    }

    /// Micro-dollars, rounded half away from zero, as the bundle and spans use them.
    #[must_use]
    pub const fn micros(self) -> i64 {
        let half = if self.0 < 0 { -500 } else { 500 };
        self.0.saturating_add(half) / 1_000
    }
}

impl fmt::Display for NanoUsd {
    /// Decimal dollars with at most nine fractional digits and no trailing zeros: `0.00065685`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let amount = self.0.unsigned_abs();
        let (whole, rest) = (amount / 1_000_000_000, amount % 1_000_000_000);
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{rest:09}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Add for NanoUsd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for NanoUsd {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// A price: billionths of a dollar for a million tokens.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PricePerMTok(pub i64);

impl PricePerMTok {
    /// Reads decimal dollars for one token (`"2.5e-7"`). Digits finer than 1e-15 dollars round.
    #[must_use]
    pub fn parse_usd_per_token(text: &str) -> Option<Self> {
        decimal_scaled(text, 15)
            .filter(|price| *price >= 0)
            .map(Self)
    }

    /// Reads decimal dollars for a million tokens (`"0.25"`).
    #[must_use]
    pub fn parse_usd_per_mtok(text: &str) -> Option<Self> {
        decimal_scaled(text, 9)
            .filter(|price| *price >= 0)
            .map(Self)
    }

    /// `tokens` at this price, before the one division that ends a sum: millionths of [`NanoUsd`].
    #[must_use]
    pub const fn times(self, tokens: u64) -> i128 {
        // An i64 price times a u64 count always fits into an i128.
        (self.0 as i128) * (tokens as i128)
    }
}

/// Ends a sum of [`PricePerMTok::times`]: divides once, rounding half up (billing 5), saturating.
#[must_use]
pub fn settle_sum(sum: i128) -> NanoUsd {
    let rounded = sum.saturating_add(500_000).div_euclid(1_000_000);
    NanoUsd(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
}

/// Ends a sum like [`settle_sum`], but rounds up: what is held must cover what may be charged.
#[must_use]
pub fn hold_sum(sum: i128) -> NanoUsd {
    let rounded = sum.saturating_add(999_999).div_euclid(1_000_000);
    NanoUsd(i64::try_from(rounded).unwrap_or(i64::MAX))
}

/// Reads a decimal, exponent allowed, and scales it by `10^scale`, rounding half away from zero.
fn decimal_scaled(text: &str, scale: i32) -> Option<i64> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|b| b.is_ascii_digit()) || digits().count() > 60 {
        return None;
    }
    // Where the decimal point stands after scaling, counted from the first digit.
    let point = i32::try_from(whole.len())
        .ok()?
        .checked_add(exponent)?
        .checked_add(scale)?;
    let (mut value, mut round_up) = (0_i128, false);
    for (place, digit) in (0_i32..).zip(digits()) {
        if place < point {
            value = value
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        } else if place == point {
            round_up = digit >= b'5';
        }
    }
    let missing = point
        .saturating_sub(i32::try_from(digits().count()).ok()?)
        .max(0);
    if value != 0 {
        value = value.checked_mul(10_i128.checked_pow(missing.try_into().ok()?)?)?;
    }
    value += i128::from(round_up);
    i64::try_from(if negative { -value } else { value }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, nano) in [
            ("0", 0),
            ("25", 25_000_000_000),
            ("0.00065685", 656_850),
            ("1e-9", 1),
            ("5e-10", 1),
            ("4e-10", 0),
            ("-5e-10", -1),
            ("2.5E-7", 250),
            ("1.5e3", 1_500_000_000_000),
            (".5", 500_000_000),
        ] {
            assert_eq!(NanoUsd::parse_usd(text), Some(NanoUsd(nano)), "{text}");
        }
        for text in [
            "",
            ".",
            "1,5",
            "abc",
            "1e99",
            "--1",
            "NaN",
            "9223372036854775808",
        ] {
            assert_eq!(NanoUsd::parse_usd(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_as_the_specification_says() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (25_000_000_000, "25"),
            (656_850, "0.00065685"),
            (-500_000_000, "-0.5"),
        ] {
            assert_eq!(NanoUsd(nano).to_string(), text);
        }
    }

    #[test]
    fn the_finest_published_prices_are_exact() {
        assert_eq!(
            PricePerMTok::parse_usd_per_token("2.5e-7"),
            Some(PricePerMTok(250_000_000))
        );
        assert_eq!(
            PricePerMTok::parse_usd_per_token("4e-10"),
            Some(PricePerMTok(400_000))
        );
        assert_eq!(PricePerMTok::parse_usd_per_token("-1"), None);
    }

    #[test]
    fn a_sum_is_rounded_once_and_half_up() {
        let price = PricePerMTok(500_000);
        assert_eq!(settle_sum(price.times(1)), NanoUsd(1));
        assert_eq!(settle_sum(PricePerMTok(400_000).times(1)), NanoUsd(0));
        assert_eq!(hold_sum(PricePerMTok(1).times(1)), NanoUsd(1));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(nano in -9_000_000_000_000_000_000_i64..9_000_000_000_000_000_000) {
            let amount = NanoUsd(nano);
            prop_assert_eq!(NanoUsd::parse_usd(&amount.to_string()), Some(amount));
        }

        #[test]
        fn any_text_is_safe(text in "\\PC{0,40}") {
            let _ = NanoUsd::parse_usd(&text);
        }
    }
}
