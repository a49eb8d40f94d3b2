//! Scanners for what is made of words: credentials, e-mail addresses, account numbers, network addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::numbers::mod_97;

/// The bytes before and behind a place.
fn before(text: &str, at: usize) -> Option<char> {
    text.get(..at)?.chars().next_back()
}

fn behind(text: &str, at: usize) -> Option<char> {
    text.get(at..)?.chars().next()
}

fn is_word(character: Option<char>) -> bool {
    character.is_some_and(char::is_alphanumeric)
}

/// Calls `each` with every longest run of characters that `belongs` takes.
fn runs<'t>(text: &'t str, belongs: impl Fn(char) -> bool, mut each: impl FnMut(usize, &'t str)) {
    let mut start = None;
    for (at, character) in text.char_indices() {
        match (belongs(character), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                each(from, text.get(from..at).unwrap_or_default());
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        each(from, text.get(from..).unwrap_or_default());
    }
}

/// How a credential goes on behind its prefix.
#[derive(Clone, Copy)]
enum Body {
    /// Letters and digits.
    Alnum,
    /// Capital letters and digits.
    Upper,
    /// Letters, digits, `-` and `_`.
    Url,
    /// As before, and dots.
    Dotted,
}

impl Body {
    const fn takes(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
        }
    }
}

/// Prefix, how it goes on, and the least characters behind the prefix.
const PREFIXES: [(&str, Body, usize); 43] = [
    ("sk-ant-", Body::Url, 20),
    ("sk-proj-", Body::Url, 20),
    ("sk-svcacct-", Body::Url, 20),
    ("sk-admin-", Body::Url, 20),
    ("sk-or-v1-", Body::Url, 20),
    ("sk-lf-", Body::Url, 20),
    ("sk-lw-", Body::Url, 20),
    ("sk-", Body::Alnum, 20),
    ("vk-lw-", Body::Url, 20),
    ("ik-lw-", Body::Url, 16),
    ("pat-lw-", Body::Url, 16),
    ("AKIA", Body::Upper, 16),
    ("ASIA", Body::Upper, 16),
    ("AIza", Body::Url, 35),
    ("ya29.", Body::Dotted, 20),
    ("GOCSPX-", Body::Url, 20),
    ("ghp_", Body::Alnum, 30),
    ("gho_", Body::Alnum, 30),
    ("ghu_", Body::Alnum, 30),
    ("ghs_", Body::Alnum, 30),
    ("ghr_", Body::Alnum, 30),
    ("github_pat_", Body::Url, 22),
    ("glpat-", Body::Url, 20),
    ("xoxb-", Body::Url, 10),
    ("xoxp-", Body::Url, 10),
    ("xoxa-", Body::Url, 10),
    ("xoxr-", Body::Url, 10),
    ("xoxs-", Body::Url, 10),
    ("xapp-", Body::Url, 10),
    ("sk_live_", Body::Alnum, 16),
    ("sk_test_", Body::Alnum, 16),
    ("rk_live_", Body::Alnum, 16),
    ("rk_test_", Body::Alnum, 16),
    ("whsec_", Body::Url, 16),
    ("hf_", Body::Alnum, 30),
    ("npm_", Body::Alnum, 30),
    ("pypi-", Body::Url, 32),
    ("gsk_", Body::Alnum, 20),
    ("xai-", Body::Alnum, 20),
    ("pplx-", Body::Alnum, 20),
    ("shpat_", Body::Alnum, 30),
    ("dop_v1_", Body::Alnum, 60),
    ("SG.", Body::Dotted, 40),
];

/// Credentials with a prefix that their issuer is known by.
pub(super) fn api_keys(text: &str, add: &mut impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut inside = false;
    while let Some(byte) = bytes.get(at) {
        let here = bytes.get(at..).unwrap_or_default();
        if !inside && let Some(length) = api_key(here) {
            add(at..at + length);
            at += length;
            inside = true;
            continue;
        }
        inside = byte.is_ascii_alphanumeric();
        at += 1;
    }
}

/// The length of the credential that `here` begins with.
fn api_key(here: &[u8]) -> Option<usize> {
    PREFIXES.iter().find_map(|(prefix, body, least)| {
        let rest = here.strip_prefix(prefix.as_bytes())?;
        let length = rest.iter().take_while(|byte| body.takes(**byte)).count();
        (length >= *least).then_some(prefix.len() + length)
    })
}

/// The longest local part and domain of an e-mail address, in bytes.
const LOCAL: usize = 64;
const DOMAIN: usize = 253;

/// E-mail addresses.
pub(super) fn emails(text: &str, add: &mut impl FnMut(Range<usize>)) {
    let mut done = 0;
    for (at, _) in text.match_indices('@') {
        let local = local_part(text, at, done);
        let domain = domain(text, at + 1);
        if let (Some(start), Some(end)) = (local, domain) {
            add(start..end);
            done = end;
        }
    }
}

/// Where the local part in front of `at` begins.
fn local_part(text: &str, at: usize, done: usize) -> Option<usize> {
    let mut start = at;
    let front = text.get(done..at)?;
    for (place, character) in front.char_indices().rev() {
        let belongs = character.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(character);
        if !belongs || at - (done + place) > LOCAL {
            break;
        }
        start = done + place;
    }
    // What only leads up to an address is no part of it.
    let trimmed = text
        .get(start..at)?
        .trim_start_matches(|character: char| ".!#$%&'*/=?^`{|}~-".contains(character));
    (!trimmed.is_empty() && !trimmed.ends_with('.')).then_some(at - trimmed.len())
}

/// Where the domain that begins at `from` ends.
fn domain(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let length = rest
        .char_indices()
        .find(|(place, character)| {
            *place > DOMAIN || !(character.is_alphanumeric() || matches!(character, '.' | '-'))
        })
        .map_or(rest.len(), |(place, _)| place);
    let mut name = rest.get(..length)?.trim_end_matches(['.', '-']);
    // `a@b.example.2` ends at the last label that can be a top level.
    loop {
        let (front, last) = name.rsplit_once('.')?;
        let top = last.chars().count() >= 2
            && (last.chars().all(char::is_alphabetic) || last.starts_with("xn--"));
        if top && !front.is_empty() && !front.starts_with('.') && !front.contains("..") {
            return Some(from + name.len());
        }
        name = front;
    }
}

/// The length of an account number by country (ISO 13616).
fn iban_length(country: [u8; 2]) -> Option<usize> {
    Some(match &country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"FK" | b"FO" | b"GL" | b"NL" | b"SD" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"MN" | b"XK" => 20,
        b"CH" | b"CR" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"BH" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" | b"VA" => 22,
        b"AE" | b"GI" | b"IL" | b"IQ" | b"OM" | b"SO" | b"TL" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HN" | b"HU" | b"LB" | b"NI" | b"PL"
        | b"SV" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

/// International bank account numbers, in one piece or in groups.
pub(super) fn ibans(text: &str, add: &mut impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, pair) in bytes.windows(4).enumerate() {
        let [a, b, c, d] = *pair else { continue };
        let opens = a.is_ascii_alphabetic()
            && b.is_ascii_alphabetic()
            && c.is_ascii_digit()
            && d.is_ascii_digit();
        if at < done || !opens || is_word(before(text, at)) {
            continue;
        }
        if let Some(end) = iban(text, at, [a.to_ascii_uppercase(), b.to_ascii_uppercase()]) {
            add(at..end);
            done = end;
        }
    }
}

fn iban(text: &str, at: usize, country: [u8; 2]) -> Option<usize> {
    let length = iban_length(country)?;
    let mut taken = Vec::with_capacity(length);
    let mut end = at;
    let mut gap = false;
    for (place, byte) in text.as_bytes().get(at..)?.iter().enumerate() {
        if byte.is_ascii_alphanumeric() {
            taken.push(byte.to_ascii_uppercase());
            gap = false;
            end = at + place + 1;
            if taken.len() == length {
                break;
            }
        } else if matches!(byte, b' ' | b'-') && !gap {
            gap = true;
        } else {
            return None;
        }
    }
    let whole = taken.len() == length && !is_word(behind(text, end));
    (whole && mod_97(&taken) == Some(1)).then_some(end)
}

/// The longest address of IPv6 with IPv4 inside, in bytes.
const LONGEST_ADDRESS: usize = 45;

/// Network addresses.
pub(super) fn addresses(text: &str, add: &mut impl FnMut(Range<usize>)) {
    let dotted = |character: char| character.is_ascii_digit() || character == '.';
    runs(text, dotted, |start, run| {
        let token = run.trim_matches('.');
        let start = start + (run.len() - run.trim_start_matches('.').len());
        let end = start + token.len();
        // `v1.2.3.4` and `1.2.3.4-beta` are versions.
        let alone = !is_word(before(text, start)) && !is_word(behind(text, end));
        if alone && token.parse::<Ipv4Addr>().is_ok() {
            add(start..end);
        }
    });
    let hex = |character: char| character.is_ascii_hexdigit() || matches!(character, ':' | '.');
    runs(text, hex, |start, run| {
        let mut token = run.trim_end_matches('.');
        if token.ends_with(':') && !token.ends_with("::") {
            token = token.strip_suffix(':').unwrap_or(token);
        }
        let end = start + token.len();
        let alone = !is_word(before(text, start)) && !is_word(behind(text, end));
        // `a::b` is a path in a program.
        let numbered = token.len() <= LONGEST_ADDRESS
            && token.contains(':')
            && token.bytes().any(|byte| byte.is_ascii_digit());
        if alone && numbered && token.parse::<Ipv6Addr>().is_ok() {
            add(start..end);
        }
    });
}
