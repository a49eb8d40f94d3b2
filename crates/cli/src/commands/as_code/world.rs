//! What is there: the things of the server and those that the files add, by name and by id.
//!
//! People write names, the API wants ids, and this module is the only place that turns one into the
//! other. A label is what a file would write: the first of a thing's names that means only it.

use std::collections::BTreeMap;

use super::shape::Kind;
use crate::json::Json;

/// A family of things with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Of(Kind),
    Organization,
    Team,
    Project,
    User,
    Group,
}

impl What {
    /// One of them, for a person.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.noun(),
            Self::Organization => "organization",
            Self::Team => "team",
            Self::Project => "project",
            Self::User => "member",
            Self::Group => "group",
        }
    }

    /// How the server's ids of the families that a file cannot create begin.
    fn id_prefix(self) -> Option<&'static str> {
        match self {
            Self::Of(_) => None,
            Self::Organization => Some("org_"),
            Self::Team => Some("team_"),
            Self::Project => Some("proj_"),
            Self::User => Some("user_"),
            Self::Group => Some("grp_"),
        }
    }
}

/// One thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// `None` until it exists.
    pub(super) id: Option<String>,
    /// The name first, then what else it answers to.
    pub(super) names: Vec<String>,
    /// As the server answered it.
    pub(super) remote: Option<Json>,
}

impl Entry {
    fn is(&self, text: &str) -> bool {
        self.id.as_deref() == Some(text) || self.names.iter().any(|name| name == text)
    }
}

/// The things of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    /// Why the family could not be read.
    pub(super) closed: Option<String>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    One(usize),
    Several,
    Nothing,
}

/// Everything known.
#[derive(Debug, Default)]
pub(super) struct World {
    listings: BTreeMap<What, Listing>,
    /// Keys that ended: `(name, external id, id)`. Their idempotency keys are spent.
    pub(super) ended_keys: Vec<(String, Option<String>, String)>,
}

impl World {
    pub(super) fn insert(&mut self, what: What, listing: Listing) {
        self.listings.insert(what, listing);
    }

    pub(super) fn entries(&self, what: What) -> &[Entry] {
        self.listings
            .get(&what)
            .map(|listing| listing.entries.as_slice())
            .unwrap_or_default()
    }

    pub(super) fn entry(&self, kind: Kind, index: usize) -> Option<&Entry> {
        self.entries(What::Of(kind)).get(index)
    }

    pub(super) fn entry_mut(&mut self, kind: Kind, index: usize) -> Option<&mut Entry> {
        let listing = self.listings.get_mut(&What::Of(kind))?;
        listing.entries.get_mut(index)
    }

    /// Adds a thing that does not exist yet.
    pub(super) fn add(&mut self, kind: Kind, entry: Entry) -> usize {
        let entries = &mut self.listings.entry(What::Of(kind)).or_default().entries;
        entries.push(entry);
        entries.len() - 1
    }

    pub(super) fn closed(&self, what: What) -> Option<&str> {
        self.listings.get(&what)?.closed.as_deref()
    }

    pub(super) fn find(&self, what: What, text: &str) -> Found {
        let lower = (what == What::User).then(|| text.to_ascii_lowercase());
        let text = lower.as_deref().unwrap_or(text);
        let entries = self.entries(what).iter().enumerate();
        let mut hits = entries.filter(|(_, entry)| entry.is(text));
        match (hits.next(), hits.next()) {
            (Some((at, _)), None) => Found::One(at),
            (Some(_), Some(_)) => Found::Several,
            (None, _) => Found::Nothing,
        }
    }

    /// What a file would write for this thing.
    pub(super) fn label(&self, what: What, index: usize) -> String {
        let Some(entry) = self.entries(what).get(index) else {
            return String::new();
        };
        let own = entry.names.iter().chain(&entry.id);
        let unique = own
            .clone()
            .find(|name| self.find(what, name) == Found::One(index));
        unique.or_else(|| own.last()).cloned().unwrap_or_default()
    }

    /// The same for an id of the API; an unknown id stands for itself.
    pub(super) fn label_of_id(&self, what: What, id: &str) -> String {
        let mut entries = self.entries(what).iter();
        match entries.position(|entry| entry.id.as_deref() == Some(id)) {
            Some(at) => self.label(what, at),
            None => id.to_owned(),
        }
    }

    /// The id behind a label; the label itself while there is none.
    pub(super) fn id_of_label(&self, what: What, label: &str) -> String {
        let id = match self.find(what, label) {
            Found::One(at) => self.entries(what).get(at).and_then(|e| e.id.clone()),
            Found::Several | Found::Nothing => None,
        };
        id.unwrap_or_else(|| label.to_owned())
    }

    /// The label of what a file names, or a sentence about why there is none.
    pub(super) fn resolve(&self, what: What, text: &str) -> Result<String, String> {
        let noun = what.noun();
        match self.find(what, text) {
            Found::One(at) => Ok(self.label(what, at)),
            Found::Several => Err(format!(
                "several {noun}s are called `{text}`; give {} instead",
                match what {
                    What::Of(Kind::Key | Kind::Budget) => "the external id or the id",
                    _ => "the id",
                }
            )),
            Found::Nothing => match self.closed(what) {
                Some(_) if what.id_prefix().is_some_and(|p| text.starts_with(p)) => {
                    Ok(text.to_owned())
                }
                Some(reason) => Err(format!(
                    "cannot tell which {noun} `{text}` is: {reason}; use an organization API key, or give the id"
                )),
                None => Err(self.unknown(what, text)),
            },
        }
    }

    fn unknown(&self, what: What, text: &str) -> String {
        let names = self.entries(what).iter().flat_map(|entry| &entry.names);
        let hint = super::suggest::did_you_mean(text, names.map(String::as_str));
        match what {
            What::Of(_) => format!(
                "there is no {} `{text}`, neither in the files nor on the server{hint}",
                what.noun()
            ),
            _ => format!("there is no {} `{text}`{hint}", what.noun()),
        }
    }

    /// What a model map calls a provider: its label, unless that reads as a kind.
    pub(super) fn map_target(&self, label: &str) -> String {
        if self.has_provider_kind(label) {
            self.id_of_label(What::Of(Kind::Provider), label)
        } else {
            label.to_owned()
        }
    }

    /// Whether some stored provider is of this kind.
    pub(super) fn has_provider_kind(&self, kind: &str) -> bool {
        let providers = self.entries(What::Of(Kind::Provider)).iter();
        let mut remotes = providers.filter_map(|entry| entry.remote.as_ref());
        super::schema::PROVIDER_KINDS.contains(&kind)
            || remotes.any(|remote| remote.text("provider") == Some(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Found, Listing, What, World};

    fn entry(id: &str, names: &[&str]) -> Entry {
        Entry {
            id: Some(id.to_owned()),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            remote: None,
        }
    }

    #[test]
    fn a_label_is_the_first_name_that_means_one_thing() {
        let mut world = World::default();
        let entries = vec![
            entry("t1", &["eng"]),
            entry("t2", &["eng", "eng-2"]),
            entry("t3", &["data"]),
        ];
        let closed = None;
        world.insert(What::Team, Listing { entries, closed });
        assert_eq!(world.label(What::Team, 0), "t1");
        assert_eq!(world.label_of_id(What::Team, "t2"), "eng-2");
        assert_eq!(world.label_of_id(What::Team, "t9"), "t9");
        assert_eq!(world.id_of_label(What::Team, "data"), "t3");
        assert_eq!(world.find(What::Team, "eng"), Found::Several);
        assert!(
            world
                .resolve(What::Team, "dada")
                .expect_err("unknown")
                .ends_with("did you mean `data`?")
        );
    }
}
