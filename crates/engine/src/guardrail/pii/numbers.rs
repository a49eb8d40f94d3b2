//! Scanners for what is made of digits: payment cards, social security numbers, telephone numbers.
//!
//! Digits are read as groups with a separator between them. A number begins and ends where a group does, so that
//! what stands in front of it does not hide it.

use std::ops::Range;

/// Digits that stand together.
struct Group {
    at: Range<usize>,
    /// What stands between this group and the one before it; `None` when that is no separator of numbers.
    joint: Option<Joint>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Space,
    Hyphen,
    Dot,
    Slash,
    /// Parentheses, alone or with a space or a hyphen beside them.
    Parenthesis,
}

/// The digit groups of a text.
fn groups(text: &str) -> Vec<Group> {
    let bytes = text.as_bytes();
    let mut found: Vec<Group> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let between = found
            .last()
            .and_then(|last| bytes.get(last.at.end..at))
            .and_then(joint);
        found.push(Group {
            at: at..at + length,
            joint: between,
        });
        at += length;
    }
    found
}

fn joint(between: &[u8]) -> Option<Joint> {
    match between {
        b" " | b"\xc2\xa0" | b"\xe2\x80\xaf" => Some(Joint::Space),
        b"-" | b"\xe2\x80\x91" | b"\xe2\x80\x93" | b" - " => Some(Joint::Hyphen),
        b"." => Some(Joint::Dot),
        b"/" => Some(Joint::Slash),
        b" (" | b"(" | b") " | b")" | b")-" | b"-(" => Some(Joint::Parenthesis),
        _ => None,
    }
}

/// Whether a byte in front of or behind digits makes them part of a larger number.
fn is_fraction(text: &str, at: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let digit = |place: Option<usize>| {
        place
            .and_then(|place| bytes.get(place))
            .is_some_and(u8::is_ascii_digit)
    };
    let point = |place: Option<usize>| {
        place
            .and_then(|place| bytes.get(place))
            .is_some_and(|byte| matches!(byte, b'.' | b','))
    };
    (point(at.start.checked_sub(1)) && digit(at.start.checked_sub(2)))
        || (point(Some(at.end)) && digit(Some(at.end + 1)))
}

fn digits_of<'t>(text: &'t str, at: &Range<usize>) -> impl Iterator<Item = u8> + use<'t> {
    let bytes = text.as_bytes().get(at.clone()).unwrap_or_default();
    bytes
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| byte - b'0')
}

/// Whether the last of the digits is the right check digit (ISO 7812).
pub(in super::super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// The remainder of an account number by 97 (ISO 7064): 1 when its check digits are right. `None` for anything
/// but capital letters and digits.
pub(in super::super) fn mod_97(account: &[u8]) -> Option<u32> {
    let (head, rest) = account.split_at_checked(4)?;
    rest.iter().chain(head).try_fold(0, |sum: u32, byte| {
        let (value, factor) = match byte {
            b'0'..=b'9' => (u32::from(byte - b'0'), 10),
            b'A'..=b'Z' => (u32::from(byte - b'A') + 10, 100),
            _ => return None,
        };
        Some((sum * factor + value) % 97)
    })
}

/// Whether a network issues cards of this length with this beginning.
fn is_network(digits: &[u8]) -> bool {
    let head = digits
        .iter()
        .take(4)
        .fold(0, |head: u32, digit| head * 10 + u32::from(*digit));
    let length = digits.len();
    match head {
        // American Express, Diners Club, JCB.
        3400..=3499 | 3700..=3799 => length == 15,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&length),
        3528..=3589 => (16..=19).contains(&length),
        // Visa.
        4000..=4999 => matches!(length, 13 | 16 | 19),
        // Mastercard, Mir.
        2221..=2720 | 5100..=5599 => length == 16,
        2200..=2204 => (16..=19).contains(&length),
        // Maestro and others.
        5000..=5099 | 5600..=5899 => (13..=19).contains(&length),
        // Discover, UnionPay, RuPay, Maestro.
        6000..=6999 | 8100..=8299 => (16..=19).contains(&length),
        _ => false,
    }
}

/// Payment cards: 13 to 19 digits in groups that one sort of space or hyphen joins.
pub(super) fn cards(text: &str, add: &mut impl FnMut(Range<usize>)) {
    let groups = groups(text);
    let mut done = 0;
    for (index, first) in groups.iter().enumerate() {
        if first.at.start < done
            || digits_of(text, &first.at)
                .next()
                .is_none_or(|digit| digit < 2)
        {
            continue;
        }
        if let Some(end) = card(text, first, groups.get(index + 1..).unwrap_or_default()) {
            add(first.at.start..end);
            done = end;
        }
    }
}

/// Where the longest card that begins with `first` ends.
fn card(text: &str, first: &Group, rest: &[Group]) -> Option<usize> {
    let mut digits: Vec<u8> = Vec::new();
    let mut longest = None;
    let mut joint = None;
    for group in std::iter::once(first).chain(rest) {
        if !digits.is_empty() {
            let between = group
                .joint
                .filter(|joint| matches!(joint, Joint::Space | Joint::Hyphen));
            if between.is_none() || joint.is_some_and(|joint| between != Some(joint)) {
                break;
            }
            joint = between;
        }
        if digits.len() + group.at.len() > 19 {
            break;
        }
        digits.extend(digits_of(text, &group.at));
        let at = first.at.start..group.at.end;
        if is_network(&digits) && luhn(&digits) && !is_fraction(text, &at) {
            longest = Some(group.at.end);
        }
    }
    longest
}

/// Social security numbers, in their three groups.
pub(super) fn ssns(text: &str, add: &mut impl FnMut(Range<usize>)) {
    let groups = groups(text);
    let mut done = 0;
    for (index, [area, group, serial]) in groups
        .windows(3)
        .filter_map(|three| <&[Group; 3]>::try_from(three).ok())
        .enumerate()
    {
        let lengths = (area.at.len(), group.at.len(), serial.at.len());
        let same = group
            .joint
            .filter(|joint| matches!(joint, Joint::Space | Joint::Hyphen));
        // A fourth group in the same form makes it another number.
        let longer = groups.get(index + 3).is_some_and(|next| next.joint == same)
            || (area.joint.is_some() && area.joint == same);
        let here = area.at.start..serial.at.end;
        if lengths != (3, 2, 4)
            || same.is_none()
            || serial.joint != same
            || longer
            || here.start < done
        {
            continue;
        }
        let number = |at: &Range<usize>| {
            text.get(at.clone())
                .and_then(|text| text.parse::<u16>().ok())
        };
        let issued = |area: u16| area != 0 && area != 666 && area < 900;
        if number(&area.at).is_some_and(issued)
            && number(&group.at).is_some_and(|group| group != 0)
            && number(&serial.at).is_some_and(|serial| serial != 0)
        {
            done = here.end;
            add(here);
        }
    }
}

/// Telephone numbers: with `+` or `00` and a country, in North America's groups, or with a trunk 0 and groups.
pub(super) fn phones(text: &str, add: &mut impl FnMut(Range<usize>)) {
    let groups = groups(text);
    let mut done = 0;
    for (index, first) in groups.iter().enumerate() {
        if first.at.start < done {
            continue;
        }
        let rest = groups.get(index + 1..).unwrap_or_default();
        if let Some(at) = phone(text, first, rest) {
            done = at.end;
            add(at);
        }
    }
}

fn phone(text: &str, first: &Group, rest: &[Group]) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let before = |back: usize| {
        first
            .at
            .start
            .checked_sub(back)
            .and_then(|at| bytes.get(at))
            .copied()
    };
    let mut start = first.at.start;
    let mut plus = before(1) == Some(b'+');
    if plus {
        start -= 1;
    } else if before(1) == Some(b'(') {
        start -= 1;
        if before(2) == Some(b'+') {
            plus = true;
            start -= 1;
        }
    }
    let glued = start
        .checked_sub(1)
        .and_then(|at| bytes.get(at))
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80 || *byte == b'_');
    // Digits that go on from another group belong to it, unless they say that they begin a number.
    let continued = !plus
        && bytes.get(start) != Some(&b'(')
        && first.joint.is_some_and(|joint| joint != Joint::Space);
    if glued || continued {
        return None;
    }
    let chain = || {
        let joined = rest.iter().take_while(|group| group.joint.is_some());
        std::iter::once(first).chain(joined).take(8)
    };
    // Zeros in the middle of a longer row of numbers are no prefix.
    let leads = first.joint.is_none();
    let zeros = text
        .get(first.at.clone())
        .is_some_and(|digits| digits.starts_with("00") && !digits.starts_with("000"));
    let international = plus || (zeros && leads);
    let end = if international {
        let zeros = if plus { 0 } else { 2 };
        // An identifier may begin with zeros, too: in one piece they say nothing.
        longest(chain(), 8 + zeros..=15 + zeros).filter(|end| plus || *end > first.at.end)
    } else {
        north_american(text, chain()).or_else(|| national(text, chain()).filter(|_end| leads))
    }?;
    let at = start..end;
    (!is_fraction(text, &at)).then_some(at)
}

/// Where the longest run of groups with that many digits ends.
fn longest<'g>(
    chain: impl Iterator<Item = &'g Group>,
    wanted: std::ops::RangeInclusive<usize>,
) -> Option<usize> {
    let mut count = 0;
    let mut end = None;
    for group in chain {
        count += group.at.len();
        if count > *wanted.end() {
            break;
        }
        if wanted.contains(&count) {
            end = Some(group.at.end);
        }
    }
    end
}

/// `212 555 0123`, with or without a 1 in front: three groups of 3, 3 and 4.
fn north_american<'g>(text: &str, chain: impl Iterator<Item = &'g Group>) -> Option<usize> {
    let mut chain = chain.peekable();
    // The country may stand in front.
    chain.next_if(|group| text.get(group.at.clone()) == Some("1"));
    let (area, exchange, line) = (chain.next()?, chain.next()?, chain.next()?);
    let lengths = (area.at.len(), exchange.at.len(), line.at.len());
    let opens = digits_of(text, &area.at).next()? >= 2;
    // Another group in the same manner makes it another number.
    let continues = chain
        .next()
        .is_some_and(|next| matches!(next.joint, Some(Joint::Hyphen | Joint::Dot)));
    (lengths == (3, 3, 4) && opens && !continues).then_some(line.at.end)
}

/// `030 1234567`: a trunk 0, at least two groups, 9 to 12 digits in all.
fn national<'g>(text: &str, chain: impl Iterator<Item = &'g Group>) -> Option<usize> {
    let mut chain = chain.peekable();
    let first = chain.peek()?;
    let mut digits = digits_of(text, &first.at);
    let trunk = digits.next() == Some(0) && digits.next().is_some_and(|digit| digit != 0);
    if !trunk || !(2..=5).contains(&first.at.len()) {
        return None;
    }
    let begins = first.at.end;
    // Dates and times have groups of two only.
    let groups: Vec<&Group> = chain.collect();
    if !groups.iter().skip(1).any(|group| group.at.len() >= 3) {
        return None;
    }
    longest(groups.into_iter(), 9..=12).filter(|end| *end > begins)
}
