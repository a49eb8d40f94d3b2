//! The markers that a body has, by the part of the prompt that they stand in.
//!
//! Start at [`Markers::of`].

use std::ops::Range;

use super::scan::{self, Scan, Token};
use super::{DIRECTIVE, Lifetime};

/// A part of the prompt, in the order in which Anthropic reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Tools,
    System,
    Messages,
}

const SECTIONS: [(Section, &str); 3] = [
    (Section::Tools, "tools"),
    (Section::System, "system"),
    (Section::Messages, "messages"),
];

/// What belongs to the application, wherever it stands below the top: nothing in it is a marker.
const APPLICATION: [&str; 8] = [
    "input",
    "input_schema",
    "parameters",
    "schema",
    "arguments",
    "args",
    "response",
    "metadata",
];

/// The markers of one body, and the values of its sections.
#[derive(Debug, Default)]
pub(super) struct Markers {
    found: Vec<(Section, Lifetime)>,
    values: Vec<(Section, Range<usize>)>,
    automatic: bool,
}

impl Markers {
    /// Finds them. A marker at the top counts as one at the end of the messages, which is what it means;
    /// so does one in a part that Anthropic does not have.
    pub(super) fn of(body: &[u8]) -> Self {
        let mut markers = Self::default();
        let mut scan = Scan::new(body);
        let mut depth = 0_usize;
        let mut section = None;
        while let Some((token, at)) = scan.next() {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth = depth.saturating_sub(1),
                Token::Scalar => {}
                Token::Key => {
                    if depth == 1 {
                        section = section_of(body, &at);
                        let value = section.zip(scan.clone().value());
                        markers.values.extend(value);
                    }
                    if scan::text_is(body, &at, DIRECTIVE) {
                        let value = scan.value().unwrap_or(at);
                        markers.add(body, section.unwrap_or(Section::Messages), &value);
                        markers.automatic |= depth == 1 && !scan::is(body, &value, "null");
                    } else if depth > 1 && is_any(body, &at, &APPLICATION) {
                        scan.value();
                    }
                }
            }
        }
        markers
    }

    fn add(&mut self, body: &[u8], section: Section, value: &Range<usize>) {
        if scan::is(body, value, "null") {
            return;
        }
        let hour = scan::members(body, value).iter().any(|(key, value)| {
            scan::text_is(body, key, "ttl") && scan::text_is(body, value, "1h")
        });
        let lifetime = if hour {
            Lifetime::OneHour
        } else {
            Lifetime::FiveMinutes
        };
        self.found.push((section, lifetime));
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether the caller lets the provider put the last breakpoint.
    pub(super) const fn automatic(&self) -> bool {
        self.automatic
    }

    /// Where a section stands; `None` when it is missing or stands twice.
    pub(super) fn value(&self, section: Section) -> Option<&Range<usize>> {
        let mut values = self.values.iter().filter(|(one, _)| *one == section);
        match (values.next(), values.next()) {
            (Some((_, at)), None) => Some(at),
            _ => None,
        }
    }

    /// The lifetime that a new marker at the end of `section` may have when `wanted` is wished for: none
    /// may be longer than one before it.
    pub(super) fn fitting(&self, section: Section, wanted: Lifetime) -> Lifetime {
        let longer_follows = self
            .found
            .iter()
            .any(|(at, lifetime)| *at > section && *lifetime == Lifetime::OneHour);
        let shorter_precedes = self
            .found
            .iter()
            .any(|(at, lifetime)| *at <= section && *lifetime != Lifetime::OneHour);
        match wanted {
            Lifetime::Usual | Lifetime::FiveMinutes if longer_follows => Lifetime::OneHour,
            Lifetime::OneHour if shorter_precedes && !longer_follows => Lifetime::FiveMinutes,
            wanted => wanted,
        }
    }
}

fn section_of(body: &[u8], key: &Range<usize>) -> Option<Section> {
    SECTIONS
        .iter()
        .find(|(_, name)| scan::text_is(body, key, name))
        .map(|(section, _)| *section)
}

fn is_any(body: &[u8], at: &Range<usize>, names: &[&str]) -> bool {
    names.iter().any(|name| scan::text_is(body, at, name))
}
