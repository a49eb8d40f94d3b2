//! What a field of a configuration file may hold.
//!
//! The tables in `schema` say it once for every field; checking, comparing, sending and exporting
//! all walk the same tables, so a field cannot be known to one of them and not to another.

use crate::json::Json;

/// A section of the file. The order is the order of creation: what is referred to comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Provider,
    Guardrail,
    Policy,
    CacheRule,
    Key,
    Budget,
}

impl Kind {
    pub(super) const ALL: [Self; 6] = [
        Self::Provider,
        Self::Guardrail,
        Self::Policy,
        Self::CacheRule,
        Self::Key,
        Self::Budget,
    ];

    /// The section's name.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Provider => "model_providers",
            Self::Guardrail => "guardrails",
            Self::Policy => "routing_policies",
            Self::CacheRule => "cache_rules",
            Self::Key => "virtual_keys",
            Self::Budget => "budgets",
        }
    }

    /// One of them, for a person; also what wraps it in an answer, with underscores.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Provider => "model provider",
            Self::Guardrail => "guardrail",
            Self::Policy => "routing policy",
            Self::CacheRule => "cache rule",
            Self::Key => "virtual key",
            Self::Budget => "budget",
        }
    }

    /// Where the API keeps them.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Provider => "/api/gateway/v1/model-providers",
            Self::Guardrail => "/api/gateway/v1/guardrails",
            Self::Policy => "/api/gateway/v1/routing-policies",
            Self::CacheRule => "/api/gateway/v1/cache-rules",
            Self::Key => "/api/gateway/v1/virtual-keys",
            Self::Budget => "/api/gateway/v1/budgets",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase().replace('-', "_");
        let known = Self::ALL.into_iter().find(|kind| kind.section() == text);
        known.ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|kind| kind.section()).collect();
            format!("expected one of {}", all.join(", "))
        })
    }
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Shape {
    /// Text of 1 to so many characters.
    Text(usize),
    /// The same in lower case.
    Handle(usize),
    Flag,
    /// A whole number between the two.
    Whole(i64, i64),
    /// A fraction between the two.
    Fraction(f64, f64),
    /// One of these words. The second list holds other spellings: `(spelling, word)`.
    OneOf(
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
    ),
    /// Dollars above zero with at most 6 digits behind the point; decimal text.
    Money,
    /// An instant; RFC 3339 text in UTC with milliseconds.
    Time,
    /// Or nothing.
    Nullable(&'static Shape),
    /// Or nothing; the empty list or map is nothing too.
    Blankable(&'static Shape),
    List(&'static Shape),
    /// A list whose order means nothing.
    Set(&'static Shape),
    /// At least one of them.
    Some(&'static Shape),
    /// Names to text.
    Texts(usize),
    /// The server's own trimming of tags, done here too so that nothing seems to differ.
    Tags,
    /// Passed on as it is.
    Any,
    AnyMap,
    Object(Object),
    /// Another thing of the file or the server, by name.
    Ref(Kind),
    Project,
    User,
    /// `org:…`, `team:…`, `project:…`, or the API's object.
    Scope,
    /// What a budget counts.
    BudgetScope,
    /// `custom_keys` of a provider: settings in clear, secrets by reference.
    CustomKeys,
    /// `extra_headers`: `[{key, value}]`, values by reference.
    Headers,
    /// `evaluator.settings`: anything, but the values of `headers` by reference.
    EvaluatorSettings,
    /// `{model: {provider or kind: model}}`.
    ModelMap,
}

/// A map of known fields.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) fields: &'static [Field],
    /// Sent with every field, also those that the file leaves out: the API would keep them.
    pub(super) filled: bool,
    /// A field that the file leaves out is kept, not reset.
    pub(super) keeps: bool,
}

impl Object {
    pub(super) const fn of(fields: &'static [Field]) -> Self {
        Self {
            fields,
            filled: false,
            keeps: false,
        }
    }
}

/// A field of a map.
#[derive(Debug)]
pub(super) struct Field {
    /// As the API answers it.
    pub(super) name: &'static str,
    /// Other spellings that are accepted.
    pub(super) also: &'static [&'static str],
    pub(super) shape: Shape,
    pub(super) preset: Preset,
    pub(super) write: Write,
    pub(super) required: bool,
}

impl Field {
    pub(super) const fn new(name: &'static str, shape: Shape, preset: Preset) -> Self {
        Self {
            name,
            also: &[],
            shape,
            preset,
            write: Write::Free,
            required: false,
        }
    }

    pub(super) const fn also(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }

    pub(super) const fn fixed(mut self) -> Self {
        self.write = Write::Fixed;
        self
    }

    pub(super) const fn only_new(mut self) -> Self {
        self.write = Write::OnlyNew;
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.also.contains(&name)
    }
}

/// When a field may be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Write {
    Free,
    /// At creation; a difference later is an error.
    Fixed,
    /// At creation; never read back.
    OnlyNew,
}

/// What the server takes when the field is absent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    /// Not known here.
    Unknown,
    Null,
    Flag(bool),
    Whole(i64),
    Word(&'static str),
    EmptyList,
    EmptyMap,
}

impl Preset {
    pub(super) fn json(self) -> Option<Json> {
        Some(match self {
            Self::Unknown => return None,
            Self::Null => Json::Null,
            Self::Flag(flag) => flag.into(),
            Self::Whole(number) => number.into(),
            Self::Word(word) => word.into(),
            Self::EmptyList => Json::Array(Vec::new()),
            Self::EmptyMap => Json::Object(Vec::new()),
        })
    }
}
