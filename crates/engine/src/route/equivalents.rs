//! Models that stand for one another across vendors (data-plane 13.4): data, replaceable by the operator.

use std::collections::HashMap;

use serde::Deserialize;

/// The table. Each tier lists, by provider type, the models that belong to it; the first of a list is the
/// one that stands in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equivalents {
    tiers: Vec<HashMap<String, Vec<String>>>,
}

/// A table that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the table of equivalent models cannot be read")]
pub struct EquivalentsError(#[source] serde_json::Error);

impl Equivalents {
    /// Reads a table: `{"tiers": [{"<provider type>": ["<model>", …], …}, …]}`.
    ///
    /// # Errors
    /// The text is not such a table.
    pub fn parse(json: &str) -> Result<Self, EquivalentsError> {
        serde_json::from_str(json).map_err(EquivalentsError)
    }

    /// The table that the product ships.
    ///
    /// # Errors
    /// None in a released build: a test reads it.
    pub fn shipped() -> Result<Self, EquivalentsError> {
        Self::parse(include_str!("equivalents.json"))
    }

    /// What stands for `model` at a provider of type `kind`: the first model of the first tier that knows
    /// both.
    #[must_use]
    pub fn substitute(&self, model: &str, kind: &str) -> Option<&str> {
        let known = |models: &Vec<String>| models.iter().any(|name| name == model);
        let tiers = self.tiers.iter().filter(|tier| tier.values().any(known));
        let mut substitutes = tiers.filter_map(|tier| tier.get(kind)?.first());
        substitutes.next().map(String::as_str)
    }
}
