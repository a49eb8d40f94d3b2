//! A reader of JSON text that copies nothing it does not have to.
//!
//! It takes exactly what RFC 8259 calls JSON, with one mercy: half of a surrogate pair is a character of
//! its own, [`REPLACEMENT`](char::REPLACEMENT_CHARACTER), because programs that cut texts in the middle of
//! an emoji send such bodies all day. Whoever judges a text learns of it from [`Text::decode`].
//!
//! Must never take what a strict parser refuses, and never look at a byte more than a few times. Start at
//! [`Scan::next`].

use std::borrow::Cow;

use super::Unreadable;

/// How deep values may nest: what the other readers of bodies allow, too.
const DEEPEST: usize = 128;

/// What begins at the place of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// `{`, which was read.
    Object,
    /// `[`, which was read.
    Array,
    /// A string, which was read.
    Text(Text<'a>),
    /// A number or a boolean, which was read.
    Scalar,
    /// `null`, which was read.
    Null,
}

/// The inside of a JSON string, as it stands in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The text, and whether each of its characters is whole: half a surrogate pair becomes a replacement
    /// character.
    pub(super) fn decode(self) -> (Cow<'a, str>, bool) {
        if self.escaped {
            let (text, whole) = unescape(self.raw);
            (Cow::Owned(text), whole)
        } else {
            (Cow::Borrowed(self.raw), true)
        }
    }

    /// Whether a colon can stand in the text: as itself, or written by its number.
    pub(super) fn may_have_colon(self) -> bool {
        let bytes = self.raw.as_bytes();
        memchr::memchr(b':', bytes).is_some()
            || (self.escaped && memchr::memmem::find(bytes, b"\\u").is_some())
    }
}

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Scan<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Reads what comes next: a whole text or scalar, or the bracket that opens an object or an array.
    pub(super) fn next(&mut self) -> Result<Next<'a>, Unreadable> {
        match self.peek() {
            Some(b'"') => self.string().map(Next::Text),
            Some(b'{') => self.open(Next::Object),
            Some(b'[') => self.open(Next::Array),
            Some(b'n') => self.word("null", Next::Null),
            Some(b't') => self.word("true", Next::Scalar),
            Some(b'f') => self.word("false", Next::Scalar),
            _ => self.number(),
        }
    }

    /// Goes on to the next member of an object and reads its key and colon; `None` closes the object.
    /// `first` is whether no member was read yet.
    pub(super) fn member(&mut self, first: bool) -> Result<Option<Text<'a>>, Unreadable> {
        if !self.continues(first, b'}')? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(self.fault());
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// Goes on to the next element of an array; `false` closes it.
    pub(super) fn element(&mut self, first: bool) -> Result<bool, Unreadable> {
        self.continues(first, b']')
    }

    /// Reads what follows the whole value: nothing but blanks may.
    pub(super) fn end(&mut self) -> Result<(), Unreadable> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault()),
        }
    }

    fn continues(&mut self, first: bool, close: u8) -> Result<bool, Unreadable> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth = self.depth.saturating_sub(1);
                return Ok(false);
            }
            Some(b',') if !first => self.at += 1,
            Some(_) if first => return Ok(true),
            _ => return Err(self.fault()),
        }
        // No comma before the bracket.
        match self.peek() {
            Some(byte) if byte != close => Ok(true),
            _ => Err(self.fault()),
        }
    }

    fn open(&mut self, what: Next<'a>) -> Result<Next<'a>, Unreadable> {
        if self.depth == DEEPEST {
            return Err(Unreadable::TooDeep);
        }
        self.at += 1;
        self.depth += 1;
        Ok(what)
    }

    fn fault(&self) -> Unreadable {
        Unreadable::NotJson { at: self.at }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.rest();
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += rest.iter().take_while(blank).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fault())
        }
    }

    fn word(&mut self, word: &str, what: Next<'a>) -> Result<Next<'a>, Unreadable> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.fault());
        }
        self.at += word.len();
        Ok(what)
    }

    fn number(&mut self) -> Result<Next<'a>, Unreadable> {
        if self.rest().first() == Some(&b'-') {
            self.at += 1;
        }
        if self.rest().first() == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.rest().first() == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.rest().first() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.rest().first() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Next::Scalar)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Unreadable> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
        match count.count() {
            0 => Err(self.fault()),
            count => {
                self.at += count;
                Ok(())
            }
        }
    }

    /// Reads a string; the scan stands on its opening quotation mark.
    fn string(&mut self) -> Result<Text<'a>, Unreadable> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.rest();
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            self.at += plain.unwrap_or(rest.len());
            match self.rest() {
                [b'"', ..] => break,
                [b'\\', b'u', hex @ ..] => {
                    if hex4(hex).is_none() {
                        return Err(self.fault());
                    }
                    self.at += 6;
                }
                [
                    b'\\',
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                    ..,
                ] => {
                    self.at += 2;
                }
                _ => return Err(self.fault()),
            }
            escaped = true;
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, escaped })
    }
}

/// The number that the first four bytes write in hexadecimal.
fn hex4(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.get(..4)?;
    digits.iter().try_fold(0_u16, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | u16::try_from(digit).ok()?)
    })
}

/// Undoes the escapes of a string that [`Scan::string`] read, and says whether every surrogate had its
/// other half.
fn unescape(raw: &str) -> (String, bool) {
    let mut out = String::with_capacity(raw.len());
    let mut whole = true;
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escape.chars();
        let (character, behind) = match chars.next() {
            Some('u') => unicode(chars.as_str()),
            Some(letter) => (Some(short(letter)), chars.as_str()),
            None => (None, ""),
        };
        whole &= character.is_some();
        out.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = behind;
    }
    out.push_str(rest);
    (out, whole)
}

/// The character of an escape of one letter.
const fn short(letter: char) -> char {
    match letter {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}

/// The character that `\u` and these digits write, together with a second escape if it takes two, and what
/// follows; `None` for half a pair.
fn unicode(digits: &str) -> (Option<char>, &str) {
    let behind = digits.get(4..).unwrap_or_default();
    let Some(first) = hex4(digits.as_bytes()) else {
        return (None, behind);
    };
    let second = behind
        .strip_prefix("\\u")
        .and_then(|digits| hex4(digits.as_bytes()))
        .filter(|second| (0xdc00..0xe000).contains(second));
    match (first, second) {
        (0xd800..0xdc00, Some(second)) => {
            let pair = char::decode_utf16([first, second]).next();
            let behind = behind.get(6..).unwrap_or_default();
            (pair.and_then(Result::ok), behind)
        }
        _ => (char::from_u32(u32::from(first)), behind),
    }
}
