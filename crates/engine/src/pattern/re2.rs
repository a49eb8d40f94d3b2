//! From RE2's language to that of the `regex` crate.
//!
//! What the two read differently: Perl classes and word boundaries are ASCII in RE2; `\Q…\E`, octal
//! escapes and a lone `{` exist there; nested and combined classes (`[a[b]]`, `[a&&b]`), verbose mode,
//! `\u`, `\<` and stacked repetitions do not. Every literal is escaped on the way out, so nothing of the
//! other language can slip in. Must read a pattern once, without recursion. Start at [`translate`].

use std::str::Chars;

use super::PatternError;

/// The members of `\d`, `\s` and `\w`, as they stand inside of a class. RE2's `\s` has no vertical tab.
const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\f\r ";
const WORD: &str = "0-9A-Za-z_";

/// The names between `[:` and `:]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// The largest count of a repetition.
const MOST_REPEATED: u32 = 1_000;

/// A pattern in the language of the `regex` crate.
pub(super) struct Translated {
    /// The pattern.
    pub(super) text: String,
    /// Names of Unicode properties and where they stood; the engine knows which exist.
    pub(super) properties: Vec<(String, usize)>,
}

/// Rewrites a pattern.
///
/// # Errors
/// It is not in RE2's language.
pub(super) fn translate(pattern: &str) -> Result<Translated, PatternError> {
    let mut scanner = Scanner {
        source: pattern,
        rest: pattern.chars(),
        out: String::with_capacity(pattern.len() * 2),
        properties: Vec::new(),
        groups: Vec::new(),
        names: Vec::new(),
        last: Last::Nothing,
    };
    scanner.run()?;
    let Scanner {
        out, properties, ..
    } = scanner;
    Ok(Translated {
        text: out,
        properties,
    })
}

/// What a repetition would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom,
    Repetition,
}

struct Scanner<'p> {
    source: &'p str,
    rest: Chars<'p>,
    out: String,
    properties: Vec<(String, usize)>,
    /// Where the open groups began.
    groups: Vec<usize>,
    names: Vec<&'p str>,
    last: Last,
}

type Step<T> = Result<T, PatternError>;

impl<'p> Scanner<'p> {
    fn run(&mut self) -> Step<()> {
        loop {
            let at = self.offset();
            let Some(c) = self.rest.next() else { break };
            match c {
                '\\' => self.escape(at)?,
                '[' => self.class(at)?,
                '(' => self.group(at)?,
                ')' => {
                    if self.groups.pop().is_none() {
                        return Err(PatternError::new("closes a group that is not open", at));
                    }
                    self.atom(")");
                }
                '|' => {
                    self.out.push('|');
                    self.last = Last::Nothing;
                }
                '^' => self.atom("^"),
                '$' => self.atom("$"),
                '.' => self.atom("."),
                '*' | '+' | '?' => self.repeat(&c.to_string(), at)?,
                '{' => match self.count(at)? {
                    Some(count) => self.repeat(&count, at)?,
                    None => self.literal('{'),
                },
                c => self.literal(c),
            }
        }
        match self.groups.pop() {
            Some(at) => Err(PatternError::new("opens a group and does not close it", at)),
            None => Ok(()),
        }
    }

    fn offset(&self) -> usize {
        self.source.len() - self.rest.as_str().len()
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    /// Steps over `prefix` when it is next.
    fn eat(&mut self, prefix: &str) -> bool {
        let rest = self.rest.as_str().strip_prefix(prefix);
        if let Some(rest) = rest {
            self.rest = rest.chars();
        }
        rest.is_some()
    }

    /// The text up to `end`, stepping over both. `None`, and no step, when there is no `end`.
    fn until(&mut self, end: &str) -> Option<&'p str> {
        let (text, rest) = self.rest.as_str().split_once(end)?;
        self.rest = rest.chars();
        Some(text)
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.last = Last::Atom;
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.last = Last::Atom;
    }

    fn repeat(&mut self, operator: &str, at: usize) -> Step<()> {
        match self.last {
            Last::Atom => {}
            Last::Nothing => {
                let message = format!("has nothing that `{operator}` could repeat");
                return Err(PatternError::new(message, at));
            }
            Last::Repetition => {
                let message = "repeats a repetition; put the inner one into a group";
                return Err(PatternError::new(message, at));
            }
        }
        self.out.push_str(operator);
        if self.eat("?") {
            self.out.push('?');
        }
        self.last = Last::Repetition;
        Ok(())
    }

    /// `{n}`, `{n,}` or `{n,m}` after its brace. `None`, and no step, when it is something else.
    fn count(&mut self, at: usize) -> Step<Option<String>> {
        let Some((inner, rest)) = self.rest.as_str().split_once('}') else {
            return Ok(None);
        };
        let (least, most) = match inner.split_once(',') {
            Some((least, most)) => (least, Some(most)),
            None => (inner, None),
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if least.is_empty() || !digits(least) || !most.is_none_or(digits) {
            return Ok(None);
        }
        self.rest = rest.chars();
        let number = |text: &str| {
            let number = text.parse().ok().filter(|n: &u32| *n <= MOST_REPEATED);
            number.ok_or_else(|| {
                let message = format!("repeats more than {MOST_REPEATED} times");
                PatternError::new(message, at)
            })
        };
        let least = number(least)?;
        Ok(Some(match most {
            None => format!("{{{least}}}"),
            Some("") => format!("{{{least},}}"),
            Some(most) => {
                let most = number(most)?;
                if most < least {
                    let message = "repeats at least as often as it may at most, and more";
                    return Err(PatternError::new(message, at));
                }
                format!("{{{least},{most}}}")
            }
        }))
    }

    /// What follows a backslash outside of a class.
    fn escape(&mut self, at: usize) -> Step<()> {
        match self.peek() {
            Some('b') => self.atom_after(r"(?-u:\b)"),
            Some('B') => self.atom_after(r"(?-u:\B)"),
            Some('A') => self.atom_after(r"\A"),
            Some('z') => self.atom_after(r"\z"),
            Some('Q') => {
                self.rest.next();
                // Without an end, all that follows is quoted.
                let quoted = match self.until(r"\E") {
                    Some(quoted) => quoted,
                    None => std::mem::replace(&mut self.rest, "".chars()).as_str(),
                };
                for c in quoted.chars() {
                    self.literal(c);
                }
            }
            _ => {
                if let Some((members, negated)) = self.perl() {
                    let open = if negated { "[^" } else { "[" };
                    self.atom(&format!("{open}{members}]"));
                } else if let Some(property) = self.property(at)? {
                    self.atom(&property);
                } else {
                    let c = self.escaped(at)?;
                    self.literal(c);
                }
            }
        }
        Ok(())
    }

    fn atom_after(&mut self, text: &str) {
        self.rest.next();
        self.atom(text);
    }

    /// The members of a Perl class and whether it is negated, after the backslash.
    fn perl(&mut self) -> Option<(&'static str, bool)> {
        let found = match self.peek()? {
            'd' => (DIGIT, false),
            'D' => (DIGIT, true),
            's' => (SPACE, false),
            'S' => (SPACE, true),
            'w' => (WORD, false),
            'W' => (WORD, true),
            _ => return None,
        };
        self.rest.next();
        Some(found)
    }

    /// `pN`, `p{Name}`, `p{^Name}` and the same with `P`, after the backslash.
    fn property(&mut self, at: usize) -> Step<Option<String>> {
        let negated = match self.peek() {
            Some('p') => false,
            Some('P') => true,
            _ => return Ok(None),
        };
        self.rest.next();
        let broken = || PatternError::new("has a Unicode class without a name", at);
        let (name, flipped) = if self.eat("{") {
            let name = self.until("}").ok_or_else(broken)?;
            match name.strip_prefix('^') {
                Some(name) => (name.to_owned(), true),
                None => (name.to_owned(), false),
            }
        } else {
            (self.rest.next().ok_or_else(broken)?.to_string(), false)
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(broken());
        }
        let letter = if negated == flipped { 'p' } else { 'P' };
        let text = format!("\\{letter}{{{name}}}");
        self.properties.push((name, at));
        Ok(Some(text))
    }

    /// The one character that an escape stands for, after the backslash.
    fn escaped(&mut self, at: usize) -> Step<char> {
        let Some(c) = self.rest.next() else {
            return Err(PatternError::new("ends in a lone backslash", at));
        };
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0C',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0B',
            'x' => self.hexadecimal(at)?,
            '0'..='7' if c == '0' || self.peek().is_some_and(|c| c.is_digit(8)) => self.octal(c),
            '1'..='9' | 'k' | 'g' => return Err(PatternError::new(NO_BACK_REFERENCES, at)),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            c => {
                let message = format!("has an unknown escape `\\{c}`");
                return Err(PatternError::new(message, at));
            }
        })
    }

    /// Up to three octal digits, of which `first` was read.
    fn octal(&mut self, first: char) -> char {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            self.rest.next();
            value = value * 8 + digit;
        }
        char::from_u32(value).unwrap_or('\0')
    }

    fn hexadecimal(&mut self, at: usize) -> Step<char> {
        let digits = if self.eat("{") {
            self.until("}")
        } else {
            let rest = self.rest.as_str();
            let digits = rest.get(..2);
            self.rest = rest.get(2..).unwrap_or_default().chars();
            digits
        };
        digits
            .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|text| u32::from_str_radix(text, 16).ok())
            .and_then(char::from_u32)
            .ok_or_else(|| PatternError::new("has a `\\x` that names no character", at))
    }

    /// What follows an opening parenthesis.
    fn group(&mut self, at: usize) -> Step<()> {
        if !self.eat("?") {
            self.out.push('(');
            return self.opened(at);
        }
        for look in ["=", "!", "<=", "<!"] {
            if self.rest.as_str().starts_with(look) {
                return Err(PatternError::new(NO_LOOK_AROUND, at));
            }
        }
        if self.eat("P=") {
            return Err(PatternError::new(NO_BACK_REFERENCES, at));
        }
        if self.eat("P<") || self.eat("<") {
            let name = self.until(">").unwrap_or_default();
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if name.is_empty() || !name.bytes().all(plain) {
                let message = "names a group by something else than letters, digits and `_`";
                return Err(PatternError::new(message, at));
            }
            if self.names.contains(&name) {
                let message = format!("names two groups `{name}`");
                return Err(PatternError::new(message, at));
            }
            self.names.push(name);
            // The name means nothing to a rule, and the engine is stricter about what it may be.
            self.out.push('(');
            return self.opened(at);
        }
        self.flags(at)
    }

    /// What follows `(?`, when it can only be flags.
    fn flags(&mut self, at: usize) -> Step<()> {
        let mut flags = String::from("(?");
        let mut needed = false;
        loop {
            match self.rest.next() {
                Some(c @ ('i' | 'm' | 's' | 'U')) => {
                    // Twice the same is once to RE2 and an error to the engine.
                    if !flags
                        .rsplit('-')
                        .next()
                        .is_some_and(|said| said.contains(c))
                    {
                        flags.push(c);
                    }
                    needed = false;
                }
                Some('-') if !flags.contains('-') => {
                    flags.push('-');
                    needed = true;
                }
                Some(end @ (':' | ')')) if !needed => {
                    if end == ':' {
                        self.out.push_str(&flags);
                        self.out.push(':');
                        return self.opened(at);
                    }
                    if flags.len() > 2 {
                        self.out.push_str(&flags);
                        self.out.push(')');
                        self.last = Last::Nothing;
                        return Ok(());
                    }
                    return Err(PatternError::new(UNKNOWN_GROUP, at));
                }
                _ => return Err(PatternError::new(UNKNOWN_GROUP, at)),
            }
        }
    }

    fn opened(&mut self, at: usize) -> Step<()> {
        self.groups.push(at);
        self.last = Last::Nothing;
        Ok(())
    }

    /// What follows an opening bracket.
    fn class(&mut self, at: usize) -> Step<()> {
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        let mut first = true;
        // A bracket that comes first is a member.
        while first || !self.eat("]") {
            first = false;
            self.member(at)?;
        }
        self.atom("]");
        Ok(())
    }

    /// One member of the class that began at `class`.
    fn member(&mut self, class: usize) -> Step<()> {
        let at = self.offset();
        if self.eat("[:") {
            if let Some(name) = self.until(":]") {
                if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    let message = format!("names an unknown class `[:{name}:]`");
                    return Err(PatternError::new(message, at));
                }
                self.out.push_str(&format!("[:{name}:]"));
                return Ok(());
            }
            // A bracket like any other; the colon is read anew.
            self.rest = self.source.get(at + 1..).unwrap_or_default().chars();
            return self.range('[', at, class);
        }
        if self.eat("\\") {
            if let Some((members, negated)) = self.perl() {
                if negated {
                    self.out.push_str(&format!("[^{members}]"));
                } else {
                    self.out.push_str(members);
                }
                return Ok(());
            }
            if let Some(property) = self.property(at)? {
                self.out.push_str(&property);
                return Ok(());
            }
            let low = self.escaped(at)?;
            return self.range(low, at, class);
        }
        let low = self.single(class)?;
        self.range(low, at, class)
    }

    /// A member that begins with the character `low`: it alone, or a range.
    fn range(&mut self, low: char, at: usize, class: usize) -> Step<()> {
        push_literal(&mut self.out, low);
        let rest = self.rest.as_str();
        if rest.len() < 2 || !rest.starts_with('-') || rest.starts_with("-]") {
            return Ok(());
        }
        self.rest.next();
        let high_at = self.offset();
        let high = if self.eat("\\") {
            self.escaped(high_at)?
        } else {
            self.single(class)?
        };
        if high < low {
            return Err(PatternError::new(
                "has a range whose end is before its start",
                at,
            ));
        }
        self.out.push('-');
        push_literal(&mut self.out, high);
        Ok(())
    }

    fn single(&mut self, class: usize) -> Step<char> {
        self.rest
            .next()
            .ok_or_else(|| PatternError::new("opens a class and does not close it", class))
    }
}

const NO_LOOK_AROUND: &str = "uses look-around, which RE2 does not have because it cannot be matched \
    in linear time; say with an allow list what a deny list cannot";
const NO_BACK_REFERENCES: &str = "uses a back-reference, which RE2 does not have because it cannot be \
    matched in linear time; write the repeated part out";
const UNKNOWN_GROUP: &str = "has an unknown kind of group; known are `(…)`, `(?:…)`, `(?P<name>…)` and \
    the flags i, m, s, U";

/// Writes a character so that it stands for itself, inside of a class and outside.
fn push_literal(out: &mut String, c: char) {
    // `\<` and `\>` would be word boundaries.
    if c.is_ascii_punctuation() && !matches!(c, '_' | '<' | '>') {
        out.push('\\');
    }
    out.push(c);
}
