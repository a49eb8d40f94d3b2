//! Reads JSON and query input field by field and collects every problem before it refuses.
//!
//! A reader that stops at the first problem makes its caller fix ten mistakes in ten calls. So each
//! read adds to [`Problems`], and [`Problems::finish`] turns them into one `validation_error` whose
//! `meta.fields` and `meta.reasons` name all of them (management-api 3.1).
//!
//! Must never repeat a value in a message: a value may be a secret. Names of fields and of unknown
//! keys are fine. Start at [`Fields`].

use std::ops::RangeInclusive;

use lw_core::{Code, Error, UnixMicros};
use serde_json::{Map, Value, json};

/// The most problems that one answer names.
const NAMED: usize = 50;
/// The most characters of a field's path that an answer repeats: callers choose the keys of maps.
const PATH: usize = 200;

/// Where the input stood.
pub(crate) const BODY: &str = "json";
/// See [`BODY`].
pub(crate) const QUERY: &str = "query";
/// See [`BODY`].
pub(crate) const HEADER: &str = "header";

/// What is wrong with an input, gathered.
#[derive(Debug)]
pub(crate) struct Problems {
    target: &'static str,
    found: Vec<Problem>,
    more: usize,
}

#[derive(Debug)]
struct Problem {
    field: String,
    code: &'static str,
    message: String,
}

impl Problems {
    /// Nothing wrong so far with the input at `target`.
    pub(crate) const fn of(target: &'static str) -> Self {
        Self {
            target,
            found: Vec::new(),
            more: 0,
        }
    }

    /// Adds one: the path of the field, a word for machines, and what is expected there.
    pub(crate) fn add(
        &mut self,
        field: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) {
        if self.found.len() < NAMED {
            let mut field = field.into();
            if let Some((end, _)) = field.char_indices().nth(PATH) {
                field.truncate(end);
            }
            self.found.push(Problem {
                field,
                code,
                message: message.into(),
            });
        } else {
            self.more += 1;
        }
    }

    /// How many there are so far.
    pub(crate) const fn len(&self) -> usize {
        self.found.len() + self.more
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `validation_error` naming every problem, if there was one.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let Some(first) = self.found.first() else {
            return Ok(());
        };
        let others = self.found.len() - 1 + self.more;
        let message = match others {
            0 => format!("{}: {}", first.field, first.message),
            1 => format!("{}: {} (and 1 more problem)", first.field, first.message),
            _ => format!(
                "{}: {} (and {others} more problems)",
                first.field, first.message
            ),
        };
        let mut fields: Vec<&str> = Vec::new();
        for problem in &self.found {
            if !fields.contains(&problem.field.as_str()) {
                fields.push(&problem.field);
            }
        }
        let reasons: Vec<Value> = self
            .found
            .iter()
            .map(
                |Problem {
                     field,
                     code,
                     message,
                 }| {
                    // The official Python package reads both facts from `meta`.
                    let meta = json!({ "field": field, "message": message });
                    json!({ "code": code, "message": message, "meta": meta })
                },
            )
            .collect();
        Err(Error::new(Code::ValidationError, message)
            .with("target", self.target)
            .with("fields", fields)
            .with("reasons", reasons))
    }
}

/// One problem, refused at once: for checks that come after the body was read.
pub(crate) fn refuse(
    target: &'static str,
    field: &str,
    code: &'static str,
    message: impl Into<String>,
) -> Error {
    let mut problems = Problems::of(target);
    problems.add(field, code, message);
    match problems.finish() {
        Err(error) => error,
        Ok(()) => Error::new(Code::ValidationError, "the request is not valid"),
    }
}

/// A field of a PATCH: absence and null are different wishes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Given<T> {
    /// The field was not sent, or what was sent is already among the problems.
    #[default]
    Absent,
    /// `null` was sent.
    Null,
    /// A value was sent.
    Value(T),
}

impl<T> Given<T> {
    /// The value, if one was sent.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// What a nullable field holds afterwards: kept, cleared or replaced.
    pub(crate) fn over(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Absent => current,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// Changes the value and keeps the other two states.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(change(value)),
        }
    }

    /// Like [`Self::map`] for a change that can find a problem (it adds it and answers `None`).
    pub(crate) fn and_then<U>(self, change: impl FnOnce(T) -> Option<U>) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => change(value).map_or(Given::Absent, Given::Value),
        }
    }
}

/// A JSON object that is being read, with the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// The fields of `map`; `path` is empty for the body itself.
    pub(crate) fn new(map: &'a Map<String, Value>, path: impl Into<String>) -> Self {
        Self {
            map,
            path: path.into(),
        }
    }

    /// The object itself.
    pub(crate) const fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    /// The full path of a field here.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The first of `names` that was sent; the official spelling stands first.
    pub(crate) fn raw(&self, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        names
            .iter()
            .find_map(|name| self.map.get(*name).map(|value| (*name, value)))
    }

    /// Adds a problem for every field that is not one of `known`: for objects where a misspelt field
    /// would be a wish that nobody fulfils.
    pub(crate) fn only(&self, known: &[&str], problems: &mut Problems) {
        let unknown = self.map.keys().filter(|key| !known.contains(&key.as_str()));
        for key in unknown {
            let text = format!("is not one of {}", known.join(", "));
            problems.add(self.path(key), "unrecognized_key", text);
        }
    }

    fn typed<T>(
        &self,
        names: &[&'static str],
        problems: &mut Problems,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Given<T> {
        match self.raw(names) {
            None => Given::Absent,
            Some((_, Value::Null)) => Given::Null,
            Some((name, value)) => match read(value) {
                Some(value) => Given::Value(value),
                None => {
                    problems.add(
                        self.path(name),
                        "invalid_type",
                        format!("must be {expected}"),
                    );
                    Given::Absent
                }
            },
        }
    }

    /// A text of `length` characters, untrimmed.
    pub(crate) fn text(
        &self,
        name: &'static str,
        length: RangeInclusive<usize>,
        problems: &mut Problems,
    ) -> Given<String> {
        self.typed(&[name], problems, "a string", Value::as_str)
            .and_then(|text| {
                let fine = length.contains(&text.chars().count());
                if !fine {
                    problems.add(
                        self.path(name),
                        "invalid_length",
                        between(&length, "characters"),
                    );
                }
                fine.then(|| text.to_owned())
            })
    }

    /// A text that is trimmed before it is measured.
    pub(crate) fn trimmed(
        &self,
        name: &'static str,
        length: RangeInclusive<usize>,
        problems: &mut Problems,
    ) -> Given<String> {
        self.typed(&[name], problems, "a string", Value::as_str)
            .and_then(|text| {
                let text = text.trim();
                let fine = length.contains(&text.chars().count());
                if !fine {
                    problems.add(
                        self.path(name),
                        "invalid_length",
                        between(&length, "characters"),
                    );
                }
                fine.then(|| text.to_owned())
            })
    }

    /// One of a fixed set of words.
    pub(crate) fn choice(
        &self,
        names: &[&'static str],
        words: &[&'static str],
        problems: &mut Problems,
    ) -> Given<&'static str> {
        let expected = format!("one of {}", words.join(", "));
        self.typed(names, problems, &expected, |value| {
            let text = value.as_str()?;
            words.iter().find(|word| **word == text).copied()
        })
    }

    /// A whole number inside `range`.
    pub(crate) fn whole(
        &self,
        names: &[&'static str],
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Given<u64> {
        let expected = if *range.end() >= MAX_WHOLE {
            format!("a whole number of at least {}", range.start())
        } else {
            format!("a whole number from {} to {}", range.start(), range.end())
        };
        self.typed(names, problems, &expected, |value| {
            let number = u64::try_from(whole_number(value)?).ok()?;
            range.contains(&number).then_some(number)
        })
    }

    /// A whole number that may be negative.
    pub(crate) fn integer(&self, name: &'static str, problems: &mut Problems) -> Given<i64> {
        self.typed(&[name], problems, "a whole number", whole_number)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, names: &[&'static str], problems: &mut Problems) -> Given<bool> {
        self.typed(names, problems, "true or false", Value::as_bool)
    }

    /// A number inside `range`.
    pub(crate) fn number(
        &self,
        names: &[&'static str],
        range: RangeInclusive<f64>,
        problems: &mut Problems,
    ) -> Given<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.typed(names, problems, &expected, |value| {
            value.as_f64().filter(|number| range.contains(number))
        })
    }

    /// A list.
    pub(crate) fn list(
        &self,
        names: &[&'static str],
        problems: &mut Problems,
    ) -> Given<&'a Vec<Value>> {
        self.typed(names, problems, "a list", Value::as_array)
    }

    /// A list of texts of `length` characters.
    pub(crate) fn texts(
        &self,
        names: &[&'static str],
        length: RangeInclusive<usize>,
        problems: &mut Problems,
    ) -> Given<Vec<String>> {
        let name = self.raw(names).map_or("", |(name, _)| name);
        self.list(names, problems).map(|entries| {
            let mut texts = Vec::new();
            for (place, entry) in entries.iter().enumerate() {
                match entry.as_str() {
                    Some(text) if length.contains(&text.chars().count()) => {
                        texts.push(text.to_owned());
                    }
                    Some(_) => problems.add(
                        format!("{}.{place}", self.path(name)),
                        "invalid_length",
                        between(&length, "characters"),
                    ),
                    None => problems.add(
                        format!("{}.{place}", self.path(name)),
                        "invalid_type",
                        "must be a string",
                    ),
                }
            }
            texts
        })
    }

    /// An object, to be read on.
    pub(crate) fn object(
        &self,
        names: &[&'static str],
        problems: &mut Problems,
    ) -> Given<Fields<'a>> {
        let name = self.raw(names).map_or("", |(name, _)| name);
        self.typed(names, problems, "an object", Value::as_object)
            .map(|map| Fields::new(map, self.path(name)))
    }

    /// An ISO date-time with an offset.
    pub(crate) fn time(&self, name: &'static str, problems: &mut Problems) -> Given<UnixMicros> {
        self.typed(
            &[name],
            problems,
            "an ISO 8601 date-time such as 2027-01-31T00:00:00Z",
            |value| UnixMicros::parse_rfc3339(value.as_str()?),
        )
    }
}

/// The largest float that is sure to be the number that was meant: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A whole number, however it is written: JSON has one kind of number, and to JSON Schema `5.0` is as
/// whole as `5`. Languages whose numbers are floats write it so.
pub(crate) fn whole_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        let whole = number.fract() == 0.0 && number.abs() <= EXACT;
        whole.then(|| format!("{number:.0}").parse().ok()).flatten()
    })
}

/// Stands for "no upper bound": what a signed column holds.
pub(crate) const MAX_WHOLE: u64 = i64::MAX as u64;

/// Adds the problem of a field that was sent as null and cannot be.
pub(crate) fn never_null<T>(given: Given<T>, field: String, problems: &mut Problems) -> Option<T> {
    match given {
        Given::Absent => None,
        Given::Null => {
            problems.add(field, "invalid_type", "must not be null");
            None
        }
        Given::Value(value) => Some(value),
    }
}

/// Adds the problem of a field that must be sent and was not.
pub(crate) fn required<T>(
    given: Given<T>,
    fields: &Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<T> {
    if fields.raw(&[name]).is_none() {
        problems.add(fields.path(name), "required", "is required");
    }
    never_null(given, fields.path(name), problems)
}

fn between(length: &RangeInclusive<usize>, unit: &str) -> String {
    match (*length.start(), *length.end()) {
        (0, end) => format!("must be at most {end} {unit} long"),
        (start, end) => format!("must be {start} to {end} {unit} long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        let body = json!({ "name": "", "description": 7, "rate_limit": { "rpm": -1 } });
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body.as_object().expect("an object"), "");
        assert_eq!(fields.text("name", 1..=128, &mut problems), Given::Absent);
        assert_eq!(
            fields.text("description", 0..=10, &mut problems),
            Given::Absent
        );
        let limits = fields
            .object(&["rate_limit"], &mut problems)
            .value()
            .expect("an object");
        assert_eq!(
            limits.whole(&["rpm"], 0..=MAX_WHOLE, &mut problems),
            Given::Absent
        );
        let error = problems.finish().expect_err("three problems");
        insta::assert_snapshot!(lw_core::error::render(
            &error,
            lw_core::error::Dialect::Management,
            lw_core::error::Correlation::default(),
        ));
    }

    #[test]
    fn absence_null_and_a_value_are_three_wishes() {
        let body = json!({ "b": null, "c": "x" });
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body.as_object().expect("an object"), "");
        let old = || Some("old".to_owned());
        assert_eq!(fields.text("a", 0..=9, &mut problems).over(old()), old());
        assert_eq!(fields.text("b", 0..=9, &mut problems).over(old()), None);
        assert_eq!(
            fields.text("c", 0..=9, &mut problems).over(old()),
            Some("x".to_owned())
        );
        assert!(problems.finish().is_ok());
    }

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        let read = |text: &str| whole_number(&serde_json::from_str(text).expect("a number"));
        assert_eq!(read("5"), Some(5));
        assert_eq!(read("5.0"), Some(5));
        assert_eq!(read("-5.0"), Some(-5));
        assert_eq!(read("-0.0"), Some(0));
        assert_eq!(read("1.785161002e12"), Some(1_785_161_002_000));
        assert_eq!(read("9223372036854775807"), Some(i64::MAX));
        for text in ["5.5", "9223372036854775808", "1e300", "9007199254740994.0"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_list_of_problems_is_bounded() {
        let mut problems = Problems::of(BODY);
        for place in 0..60 {
            problems.add(format!("tags.{place}"), "invalid_type", "must be a string");
        }
        let error = problems.finish().expect_err("sixty problems");
        assert!(
            error.message().ends_with("(and 59 more problems)"),
            "{}",
            error.message()
        );
    }
}
