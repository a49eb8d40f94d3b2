//! Where a provider's calls go, compared before and after a change.
//!
//! Only what the gateway dials counts: the addresses of the bag, the settings that are addresses, and the
//! region where hosts are derived from it. Whatever else looks like an address is a note. Errs on the side
//! of a redirect: an address that another one hides counts too, because it is dialled as soon as that one
//! goes. Start at [`redirects`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::kind::{Holds, Kind};
use super::settings::{Dials, dials};

/// Places that say where one thing is: the setting or field, and what it leads to. A setting wins over a
/// field of the bag (providers 3).
#[derive(Debug, Default)]
struct Spot {
    settings: BTreeMap<String, String>,
    fields: BTreeMap<String, String>,
}

impl Spot {
    /// What is dialled; `None` is the kind's own place.
    fn effective(&self) -> Option<&String> {
        self.settings
            .values()
            .next()
            .or_else(|| self.fields.values().next())
    }

    /// What is dialled if this place decides.
    fn at(&self, setting: bool, name: &str) -> Option<&String> {
        let places = if setting {
            &self.settings
        } else {
            &self.fields
        };
        places.get(name).or_else(|| self.effective())
    }

    fn leads_elsewhere(&self, after: &Self) -> bool {
        let settings = [&self.settings, &after.settings].map(|places| (true, places));
        let fields = [&self.fields, &after.fields].map(|places| (false, places));
        let places: BTreeSet<(bool, &String)> = settings
            .into_iter()
            .chain(fields)
            .flat_map(|(setting, places)| places.keys().map(move |name| (setting, name)))
            .collect();
        places
            .into_iter()
            .any(|(setting, name)| self.at(setting, name) != after.at(setting, name))
    }
}

/// Whether a change of a shown provider sends what is stored to another server. The path of an address
/// may change.
pub(super) fn redirects(kind: &Kind, old: &Value, new: &Value) -> bool {
    [Dials::Provider, Dials::Issuer, Dials::Region]
        .into_iter()
        .any(|what| spot(kind, what, old).leads_elsewhere(&spot(kind, what, new)))
}

/// The places of a shown provider that lead to `what`.
fn spot(kind: &Kind, what: Dials, shown: &Value) -> Spot {
    if what == Dials::Region && !kind.has_regions() {
        return Spot::default();
    }
    let holds = match what {
        Dials::Provider => Some(Holds::Address),
        Dials::Region => Some(Holds::Region),
        // An identity names its own, and is a secret itself.
        Dials::Issuer => None,
    };
    let field = |name: &str| {
        let holding = kind.field(name).map(|field| field.holds);
        holding.is_some() && holding == holds
    };
    Spot {
        settings: places(shown, "provider_config", &|name| dials(name) == Some(what)),
        fields: places(shown, "custom_keys", &field),
    }
}

fn places(shown: &Value, member: &str, counts: &dyn Fn(&str) -> bool) -> BTreeMap<String, String> {
    let map = shown.get(member).and_then(Value::as_object);
    map.into_iter()
        .flat_map(Map::iter)
        .filter(|(name, _)| counts(name))
        .filter_map(|(name, value)| Some((name.clone(), server(value.as_str()?))))
        .collect()
}

/// The origin of an address; anything else as it is.
fn server(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(url) if url.has_host() => url.origin().ascii_serialization(),
        _ => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const HOSTS: [&str; 3] = [
        "https://a.example",
        "https://b.example",
        "https://c.example",
    ];

    fn provider() -> impl Strategy<Value = Value> {
        let host = || proptest::option::of(proptest::sample::select(&HOSTS[..]));
        (host(), host(), host()).prop_map(|(bag, endpoint, base_url)| {
            let mut keys = json!({ "AZURE_OPENAI_API_KEY": "HAS_KEY" });
            if let Some(bag) = bag {
                keys["AZURE_OPENAI_ENDPOINT"] = bag.into();
            }
            let mut config = json!({ "note": "https://c.example" });
            for (name, host) in [("endpoint", endpoint), ("base_url", base_url)] {
                if let Some(host) = host {
                    config[name] = host.into();
                }
            }
            json!({ "custom_keys": keys, "provider_config": config })
        })
    }

    /// Where a provider leads when settings and fields are asked in an order.
    fn leads(shown: &Value, order: &[&str]) -> Value {
        let found = order.iter().map(|pointer| shown.pointer(pointer));
        found.flatten().next().cloned().unwrap_or_default()
    }

    proptest! {
        #[test]
        fn whichever_place_wins_another_server_is_a_redirect(old in provider(), new in provider()) {
            let kind = Kind::parse("azure").expect("a kind");
            let [endpoint, base, bag] = [
                "/provider_config/endpoint", "/provider_config/base_url",
                "/custom_keys/AZURE_OPENAI_ENDPOINT",
            ];
            let redirects = redirects(&kind, &old, &new);
            for order in [[endpoint, base, bag], [base, endpoint, bag]] {
                prop_assert!(redirects || leads(&old, &order) == leads(&new, &order));
            }
            prop_assert!(!super::redirects(&kind, &old, &old));
        }
    }
}
