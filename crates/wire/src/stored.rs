//! What a request refers to at its provider: stored answers, files, caches, containers.
//!
//! A shared credential opens everything that was ever stored under it, so the gateway has to know every
//! such reference before it sends one on. [`references`] walks a whole body, which is slow beside
//! [`envelope`](crate::envelope): it is meant for bodies that may have one.
//!
//! Found by the names that the APIs give to such fields, wherever they stand; left out is what belongs to
//! the application (arguments and results of its tools, schemas, metadata), because a provider never
//! follows what stands there. A field that stands twice counts twice. Must never miss a spelling that a
//! provider reads. Start at [`references`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The most references of one request.
const MOST: usize = 4_096;

/// Something at the provider that a request names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The field that names it.
    pub param: &'static str,
    /// The provider's id; for files of Gemini their name (`files/abc`), whatever address led there.
    pub id: String,
}

/// Why the references of a body cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclear {
    /// It is no JSON, or nested deeper than anybody reads.
    Unreadable,
    /// There are more than a few thousand.
    TooMany,
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the body is nested too deeply to be read"),
            Self::TooMany => write!(
                f,
                "the body refers to more than {MOST} things that are stored at the provider"
            ),
        }
    }
}

impl std::error::Error for Unclear {}

/// Finds what `body` refers to, each once, sorted. `own_host` is the provider's authority (host, and port if
/// there is one), when it has another than its vendor's.
///
/// # Errors
/// See [`Unclear`]: the request must not be sent on with a shared credential.
pub fn references(body: &[u8], own_host: Option<&str>) -> Result<Vec<Reference>, Unclear> {
    let mut walk = Walk {
        found: Vec::new(),
        full: false,
        own_host,
    };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let whole = Part {
        walk: &mut walk,
        role: Role::Top,
    };
    let read = whole.deserialize(&mut reader).and_then(|()| reader.end());
    if walk.full {
        return Err(Unclear::TooMany);
    }
    read.map_err(|_| Unclear::Unreadable)?;
    walk.found.sort_unstable();
    walk.found.dedup();
    Ok(walk.found)
}

/// What is gathered on the way.
struct Walk<'a> {
    found: Vec<Reference>,
    full: bool,
    own_host: Option<&'a str>,
}

impl Walk<'_> {
    fn add(&mut self, param: &'static str, id: impl Into<String>) {
        if self.found.len() >= MOST {
            self.full = true;
            return;
        }
        let id = id.into();
        if !id.is_empty() {
            self.found.push(Reference { param, id });
        }
    }
}

/// What a value is, told by its key and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The whole body.
    Top,
    /// A value in which references may stand.
    Within,
    /// An id, a list of ids, or an object with an `id`.
    Names(&'static str),
    /// The id of a skill: only one that somebody uploaded is anybody's.
    Skill,
    /// The address of a file.
    Address(&'static str),
    /// The input items of the Responses API.
    Items,
    /// One of them.
    Item,
    /// The application's own: nothing there is followed.
    Skipped,
    /// `id`, `type`, `role`, `file_id`: what they mean depends on the fields beside them.
    Id,
    Kind,
    Speaker,
    File,
    /// What makes an input item whole, so that the provider need not look it up.
    Content,
}

fn role(key: &str, within: Role) -> Role {
    match key {
        "previous_response_id" if within == Role::Top => Role::Names("previous_response_id"),
        "conversation" if within == Role::Top => Role::Names("conversation"),
        "prompt" if within == Role::Top => Role::Names("prompt"),
        "cachedContent" => Role::Names("cachedContent"),
        "cached_content" => Role::Names("cached_content"),
        "container" => Role::Names("container"),
        "container_id" => Role::Names("container_id"),
        "file_ids" => Role::Names("file_ids"),
        "vector_store_id" => Role::Names("vector_store_id"),
        "vector_store_ids" => Role::Names("vector_store_ids"),
        "collection_ids" => Role::Names("collection_ids"),
        // At the top it says how the answer is to sound.
        "audio" if within != Role::Top => Role::Names("audio"),
        "skill_id" => Role::Skill,
        "fileUri" => Role::Address("fileUri"),
        "file_uri" => Role::Address("file_uri"),
        "file_id" => Role::File,
        "input" if within == Role::Top => Role::Items,
        "id" => Role::Id,
        "type" => Role::Kind,
        "role" => Role::Speaker,
        "encrypted_content" | "result" if within == Role::Item => Role::Content,
        "input" | "args" | "arguments" | "response" | "metadata" | "annotations" | "citations"
        | "parameters" | "input_schema" | "schema" => Role::Skipped,
        _ => Role::Within,
    }
}

/// The types of objects that decide something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An item of an earlier answer, by its id.
    ItemReference,
    /// An item that the provider looks up by its id unless it carries its content.
    LookedUp,
    /// A file that a tool of the provider wrote, as history tells it.
    Written,
    Other,
}

fn kind(text: &str) -> Kind {
    match text {
        "item_reference" => Kind::ItemReference,
        "reasoning" | "compaction" | "image_generation_call" => Kind::LookedUp,
        "code_execution_output" | "bash_code_execution_output" => Kind::Written,
        _ => Kind::Other,
    }
}

/// A value on its way through the walk.
struct Part<'w, 'a> {
    walk: &'w mut Walk<'a>,
    role: Role,
}

impl<'de> DeserializeSeed<'de> for Part<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.role == Role::Skipped {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        match self.role {
            Role::Names(param) => self.walk.add(param, text),
            Role::Skill if text.starts_with("skill_") => self.walk.add("skill_id", text),
            Role::Address(param) => {
                if let Some(name) = kept_file(text, self.walk.own_host) {
                    self.walk.add(param, name);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let role = match self.role {
            Role::Items => Role::Item,
            named @ (Role::Names(_) | Role::Skill | Role::Address(_)) => named,
            _ => Role::Within,
        };
        while let Some(()) = seq.next_element_seed(Part {
            walk: &mut *self.walk,
            role,
        })? {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut object = Object::default();
        while let Some(role) = map.next_key_seed(Key(self.role))? {
            match role {
                Role::Id | Role::File => {
                    let Word(text) = map.next_value_seed(Keep)?;
                    let slot = if role == Role::Id {
                        &mut object.ids
                    } else {
                        &mut object.files
                    };
                    if let Some(text) = text.filter(|_| slot.len() < MOST) {
                        slot.push(text);
                    }
                }
                Role::Kind => {
                    let Word(text) = map.next_value_seed(Keep)?;
                    object.kinds.extend(text.as_deref().map(kind));
                }
                Role::Speaker => {
                    map.next_value::<IgnoredAny>()?;
                    object.speaks = true;
                }
                Role::Content => {
                    let Word(text) = map.next_value_seed(Keep)?;
                    object
                        .content
                        .push(text.is_some_and(|text| !text.is_empty()));
                }
                role => map.next_value_seed(Part {
                    walk: &mut *self.walk,
                    role,
                })?,
            }
        }
        object.judge(self.role, self.walk);
        Ok(())
    }
}

/// The fields of one object whose meaning depends on one another.
#[derive(Default)]
struct Object {
    ids: Vec<String>,
    files: Vec<String>,
    kinds: Vec<Kind>,
    /// For each copy of the content, whether there is any.
    content: Vec<bool>,
    speaks: bool,
}

impl Object {
    fn judge(self, role: Role, walk: &mut Walk<'_>) {
        let by_id = match role {
            Role::Names(param) => Some(param),
            Role::Item if self.is_looked_up() => Some("input.id"),
            _ => None,
        };
        if let Some(param) = by_id {
            for id in self.ids {
                walk.add(param, id);
            }
        }
        if self.kinds != [Kind::Written] {
            for file in self.files {
                walk.add("file_id", file);
            }
        }
    }

    /// Whether the provider takes the item from what it stored. Which of several copies of a field it
    /// reads is not known, so that any of them may be the one.
    fn is_looked_up(&self) -> bool {
        match self.kinds.as_slice() {
            [] => !self.speaks,
            kinds => kinds.iter().any(|kind| match kind {
                Kind::ItemReference => true,
                Kind::LookedUp => self.content != [true],
                Kind::Written | Kind::Other => false,
            }),
        }
    }
}

/// Reads a key, escapes undone, as the role of its value inside of a value of this role.
struct Key(Role);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Role;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Role, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Role;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<Role, E> {
        Ok(role(text, self.0))
    }
}

/// Reads a text; anything else is none.
struct Keep;

/// See [`Keep`].
struct Word(Option<String>);

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Word;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Word, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Word, E> {
        Ok(Word(Some(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Word, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Word(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Word, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Word(None))
    }
}

/// The name of a file that is stored at Google, from its address; `None` for the open web and for other
/// stores. What looks like none of them counts as stored.
fn kept_file(address: &str, own_host: Option<&str>) -> Option<String> {
    let address = address.trim();
    let path = match address.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
        {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let authority = authority.to_ascii_lowercase();
            let (_, host) = authority.rsplit_once('@').unwrap_or(("", &authority));
            let name = host.split(':').next().unwrap_or_default();
            let name = name.trim_end_matches('.');
            let google = name == "googleapis.com" || name.ends_with(".googleapis.com");
            let open = name == "storage.googleapis.com";
            let own = own_host.is_some_and(|own| own.eq_ignore_ascii_case(host));
            if !own && (!google || open) {
                return None;
            }
            path
        }
        Some(("gs" | "data" | "s3", _)) => return None,
        _ => address,
    };
    let name = path
        .rsplit_once("files/")
        .map(|(_, name)| name)
        .and_then(|name| name.split(['/', ':', '?', '#']).next())
        .filter(|name| !name.is_empty());
    Some(name.map_or_else(|| address.to_owned(), |name| format!("files/{name}")))
}

#[cfg(test)]
mod tests;
