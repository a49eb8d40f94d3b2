//! Where the parts of a JSON text stand.
//!
//! Bodies were validated before they come here, so this only tells tokens apart; of bytes that are no JSON
//! it tells something, ends, and points at nothing outside of them. One pass, no recursion. Start at
//! [`Scan`].

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// `{` or `[`.
    Open,
    /// `}` or `]`.
    Close,
    /// The name of a member, with its quotes.
    Key,
    /// A text, a number, `true`, `false` or `null`.
    Scalar,
}

/// Goes through the tokens of a body.
#[derive(Clone)]
pub(super) struct Scan<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// From the first byte on.
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// Inside of the object or list that stands at `value`; `None` if it is neither.
    fn inside(body: &'a [u8], value: &Range<usize>) -> Option<Self> {
        let opens = matches!(body.get(value.start), Some(b'{' | b'['));
        opens.then_some(Self {
            body: body.get(..value.end)?,
            at: value.start + 1,
        })
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.body.get(at).copied()
    }

    /// The next byte, from `at` on, that is neither blank nor between values.
    fn significant(&self, mut at: usize) -> usize {
        while matches!(
            self.byte(at),
            Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')
        ) {
            at += 1;
        }
        at
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Option<(Token, Range<usize>)> {
        let start = self.significant(self.at);
        let (token, end) = match self.byte(start)? {
            b'{' | b'[' => (Token::Open, start + 1),
            b'}' | b']' => (Token::Close, start + 1),
            b'"' => {
                let end = self.text_end(start + 1);
                let blanks = self.body.get(end..).unwrap_or_default();
                let is_key = blanks.trim_ascii_start().first() == Some(&b':');
                (if is_key { Token::Key } else { Token::Scalar }, end)
            }
            _ => (Token::Scalar, self.scalar_end(start + 1)),
        };
        self.at = end;
        Some((token, start..end))
    }

    /// Passes over the next value, whole; `None` when there is none before the next closing bracket.
    pub(super) fn value(&mut self) -> Option<Range<usize>> {
        let (token, at) = self.next()?;
        match token {
            Token::Close => None,
            Token::Scalar | Token::Key => Some(at),
            Token::Open => {
                let mut open = 1_usize;
                while open > 0 {
                    match self.next()?.0 {
                        Token::Open => open += 1,
                        Token::Close => open -= 1,
                        Token::Key | Token::Scalar => {}
                    }
                }
                Some(at.start..self.at)
            }
        }
    }

    /// Behind the quote that ends the text whose inside begins at `at`.
    fn text_end(&self, mut at: usize) -> usize {
        while let Some(found) = memchr2(b'"', b'\\', self.body.get(at..).unwrap_or_default()) {
            at += found;
            if self.byte(at) == Some(b'"') {
                return at + 1;
            }
            // The escaped byte may be a quote.
            at += 2;
        }
        self.body.len()
    }

    fn scalar_end(&self, mut at: usize) -> usize {
        let ends = |byte: u8| byte.is_ascii_whitespace() || b",:{}[]\"".contains(&byte);
        while self.byte(at).is_some_and(|byte| !ends(byte)) {
            at += 1;
        }
        at
    }
}

/// The members of the object at `value`: key and value. None of what is not an object.
pub(super) fn members(body: &[u8], value: &Range<usize>) -> Vec<(Range<usize>, Range<usize>)> {
    let mut members = Vec::new();
    if let Some(mut scan) = Scan::inside(body, value) {
        while let Some((Token::Key, key)) = scan.next() {
            let Some(value) = scan.value() else {
                break;
            };
            members.push((key, value));
        }
    }
    members
}

/// The elements of the list at `value`. None of what is not a list.
pub(super) fn elements(body: &[u8], value: &Range<usize>) -> Vec<Range<usize>> {
    let mut elements = Vec::new();
    if body.get(value.start) == Some(&b'[')
        && let Some(mut scan) = Scan::inside(body, value)
    {
        while let Some(element) = scan.value() {
            elements.push(element);
        }
    }
    elements
}

/// The text that stands at `at`; `None` if it is none.
pub(super) fn text<'a>(body: &'a [u8], at: &Range<usize>) -> Option<Cow<'a, str>> {
    let json = body.get(at.clone())?;
    let inner = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_some() {
        serde_json::from_slice::<String>(json).ok().map(Cow::Owned)
    } else {
        std::str::from_utf8(inner).ok().map(Cow::Borrowed)
    }
}

/// Whether the text at `at` is `wanted`, however it is escaped.
pub(super) fn text_is(body: &[u8], at: &Range<usize>, wanted: &str) -> bool {
    // An escape is never shorter than what it stands for, nor more than six times as long.
    let possible = wanted.len() + 2..=wanted.len() * 6 + 2;
    possible.contains(&at.len()) && text(body, at).is_some_and(|text| text == wanted)
}

/// Whether exactly these bytes stand at `at`.
pub(super) fn is(body: &[u8], at: &Range<usize>, bytes: &str) -> bool {
    body.get(at.clone()) == Some(bytes.as_bytes())
}
