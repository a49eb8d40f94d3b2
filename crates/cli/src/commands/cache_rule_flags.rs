//! The flags of `cache-rules create` and `update`, and the bodies they make.

use clap::{Args, ValueEnum};

use super::flags::{IdempotencyFlag, set_nulls, set_number, set_text, set_value, something};
use crate::args::{pairs_object, parse_object, parse_pair};
use crate::error::CliError;
use crate::json::Json;

const LONGEST_TTL_S: i64 = 86_400;
const HIGHEST_PRIORITY: i64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Mode {
    /// Do as the request says
    Respect,
    /// Cache whatever the request says
    Force,
    /// Never cache
    Disable,
}

/// A condition that `--clear-matcher` takes away.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Matcher {
    Model,
    Vk,
    VkPrefix,
    VkTag,
    Principal,
    Header,
    TimeWindow,
}

impl Matcher {
    fn field(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Vk => "vk_id",
            Self::VkPrefix => "vk_prefix",
            Self::VkTag => "vk_tags",
            Self::Principal => "principal_id",
            Self::Header => "request_metadata",
            Self::TimeWindow => "time_window",
        }
    }
}

/// The conditions of a rule.
#[derive(Args, Debug)]
struct MatcherFlags {
    /// Requests for this model, after aliases
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// Requests of this virtual key
    #[arg(long, value_name = "ID")]
    vk: Option<String>,

    /// Requests of virtual keys whose display prefix begins like this
    #[arg(long, value_name = "PREFIX")]
    vk_prefix: Option<String>,

    /// Requests of virtual keys with this tag (repeatable; a key needs all of them)
    #[arg(long = "vk-tag", value_name = "TAG")]
    vk_tags: Vec<String>,

    /// Requests of keys that belong to this person
    #[arg(long, value_name = "ID")]
    principal: Option<String>,

    /// Requests with this header (repeatable; a request needs all of them)
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = parse_pair)]
    headers: Vec<(String, String)>,

    /// Requests at these times, as JSON: {"days":[1,5],"from":"09:00","to":"17:00","tz":"Europe/Paris"}
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    time_window: Option<Json>,
}

/// The flags of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Name of the rule
    #[arg(long)]
    name: String,

    /// What the rule is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// What to do with the requests that fit
    #[arg(long, value_name = "MODE", ignore_case = true)]
    mode: Mode,

    /// Seconds that an answer stays in the cache
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..=LONGEST_TTL_S))]
    ttl: Option<i64>,

    /// Part of the cache key: another salt means other answers
    #[arg(long, value_name = "TEXT")]
    salt: Option<String>,

    /// Place in the order of rules, 0 to 1000; higher goes first (default: 100)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..=HIGHEST_PRIORITY))]
    priority: Option<i64>,

    #[command(flatten)]
    matchers: MatcherFlags,

    /// Create the rule switched off
    #[arg(long)]
    disabled: bool,

    #[command(flatten)]
    idempotency: IdempotencyFlag,
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// Id of the cache rule
    id: String,

    /// New name
    #[arg(long)]
    name: Option<String>,

    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Remove the description
    #[arg(long, conflicts_with = "description")]
    clear_description: bool,

    /// What to do with the requests that fit
    #[arg(long, value_name = "MODE", ignore_case = true)]
    mode: Option<Mode>,

    /// Seconds that an answer stays in the cache
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..=LONGEST_TTL_S))]
    ttl: Option<i64>,

    /// Leave the time in the cache to the gateway
    #[arg(long, conflicts_with = "ttl")]
    clear_ttl: bool,

    /// Part of the cache key: another salt means other answers
    #[arg(long, value_name = "TEXT")]
    salt: Option<String>,

    /// Remove the salt
    #[arg(long, conflicts_with = "salt")]
    clear_salt: bool,

    /// Place in the order of rules, 0 to 1000; higher goes first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..=HIGHEST_PRIORITY))]
    priority: Option<i64>,

    #[command(flatten)]
    matchers: MatcherFlags,

    /// Take a condition away (repeatable)
    #[arg(long = "clear-matcher", value_name = "CONDITION", ignore_case = true)]
    clear_matchers: Vec<Matcher>,

    /// Switch the rule on
    #[arg(long, conflicts_with = "disabled")]
    enabled: bool,

    /// Switch the rule off
    #[arg(long)]
    disabled: bool,
}

impl CreateFlags {
    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        self.idempotency.key()
    }

    pub(crate) fn body(&self) -> Result<Json, CliError> {
        let Self {
            name,
            description,
            mode,
            ttl,
            salt,
            priority,
            matchers,
            disabled,
            idempotency: _,
        } = self;
        if matchers.is_empty() {
            return Err(CliError::usage(
                "a cache rule needs a condition. Provide at least one of --model, --vk, \
                 --vk-prefix, --vk-tag, --principal, --header, --time-window.",
            ));
        }
        let mut body = Json::object([("name", name.as_str().into())]);
        set_text(&mut body, "description", description.as_deref());
        set_number(&mut body, "priority", *priority);
        if *disabled {
            body.set("enabled", false.into());
        }
        let mut conditions = Json::Object(Vec::new());
        matchers.add_to(&mut conditions);
        body.set("matchers", conditions);
        let mut action = Json::Object(Vec::new());
        set_value(&mut action, "mode", Some(*mode));
        set_number(&mut action, "ttl", *ttl);
        set_text(&mut action, "salt", salt.as_deref());
        body.set("action", action);
        Ok(body)
    }
}

impl UpdateFlags {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the body depends on the conditions or the action that the rule has now.
    pub(crate) fn needs_stored(&self) -> bool {
        self.changes_matchers() || self.changes_action()
    }

    fn changes_matchers(&self) -> bool {
        !self.matchers.is_empty() || !self.clear_matchers.is_empty()
    }

    fn changes_action(&self) -> bool {
        self.mode.is_some()
            || self.ttl.is_some()
            || self.clear_ttl
            || self.salt.is_some()
            || self.clear_salt
    }

    /// `stored` is the rule as it is, for what replaces a part of it.
    pub(crate) fn body(&self, stored: Option<Json>) -> Result<Json, CliError> {
        let Self {
            id: _,
            name,
            description,
            clear_description,
            mode,
            ttl,
            clear_ttl,
            salt,
            clear_salt,
            priority,
            matchers,
            clear_matchers,
            enabled,
            disabled,
        } = self;
        let mut stored = stored.unwrap_or(Json::Null);
        let mut body = Json::Object(Vec::new());
        set_text(&mut body, "name", name.as_deref());
        set_text(&mut body, "description", description.as_deref());
        set_nulls(&mut body, &[(*clear_description, "description")]);
        set_number(&mut body, "priority", *priority);
        if *enabled || *disabled {
            body.set("enabled", (*enabled).into());
        }
        if self.changes_matchers() {
            let mut conditions = object(stored.take("matchers"));
            for matcher in clear_matchers {
                conditions.take(matcher.field());
            }
            matchers.add_to(&mut conditions);
            if conditions.fields().is_empty() {
                return Err(CliError::usage(
                    "a cache rule needs a condition, and this would take the last one away. \
                     `langwatch cache-rules archive` ends a rule.",
                ));
            }
            body.set("matchers", conditions);
        }
        if self.changes_action() {
            let mut action = object(stored.take("action"));
            for (clear, field) in [(*clear_ttl, "ttl"), (*clear_salt, "salt")] {
                if clear {
                    action.take(field);
                }
            }
            set_value(&mut action, "mode", *mode);
            set_number(&mut action, "ttl", *ttl);
            set_text(&mut action, "salt", salt.as_deref());
            body.set("action", action);
        }
        something(
            body,
            "--name, --description, --mode, --ttl, --salt, --priority, --model, --vk, \
             --vk-prefix, --vk-tag, --principal, --header, --time-window, --enabled, --disabled, \
             or a --clear-… flag",
        )
    }
}

/// The stored object without its unset fields: the server takes these objects by the letter.
fn object(stored: Option<Json>) -> Json {
    match stored {
        Some(Json::Object(fields)) => {
            Json::Object(fields.into_iter().filter(|(_, v)| !v.is_null()).collect())
        }
        _ => Json::Object(Vec::new()),
    }
}

impl MatcherFlags {
    fn is_empty(&self) -> bool {
        let mut conditions = Json::Object(Vec::new());
        self.add_to(&mut conditions);
        conditions.fields().is_empty()
    }

    fn add_to(&self, conditions: &mut Json) {
        let Self {
            model,
            vk,
            vk_prefix,
            vk_tags,
            principal,
            headers,
            time_window,
        } = self;
        let mut text = |matcher: Matcher, value: &Option<String>| {
            set_text(conditions, matcher.field(), value.as_deref());
        };
        text(Matcher::Vk, vk);
        text(Matcher::VkPrefix, vk_prefix);
        text(Matcher::Principal, principal);
        text(Matcher::Model, model);
        if !vk_tags.is_empty() {
            let tags: Vec<Json> = vk_tags.iter().map(|tag| tag.as_str().into()).collect();
            conditions.set(Matcher::VkTag.field(), tags.into());
        }
        if !headers.is_empty() {
            conditions.set(Matcher::Header.field(), pairs_object(headers));
        }
        if let Some(window) = time_window {
            conditions.set(Matcher::TimeWindow.field(), window.clone());
        }
    }
}
