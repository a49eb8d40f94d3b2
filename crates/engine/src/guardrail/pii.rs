//! Finds personal data and credentials by their form, and takes them out.
//!
//! Each kind has a scanner that looks at bounded candidates only, so that a search takes time in proportion to
//! the text. Forms with a check digit are checked. What cannot be told from an ordinary number (ten digits in a
//! row) is left alone: a check that cries wolf is switched off.
//!
//! Start at [`redact`] and [`kinds_in`].

mod numbers;
mod scan;

use std::ops::Range;

use serde::Deserialize;

#[cfg(test)]
pub(super) use numbers::{luhn, mod_97};

/// A kind of personal data, in the order in which overlapping finds are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A credential with a prefix that its issuer is known by.
    ApiKey,
    /// An e-mail address.
    Email,
    /// An international bank account number: the country's length, and the right check digits.
    Iban,
    /// A payment card: a network's prefix and length, and the right check digit.
    CreditCard,
    /// A United States social security number that can have been issued.
    Ssn,
    /// An address of IPv4 or IPv6.
    Ip,
    /// A telephone number, written as one.
    Phone,
}

impl Kind {
    /// The word of the settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Email => "email",
            Self::Iban => "iban",
            Self::CreditCard => "credit_card",
            Self::Ssn => "ssn",
            Self::Ip => "ip",
            Self::Phone => "phone",
        }
    }

    /// The name in a sentence.
    pub(super) const fn with_article(self) -> &'static str {
        match self {
            Self::ApiKey => "an API key",
            Self::Email => "an email address",
            Self::Iban => "an IBAN",
            Self::CreditCard => "a payment card number",
            Self::Ssn => "a social security number",
            Self::Ip => "an IP address",
            Self::Phone => "a phone number",
        }
    }

    /// What stands in the place of what was taken out. None of these is found again.
    const fn mark(self) -> &'static str {
        match self {
            Self::ApiKey => "[API_KEY]",
            Self::Email => "[EMAIL]",
            Self::Iban => "[IBAN]",
            Self::CreditCard => "[CREDIT_CARD]",
            Self::Ssn => "[SSN]",
            Self::Ip => "[IP]",
            Self::Phone => "[PHONE]",
        }
    }

    fn find(self, text: &str, found: &mut Vec<Found>) {
        let mut add = |at: Range<usize>| found.push((at, self));
        match self {
            Self::ApiKey => scan::api_keys(text, &mut add),
            Self::Email => scan::emails(text, &mut add),
            Self::Iban => scan::ibans(text, &mut add),
            Self::Ip => scan::addresses(text, &mut add),
            Self::CreditCard => numbers::cards(text, &mut add),
            Self::Ssn => numbers::ssns(text, &mut add),
            Self::Phone => numbers::phones(text, &mut add),
        }
    }
}

/// A find: where it is and what.
type Found = (Range<usize>, Kind);

/// The most times that a text is gone through: taking one find out may uncover another one.
const PASSES: usize = 8;

/// The kinds that a text holds, out of those that are looked for.
pub(super) fn kinds_in(kinds: &[Kind], text: &str) -> Vec<Kind> {
    find(kinds, text)
        .into_iter()
        .map(|(_, kind)| kind)
        .collect()
}

/// The text with a mark in the place of each find, and the kinds that were found.
pub(super) fn redact(kinds: &[Kind], text: &str) -> (String, Vec<Kind>) {
    let mut text = text.to_owned();
    let mut seen = Vec::new();
    for _ in 0..PASSES {
        let found = find(kinds, &text);
        if found.is_empty() {
            break;
        }
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for (at, kind) in found {
            out.push_str(text.get(done..at.start).unwrap_or_default());
            out.push_str(kind.mark());
            done = at.end;
            seen.push(kind);
        }
        out.push_str(text.get(done..).unwrap_or_default());
        text = out;
    }
    (text, seen)
}

/// What a text holds, in order. Finds that overlap are one, named by the kind that comes first in [`Kind`]: half
/// of something personal must not stay behind.
fn find(kinds: &[Kind], text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for kind in kinds {
        kind.find(text, &mut found);
    }
    found.sort_by_key(|(at, kind)| (at.start, *kind));
    let mut merged: Vec<Found> = Vec::with_capacity(found.len());
    for (at, kind) in found {
        match merged.last_mut() {
            Some((last, name)) if at.start < last.end => {
                last.end = last.end.max(at.end);
                *name = kind.min(*name);
            }
            _ => merged.push((at, kind)),
        }
    }
    merged
}
