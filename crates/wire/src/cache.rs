//! Prompt-cache directives of bodies: found, removed, added (data-plane 14.1 to 14.3).
//!
//! All of it is edits of the caller's bytes ([`Edits`]); must never re-serialise, and must never fail: of
//! what is no JSON nothing is changed that matters. Bodies may be nested as deeply as their size allows,
//! so nothing here recurses. Start at [`disable`], [`force`] and [`auto`].

mod markers;
mod place;
mod scan;

#[cfg(test)]
mod tests;

use std::ops::Range;

use self::markers::{Markers, Section};
use self::place::Place;
use self::scan::{Scan, Token};
use crate::Surface;
use crate::splice::Edits;

/// The most breakpoints that Anthropic takes.
pub const MOST_BREAKPOINTS: usize = 4;
/// The fewest bytes of a body that [`auto`] marks: shorter prompts are not worth a cache.
pub const AUTO_FROM_BYTES: usize = 4_096;
/// The longest lifetime in seconds that is asked for as five minutes.
const FIVE_MINUTES: u32 = 300;

const DIRECTIVE: &str = "cache_control";

/// How long a provider keeps what a marker stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the provider likes: five minutes.
    Usual,
    /// Five minutes, said in so many words.
    FiveMinutes,
    /// One hour, the longest there is.
    OneHour,
}

impl Lifetime {
    /// The lifetime that a number of seconds comes to.
    #[must_use]
    pub const fn of(ttl: Option<u32>) -> Self {
        match ttl {
            None => Self::Usual,
            Some(seconds) if seconds <= FIVE_MINUTES => Self::FiveMinutes,
            Some(_) => Self::OneHour,
        }
    }

    /// The value of `cache_control`.
    #[must_use]
    pub const fn marker(self) -> &'static str {
        match self {
            Self::Usual => r#"{"type":"ephemeral"}"#,
            Self::FiveMinutes => r#"{"type":"ephemeral","ttl":"5m"}"#,
            Self::OneHour => r#"{"type":"ephemeral","ttl":"1h"}"#,
        }
    }
}

/// Removes every directive: `cache_control` at any depth, and the cache of Google's that a body names at
/// its top. What a caller stores at the provider is no prompt and stays as it is.
#[must_use]
pub fn disable(surface: Surface, body: &[u8]) -> Edits {
    let mut edits = Edits::default();
    if surface == Surface::GeminiFiles {
        return edits;
    }
    let mut scan = Scan::new(body);
    let mut depth = 0_usize;
    while let Some((token, at)) = scan.next() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            Token::Scalar => {}
            Token::Key => {
                let goes = scan::text_is(body, &at, DIRECTIVE)
                    || (depth == 1
                        && ["cachedContent", "cached_content"]
                            .iter()
                            .any(|name| scan::text_is(body, &at, name)));
                if goes && let Some(value) = scan.value() {
                    edits.remove(at.start..value.end);
                }
            }
        }
    }
    edits
}

/// Whether the caller set a marker: a `cache_control` that is not null, in a place where it is the caller's
/// word to the provider. What stands in arguments and schemas of tools belongs to the application.
#[must_use]
pub fn has_marker(body: &[u8]) -> bool {
    Markers::of(body).count() > 0
}

/// Marks a Messages body for Anthropic, or for Claude on another cloud: the last block of the
/// instructions, the last block of the last message, and the last tool, as long as breakpoints are free.
/// `ttl` in seconds.
///
/// Markers of the caller stay, and none is put beside one of them. Anthropic refuses a longer lifetime
/// behind a shorter one, so next to the caller's markers `ttl` gives way. A body in which a deciding key
/// stands twice is not marked there.
#[must_use]
pub fn force(body: &[u8], ttl: Option<u32>) -> Edits {
    let markers = Markers::of(body);
    let mut free = MOST_BREAKPOINTS.saturating_sub(markers.count());
    let mut edits = Edits::default();
    for section in [Section::System, Section::Messages, Section::Tools] {
        if free == 0 {
            break;
        }
        let Some(value) = markers.value(section) else {
            continue;
        };
        let place = match section {
            Section::System => place::in_content(body, value),
            // The provider itself puts a breakpoint at the end.
            Section::Messages if markers.automatic() => None,
            Section::Messages => place::in_last_message(body, value),
            Section::Tools => place::in_tools(body, value),
        };
        if let Some(place) = place {
            let lifetime = markers.fitting(section, Lifetime::of(ttl));
            put(&mut edits, place, lifetime.marker());
            free -= 1;
        }
    }
    edits
}

/// [`force`] without a lifetime, for bodies that are long enough and that the caller did not mark.
#[must_use]
pub fn auto(body: &[u8]) -> Edits {
    if body.len() < AUTO_FROM_BYTES || has_marker(body) {
        return Edits::default();
    }
    force(body, None)
}

fn put(edits: &mut Edits, place: Place, marker: &'static str) {
    match place {
        Place::Member { close } => {
            edits.replace(close..close, format!(r#","{DIRECTIVE}":{marker}"#));
        }
        Place::Null(at) => edits.replace(at, marker),
        Place::Text(Range { start, end }) => {
            edits.replace(start..start, r#"[{"type":"text","text":"#);
            edits.replace(end..end, format!(r#","{DIRECTIVE}":{marker}}}]"#));
        }
    }
}
