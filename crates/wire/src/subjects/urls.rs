//! The URLs of a text (data-plane 11).
//!
//! A URL begins with `http://` or `https://` in any letter case, wherever that stands, and goes on to the
//! next blank, quotation mark or angle bracket; punctuation at its end is not part of it. Two things go
//! further than that, so that nothing rides along unseen:
//!
//! - Where another beginning stands inside of one (`https://a.example/,http://b.example`), the whole is one
//!   value and each part is another. An allow-list that knows only the first does not let the second pass.
//! - A slash of the beginning may have backslashes before it, as in JSON that is itself the text of a JSON
//!   string. The value is then the URL without these.
//!
//! Must never take time out of proportion to the text. Start at [`urls`].

use std::borrow::Cow;
use std::ops::ControlFlow;

/// What is not longer, in bytes, is the beginning of a URL and nothing else.
const SHORTEST: usize = 8;

/// Calls `found` with every URL of `text`, in its order, until that breaks.
pub(super) fn urls<'a>(
    text: &'a str,
    mut found: impl FnMut(Cow<'a, str>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut from = 0;
    while let Some(first) = beginning(text, from) {
        let end = end(text, first.behind);
        give(text, first.at, end, first.escaped, &mut found)?;
        let token = text.get(..end).unwrap_or(text);
        let mut part = first;
        while let Some(next) = beginning(token, part.behind) {
            give(text, part.at, next.at, part.escaped, &mut found)?;
            part = next;
        }
        if part.at != first.at {
            give(text, part.at, end, part.escaped, &mut found)?;
        }
        from = end;
    }
    ControlFlow::Continue(())
}

/// Where a URL begins.
#[derive(Clone, Copy)]
struct Beginning {
    /// The first letter.
    at: usize,
    /// Just behind the second slash.
    behind: usize,
    /// Whether a slash has a backslash before it.
    escaped: bool,
}

/// The first beginning at `from` or later.
fn beginning(text: &str, from: usize) -> Option<Beginning> {
    let bytes = text.as_bytes();
    let rest = bytes.get(from..)?;
    memchr::memchr_iter(b':', rest).find_map(|colon| {
        let before = rest.get(..colon)?;
        let ends = |scheme: &[u8]| {
            let at = before.len().checked_sub(scheme.len())?;
            let letters = before.get(at..)?;
            letters.eq_ignore_ascii_case(scheme).then_some(from + at)
        };
        let at = ends(b"https").or_else(|| ends(b"http"))?;
        let mut behind = from + colon + 1;
        let mut escaped = false;
        for _ in 0..2 {
            let rest = bytes.get(behind..)?;
            let backslashes = rest.iter().take_while(|byte| **byte == b'\\').count();
            if rest.get(backslashes) != Some(&b'/') {
                return None;
            }
            escaped |= backslashes > 0;
            behind += backslashes + 1;
        }
        Some(Beginning {
            at,
            behind,
            escaped,
        })
    })
}

/// Where the URL ends that is past its beginning at `from`.
fn end(text: &str, from: usize) -> usize {
    let stop = |byte: &u8| {
        matches!(
            byte,
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'<' | b'>'
        )
    };
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    rest.iter()
        .position(stop)
        .map_or(text.len(), |length| from + length)
}

fn give<'a>(
    text: &'a str,
    start: usize,
    end: usize,
    escaped: bool,
    found: &mut impl FnMut(Cow<'a, str>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let url = text.get(start..end).unwrap_or_default();
    let url = url.trim_end_matches([',', '.', ';', ':', ')', ']', '}', '\\']);
    let url = if escaped {
        Cow::Owned(without_backslashes(url))
    } else {
        Cow::Borrowed(url)
    };
    if url.len() > SHORTEST {
        found(url)?;
    }
    ControlFlow::Continue(())
}

/// The text without the backslashes that stand before a slash.
fn without_backslashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, part) in text.split('/').enumerate() {
        if index > 0 {
            let kept = out.trim_end_matches('\\').len();
            out.truncate(kept);
            out.push('/');
        }
        out.push_str(part);
    }
    out
}
