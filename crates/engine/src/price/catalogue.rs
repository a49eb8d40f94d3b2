//! The price catalogue: reading it, laying an operator's prices over it, finding a model's price.
//!
//! A catalogue is immutable and cheap to clone; an override makes a new one that shares the rest.
//! Must never be read from the request path: it is built once and put into the snapshot. Start at
//! [`PriceCatalogue::lookup`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use lw_core::money::PricePerMTok;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::names::{Ask, asks, canonical_kind, parts};
use super::{LongContext, ModelPrice, Rates, ServiceTier, TierRates};

/// The `provider` of a row that prices a model wherever it is served, custom servers included.
pub const ANY_PROVIDER: &str = "any";

/// The catalogue in the binary; `cargo xtask prices` writes it.
const BUNDLED: &str = include_str!("../../data/prices.json");

/// A rate above a dollar for one token is a mistake, and this keeps every sum inside an `i128`.
const DEAREST: PricePerMTok = PricePerMTok(1_000_000_000_000_000);

/// Why a price catalogue was refused.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// It is not JSON of the catalogue's shape.
    #[error("the price catalogue cannot be read")]
    Malformed(#[from] serde_json::Error),
    /// A row says something that no price can be made of.
    #[error("the price of {id}: {problem}")]
    Row {
        /// The row's key in `models`.
        id: String,
        /// What is wrong, safe to show.
        problem: String,
    },
}

/// Prices of models by provider kind and name. Cloning shares.
#[derive(Debug, Clone)]
pub struct PriceCatalogue {
    version: Arc<str>,
    /// Searched in order: the operator's newest prices first, the published ones last.
    layers: Vec<Arc<Layer>>,
}

/// A price that an organization set itself.
#[derive(Debug, Clone, Copy)]
pub struct OwnPrice<'a> {
    /// The kind of provider; `None` is any.
    pub provider: Option<&'a str>,
    /// The model as it is asked of the provider.
    pub model: &'a str,
    /// `input_cost_per_token` and its siblings, decimal dollars for one token.
    pub rates: &'a BTreeMap<String, String>,
    /// What a spend record names as its rate: the row and its revision.
    pub version: &'a str,
}

/// The rows of one file.
#[derive(Debug, Default)]
struct Layer {
    pools: HashMap<Arc<str>, Pool>,
}

/// The rows of one provider kind.
#[derive(Debug, Default)]
struct Pool {
    rows: Vec<Arc<ModelPrice>>,
    /// Names and their undated and dated aliases, as positions in `rows`.
    names: HashMap<Box<str>, usize>,
}

impl PriceCatalogue {
    /// The catalogue that ships in the binary. Parses it: call once, keep the result.
    pub fn bundled() -> Result<Self, PriceError> {
        Self::parse(BUNDLED)
    }

    /// Reads a whole catalogue, for instance one that an operator ships instead of ours.
    pub fn parse(json: &str) -> Result<Self, PriceError> {
        let file: File<'_> = serde_json::from_str(json)?;
        let date = file.updated_at.as_deref().filter(|date| is_date(date));
        let version: Arc<str> = format!("registry@{}", date.unwrap_or("unversioned")).into();
        let layer = Layer::build(file.models, &version)?;
        Ok(Self {
            version,
            layers: vec![Arc::new(layer)],
        })
    }

    /// This catalogue with an operator's prices laid over it: same format, `updated_at` and `source`
    /// may be absent. Overridden rows answer with version `operator@<hash of the text>`; a row with
    /// provider [`ANY_PROVIDER`] holds for every provider, custom servers included.
    pub fn with_overrides(&self, json: &str) -> Result<Self, PriceError> {
        let file: File<'_> = serde_json::from_str(json)?;
        let version: Arc<str> = format!("operator@{:016x}", fingerprint(json.as_bytes())).into();
        let layer = Layer::build(file.models, &version)?;
        let mut layers = Vec::with_capacity(self.layers.len() + 1);
        layers.push(Arc::new(layer));
        layers.extend(self.layers.iter().cloned());
        Ok(Self {
            version: self.version.clone(),
            layers,
        })
    }

    /// An organization's own prices alone, to be asked before the published ones.
    ///
    /// # Errors
    /// A rate is not the decimal text of a price, or two rows are for the same model.
    pub fn own<'a>(rows: impl IntoIterator<Item = OwnPrice<'a>>) -> Result<Self, PriceError> {
        let mut layer = Layer::default();
        for OwnPrice {
            provider,
            model,
            rates,
            version,
        } in rows
        {
            let id = format!("{}/{model}", provider.unwrap_or(ANY_PROVIDER));
            let rates = serde_json::to_value(rates).and_then(serde_json::from_value)?;
            let row = Row {
                provider: provider.unwrap_or(ANY_PROVIDER).into(),
                mode: None,
                floating: false,
                context_window: None,
                max_output: None,
                rates,
                long_context: None,
                tiers: Tiers::default(),
                source: None,
                date: None,
            };
            layer.add(&id, row, &version.into(), &mut Words::default())?;
        }
        Ok(Self {
            version: "own".into(),
            layers: vec![Arc::new(layer.indexed())],
        })
    }

    /// `rate_version` of the published prices (billing 5): `registry@<YYYY-MM-DD>`, or
    /// `registry@unversioned`. A row's own version, which may be an operator's, is on the row.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The price of `model` on a provider of this kind (billing 5, rule 1).
    ///
    /// Exact name; then without `provider/`; then dated and undated spellings of it, Bedrock's
    /// geographies and version suffixes, Google's `@version`; then, for a model that the provider
    /// serves for a vendor, the vendor's own price. For each spelling an operator's row wins over a
    /// published one and a row of this provider over one for any.
    ///
    /// `None` is *unpriced*, which is not free. A `custom` server's model has a price only if an
    /// operator's row says so: its `gpt-4o` is not OpenAI's.
    #[must_use]
    pub fn lookup(&self, provider_kind: &str, model: &str) -> Option<Arc<ModelPrice>> {
        let kind = canonical_kind(provider_kind);
        asks(&kind, model).iter().find_map(|ask| {
            [Pool::exact, Pool::of_date, Pool::of_stem]
                .iter()
                .find_map(|search| {
                    self.layers.iter().find_map(|layer| {
                        let rows = |kind: &str| search(layer.pools.get(kind)?, ask);
                        rows(ask.kind).or_else(|| rows(ANY_PROVIDER)).cloned()
                    })
                })
        })
    }

    /// Every model that has a row for this provider kind, the operator's first; a name that an
    /// operator overrides is listed once.
    pub fn models(&self, provider_kind: &str) -> impl Iterator<Item = &Arc<ModelPrice>> {
        let kind = canonical_kind(provider_kind);
        let mut seen = HashSet::new();
        self.layers
            .iter()
            .filter_map(move |layer| layer.pools.get(kind.as_ref()))
            .flat_map(|pool| &pool.rows)
            .filter(move |row| seen.insert(&row.model))
    }

    /// Every row of every layer.
    #[cfg(test)]
    pub(super) fn rows(&self) -> impl Iterator<Item = &Arc<ModelPrice>> {
        self.layers
            .iter()
            .flat_map(|layer| layer.pools.values())
            .flat_map(|pool| &pool.rows)
    }

    /// How many rows there are, overridden ones counted each time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers
            .iter()
            .flat_map(|layer| layer.pools.values())
            .map(|pool| pool.rows.len())
            .sum()
    }

    /// Whether there is no price at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Pool {
    /// The row that has exactly this name.
    fn exact(&self, ask: &Ask<'_>) -> Option<&Arc<ModelPrice>> {
        let name = ask.exact?;
        self.row(name).filter(|row| *row.model == *name)
    }

    /// The row of this stem and date.
    fn of_date(&self, ask: &Ask<'_>) -> Option<&Arc<ModelPrice>> {
        self.agreeing(&dated(&ask.stem, ask.date?), ask)
    }

    /// The row of this stem: undated, or the newest where none is named.
    fn of_stem(&self, ask: &Ask<'_>) -> Option<&Arc<ModelPrice>> {
        self.agreeing(&ask.stem, ask)
    }

    fn agreeing(&self, name: &str, ask: &Ask<'_>) -> Option<&Arc<ModelPrice>> {
        self.row(name)
            .filter(|row| parts(&row.provider, &row.model).agree(ask.date, ask.version))
    }

    fn row(&self, name: &str) -> Option<&Arc<ModelPrice>> {
        self.rows.get(*self.names.get(name)?)
    }

    /// Names every row, then gives each dated row the names under which it is asked for: its date
    /// spelled one way, and no date at all if it is the newest.
    fn index(&mut self) {
        let names = &mut self.names;
        names.reserve(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            names.insert(row.model.clone(), at);
        }
        let mut newest: HashMap<&str, (Option<u32>, Option<&str>, usize)> = HashMap::new();
        for (at, row) in self.rows.iter().enumerate() {
            let parts = parts(&row.provider, &row.model);
            if parts.floating || (parts.date, parts.version) == (None, None) {
                continue;
            }
            if let Some(date) = parts.date {
                names.entry(dated(parts.stem, date).into()).or_insert(at);
            }
            let this = (parts.date, parts.version, at);
            newest
                .entry(parts.stem)
                .and_modify(|best| {
                    if (best.0, best.1) < (this.0, this.1) {
                        *best = this;
                    }
                })
                .or_insert(this);
        }
        for (stem, (_, _, at)) in newest {
            names.entry(stem.into()).or_insert(at);
        }
    }
}

impl Layer {
    fn build(rows: Rows<'_>, version: &Arc<str>) -> Result<Self, PriceError> {
        let mut layer = Self::default();
        let mut words = Words::default();
        for (id, row) in rows.0 {
            layer.add(&id, row, version, &mut words)?;
        }
        Ok(layer.indexed())
    }

    fn add(
        &mut self,
        id: &str,
        row: Row<'_>,
        version: &Arc<str>,
        words: &mut Words,
    ) -> Result<(), PriceError> {
        let refused = |problem| PriceError::Row {
            id: id.to_owned(),
            problem,
        };
        let price = row.price(id, version, words).map_err(refused)?;
        let pool = self.pools.entry(price.provider.clone()).or_default();
        // The name is taken now so that a second row of it is an error, not a surprise.
        let taken = pool.names.insert(price.model.clone(), pool.rows.len());
        if taken.is_some() {
            return Err(refused("there are two rows for this model".to_owned()));
        }
        pool.rows.push(Arc::new(price));
        Ok(())
    }

    fn indexed(mut self) -> Self {
        for pool in self.pools.values_mut() {
            pool.rows.shrink_to_fit();
            pool.index();
        }
        self
    }
}

/// `stem@date`: how dated rows are found whatever the provider puts between the two.
fn dated(stem: &str, date: u32) -> String {
    format!("{stem}@{date}")
}

/// Words that many rows share, kept once.
#[derive(Default)]
struct Words(HashSet<Arc<str>>);

impl Words {
    fn keep(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.0.get(word) {
            return known.clone();
        }
        let word: Arc<str> = word.into();
        self.0.insert(word.clone());
        word
    }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[serde(borrow, default, alias = "updatedAt")]
    updated_at: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "source")]
    _source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    models: Rows<'a>,
}

/// One model as written. Rates are text: a JSON number would have been a float on its way here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow, default)]
    mode: Option<Cow<'a, str>>,
    #[serde(default)]
    floating: bool,
    #[serde(default, alias = "context")]
    context_window: Option<u64>,
    #[serde(default)]
    max_output: Option<u64>,
    rates: Rates,
    #[serde(default)]
    long_context: Option<LongContext>,
    #[serde(default)]
    tiers: Tiers,
    #[serde(borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    date: Option<Cow<'a, str>>,
}

impl Row<'_> {
    /// Checks a row; the error is the problem in words.
    fn price(self, id: &str, version: &Arc<str>, words: &mut Words) -> Result<ModelPrice, String> {
        let Self {
            provider,
            mode,
            floating,
            context_window,
            max_output,
            rates,
            long_context,
            tiers: Tiers(tiers),
            source,
            date,
        } = self;
        let kind = canonical_kind(&provider);
        let model = match id.split_once('/') {
            Some((first, rest)) if canonical_kind(first) == kind => rest,
            _ => id,
        };
        if kind.is_empty() || model.is_empty() {
            return Err("provider and model must not be empty".to_owned());
        }
        if rates.is_empty() {
            return Err("it has no rate; leave the model out to have it unpriced".to_owned());
        }
        if let Some(date) = date.as_deref().filter(|date| !is_date(date)) {
            return Err(format!("{date:?} is not a date like 2026-01-31"));
        }
        if let (None, Some(tier)) = (
            &long_context,
            tiers.iter().find(|tier| !tier.long_context.is_empty()),
        ) {
            return Err(format!(
                "tier {:?} prices long prompts, but none is long",
                tier.tier
            ));
        }
        let price = ModelPrice {
            provider: words.keep(&kind),
            model: model.into(),
            mode: words.keep(mode.as_deref().unwrap_or("chat")),
            floating,
            context_window: context_window.filter(|tokens| *tokens > 0),
            max_output: max_output.filter(|tokens| *tokens > 0),
            rates,
            long_context: long_context.map(Box::new),
            tiers: tiers.into(),
            source: words.keep(source.as_deref().unwrap_or("operator")),
            date: date.map(|date| words.keep(&date)),
            version: version.clone(),
        };
        match price.discounts_length() {
            Some(class) => Err(format!("a long prompt must not cost less: {class}")),
            None => Ok(price),
        }
    }
}

/// The rows in the order of the file.
struct Rows<'a>(Vec<(Cow<'a, str>, Row<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Rows<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from model to price")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut rows = Vec::with_capacity(map.size_hint().unwrap_or(0).min(4_096));
                while let Some(Text(id)) = map.next_key()? {
                    rows.push((id, map.next_value()?));
                }
                Ok(Rows(rows))
            }
        }
        from.deserialize_map(Read)
    }
}

/// Text, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Service tiers by name, each at most once.
#[derive(Default)]
struct Tiers(Vec<TierRates>);

impl<'de> Deserialize<'de> for Tiers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Tier {
            rates: Rates,
            #[serde(default)]
            long_context: Rates,
        }

        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Tiers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from service tier to rates")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Tiers, M::Error> {
                let mut tiers: Vec<TierRates> = Vec::new();
                while let Some(tier) = map.next_key::<ServiceTier>()? {
                    let Tier {
                        rates,
                        long_context,
                    } = map.next_value()?;
                    if tiers.iter().any(|known| known.tier == tier) {
                        return Err(M::Error::custom("a service tier appears twice"));
                    }
                    tiers.push(TierRates {
                        tier,
                        rates,
                        long_context,
                    });
                }
                Ok(Tiers(tiers))
            }
        }
        from.deserialize_map(Read)
    }
}

/// Reads one rate: decimal text of dollars for one unit, or `null` for none.
pub(super) fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PricePerMTok>, D::Error> {
    struct Read;
    impl<'de> Visitor<'de> for Read {
        type Value = Option<PricePerMTok>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("dollars for one unit as text, like \"2.5e-07\", at most \"1\"")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            let price = PricePerMTok::parse_usd_per_token(text).filter(|price| *price <= DEAREST);
            price
                .map(Some)
                .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }

        fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    from.deserialize_any(Read)
}

/// Whether text looks like `2026-01-31`.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// FNV-1a: tells one text from another in a version; protects nothing.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
