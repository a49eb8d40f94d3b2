//! Turns the maintained catalogue into our rows.
//!
//! One source row becomes one of ours or is left out with a reason. Must never round, guess or
//! rename a price: a rate is copied as text, or exactly multiplied. Start at [`convert`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{LongContext, PACKAGE, Rates, Row, Tier};

/// More than this for one token, character or second is a typing error at the source.
const DEAREST_PER_TOKEN: f64 = 0.01;
const DEAREST_PER_SECOND: f64 = 0.1;

/// A row of the source: field to the raw text of its value.
type Facts<'a> = BTreeMap<String, &'a RawValue>;

/// What a conversion gave, and what a reader of the run should know.
pub(super) struct Converted {
    pub(super) models: BTreeMap<String, Row>,
    pub(super) notes: Vec<String>,
}

/// Turns the source into our rows.
pub(super) fn convert(text: &str, date: &str) -> anyhow::Result<Converted> {
    let source: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).context("the source is not a map of models")?;
    // Two spellings of one model: the lower rank wins.
    let mut ranked: BTreeMap<String, (u8, Row)> = BTreeMap::new();
    let mut left_out: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut notes = Vec::new();
    for (source_id, raw) in &source {
        if source_id == "sample_spec" {
            continue;
        }
        let facts: Facts<'_> = serde_json::from_str(raw.get())
            .with_context(|| format!("{source_id} is not an object"))?;
        let outcome = named(source_id, &facts).and_then(|(kind, model, rank)| {
            Ok((
                rank,
                model,
                row(source_id, kind, model, &facts, date, &mut notes)?,
            ))
        });
        match outcome {
            Err(reason) => *left_out.entry(reason).or_default() += 1,
            Ok((rank, model, row)) => {
                let id = format!("{}/{model}", row.provider);
                if ranked.get(&id).is_none_or(|(other, _)| rank < *other) {
                    ranked.insert(id, (rank, row));
                }
            }
        }
    }
    notes.extend(
        left_out
            .iter()
            .map(|(reason, count)| format!("left out {count}: {reason}")),
    );
    let models = ranked.into_iter().map(|(id, (_, row))| (id, row)).collect();
    Ok(Converted { models, notes })
}

/// Provider kind, model name as that provider spells it, and rank among spellings of the same.
fn named<'a>(
    source_id: &'a str,
    facts: &Facts<'_>,
) -> Result<(&'static str, &'a str, u8), &'static str> {
    let provider = text_of(facts, "litellm_provider").unwrap_or_default();
    let (kind, rank) = match provider.as_str() {
        "openai" | "text-completion-openai" => ("openai", 0),
        "anthropic" => ("anthropic", 0),
        "azure" => ("azure", 0),
        "azure_ai" => ("azure", 2),
        "azure_text" => ("azure", 4),
        "bedrock" | "bedrock_converse" => ("bedrock", 0),
        "bedrock_mantle" => ("bedrock", 2),
        "gemini" => ("gemini", 0),
        "groq" => ("groq", 0),
        "deepseek" => ("deepseek", 0),
        "xai" => ("xai", 0),
        "mistral" => ("mistral", 0),
        "cerebras" => ("cerebras", 0),
        "voyage" => ("voyage", 0),
        "elevenlabs" => ("elevenlabs", 0),
        "cloudflare" => ("cloudflare", 0),
        "cohere" | "cohere_chat" => ("cohere", 0),
        "perplexity" => ("perplexity", 0),
        "together_ai" => ("together_ai", 0),
        "moonshot" => ("moonshot", 0),
        "sambanova" => ("sambanova", 0),
        other if other.starts_with("vertex_ai") => ("vertex", 0),
        _ => return Err("of a provider that the gateway has no kind for"),
    };
    // The prefix by which the source tells spellings apart, where it has one.
    let prefix = match kind {
        "vertex" => "vertex_ai",
        _ => provider.as_str(),
    };
    let (model, bare) = match source_id.split_once('/') {
        Some((first, rest)) if first == prefix || first == kind => (rest, 0),
        _ => (source_id, 1),
    };
    let sized = |segment: &str| {
        let side = |text: &str| text == "max" || text.bytes().all(|b| b.is_ascii_digit());
        segment
            .split_once("-x-")
            .is_some_and(|(width, height)| side(width) && side(height))
    };
    if source_id.split('/').any(sized) {
        return Err("an image size, not a model");
    }
    if kind == "bedrock" && model.contains('/') {
        return Err("a region or a commitment of a Bedrock model, which a request does not name");
    }
    if model.starts_with("together-ai-") {
        return Err("a size class, not a model");
    }
    Ok((kind, model, rank + bare))
}

/// One of our rows, or why there is none.
fn row(
    source_id: &str,
    kind: &'static str,
    model: &str,
    facts: &Facts<'_>,
    date: &str,
    notes: &mut Vec<String>,
) -> Result<Row, &'static str> {
    let mode = text_of(facts, "mode").ok_or("without a mode")?;
    let images = mode == "image_generation" || mode == "image_edit";
    let above = long_context_mark(facts);
    let mut rates = rates(facts, "", "", images)?;
    let has = |rates: &Rates, name: &str| rates.get(name).is_some_and(|rate| float(rate) > 0.0);
    let by_token = ["input", "output", "audio_input", "audio_output"];
    if by_token.iter().any(|name| has(&rates, name)) {
        // Some rows state the same thing twice, by the token and by the second or character. Both
        // quantities are measured, so both rates would charge it twice.
        rates.retain(|name, _| name != "input_char" && name != "input_second");
    }
    if rates.is_empty() {
        return Err("priced by nothing that is counted (image, page, query, output second)");
    }
    if mode != "moderation" && !rates.values().any(|rate| float(rate) > 0.0) {
        return Err("every rate is zero, which is no price");
    }
    let talks = matches!(
        mode.as_str(),
        "chat" | "completion" | "responses" | "realtime"
    );
    let by_second = has(&rates, "input_second") || has(&rates, "input_char");
    if talks && !by_second && !(has(&rates, "input") && has(&rates, "output")) {
        return Err("a talking model with half a price");
    }
    if images && !has(&rates, "output") {
        return Err("an image model without a rate for what it draws");
    }

    let mut long_context = None;
    if let Some((above_tokens, mark)) = &above {
        let mut long = self::rates(facts, mark, "", images)?;
        drop_discounts(source_id, "long context", &rates, &mut long, notes);
        if !long.is_empty() {
            long_context = Some(LongContext {
                above_tokens: *above_tokens,
                rates: long,
            });
        }
    }
    let mut tiers = BTreeMap::new();
    for (tier, suffix) in [
        ("flex", "_flex"),
        ("priority", "_priority"),
        ("batch", "_batches"),
        ("ultrafast", "_ultrafast"),
    ] {
        let own = self::rates(facts, "", suffix, images)?;
        if own.is_empty() {
            continue;
        }
        let mut long = Rates::new();
        if let (Some((_, mark)), Some(_)) = (&above, &long_context) {
            long = self::rates(facts, mark, suffix, images)?;
            let mut short = rates.clone();
            short.extend(own.clone());
            drop_discounts(source_id, tier, &short, &mut long, notes);
        }
        tiers.insert(
            tier.to_owned(),
            Tier {
                rates: own,
                long_context: long,
            },
        );
    }
    if kind == "anthropic"
        && let Some(times) = fast_multiplier(facts)
    {
        let multiplied: Option<Rates> = rates
            .iter()
            .map(|(name, rate)| Some((name.clone(), multiply(rate, &times)?)))
            .collect();
        let rates = multiplied.ok_or("a multiplier that is no decimal")?;
        tiers.insert(
            "fast".to_owned(),
            Tier {
                rates,
                long_context: Rates::new(),
            },
        );
    }
    Ok(Row {
        provider: kind.to_owned(),
        mode,
        floating: ["-latest", "@latest", "chat-latest"]
            .iter()
            .any(|end| model.ends_with(end)),
        context_window: count_of(facts, "max_input_tokens"),
        max_output: count_of(facts, "max_output_tokens"),
        rates,
        long_context,
        tiers,
        source: PACKAGE.to_owned(),
        date: date.to_owned(),
    })
}

/// The published rates of one price class: `mark` is the long-context infix, `suffix` the tier.
fn rates(facts: &Facts<'_>, mark: &str, suffix: &str, images: bool) -> Result<Rates, &'static str> {
    // A model that draws reports what it drew as output tokens, and those are image tokens.
    // A tier's rate for text says nothing of what it takes for an image.
    let output: &[&str] = if images && facts.contains_key("output_cost_per_image_token") {
        &["output_cost_per_image_token"]
    } else {
        &["output_cost_per_token"]
    };
    let fields: [(&str, &[&str]); 7] = [
        ("input", &["input_cost_per_token"]),
        ("output", output),
        (
            "cache_read",
            &[
                "cache_read_input_token_cost",
                "input_cost_per_token_cache_hit",
            ],
        ),
        ("cache_write", &["cache_creation_input_token_cost"]),
        (
            "cache_write_1h",
            &["cache_creation_input_token_cost_above_1hr"],
        ),
        ("audio_input", &["input_cost_per_audio_token"]),
        ("audio_output", &["output_cost_per_audio_token"]),
    ];
    let mut rates = Rates::new();
    for (name, spellings) in fields {
        for spelling in spellings {
            if let Some(rate) = rate_of(
                facts,
                &format!("{spelling}{mark}{suffix}"),
                DEAREST_PER_TOKEN,
            )? {
                rates.entry(name.to_owned()).or_insert(rate);
            }
        }
    }
    if mark.is_empty() && suffix.is_empty() {
        for (name, field, dearest) in [
            ("input_char", "input_cost_per_character", DEAREST_PER_TOKEN),
            ("input_second", "input_cost_per_second", DEAREST_PER_SECOND),
        ] {
            if let Some(rate) = rate_of(facts, field, dearest)? {
                rates.insert(name.to_owned(), rate);
            }
        }
    }
    Ok(rates)
}

/// Drops rates of a long context that are below what a short one costs: a surcharge that is a
/// discount is an error of the source, and a bill must not fall when a call grows.
fn drop_discounts(
    source_id: &str,
    class: &str,
    short: &Rates,
    long: &mut Rates,
    notes: &mut Vec<String>,
) {
    long.retain(|name, rate| {
        let fallback = match name.as_str() {
            "cache_write_1h" => &["cache_write_1h", "cache_write", "input"][..],
            "cache_write" => &["cache_write", "input"],
            "cache_read" => &["cache_read", "input"],
            "audio_input" => &["audio_input", "input"],
            "audio_output" => &["audio_output", "output"],
            "output" => &["output"],
            _ => &["input"],
        };
        let before = fallback.iter().find_map(|name| short.get(*name));
        let keep = before.is_none_or(|before| float(rate) >= float(before));
        if !keep {
            notes.push(format!(
                "{source_id}: {class} {name} {rate} is below the usual rate, dropped"
            ));
        }
        keep
    });
}

/// The threshold of the long-context rates and the infix that marks them.
fn long_context_mark(facts: &Facts<'_>) -> Option<(u64, String)> {
    let marks: BTreeSet<u64> = facts
        .keys()
        .filter_map(|field| {
            let (_, rest) = field
                .strip_prefix("input_cost_per_token")?
                .split_once("_above_")?;
            rest.split_once("k_tokens")?.0.parse().ok()
        })
        .collect();
    // With several steps only the first is kept: it is the one that a bill meets.
    let thousands = *marks.first()?;
    Some((thousands * 1_000, format!("_above_{thousands}k_tokens")))
}

/// How many times dearer Anthropic's fast mode is.
fn fast_multiplier(facts: &Facts<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        fast: &'a RawValue,
    }
    let entry: Entry<'_> =
        serde_json::from_str(facts.get("provider_specific_entry")?.get()).ok()?;
    Some(entry.fast.get().to_owned())
}

/// A rate as published: the text of a number that is not negative and not implausible.
fn rate_of(facts: &Facts<'_>, field: &str, dearest: f64) -> Result<Option<String>, &'static str> {
    let Some(raw) = facts
        .get(field)
        .map(|raw| raw.get())
        .filter(|raw| *raw != "null")
    else {
        return Ok(None);
    };
    let value: f64 = raw.parse().map_err(|_| "a rate that is no number")?;
    if value < 0.0 {
        return Err("a negative rate");
    }
    if value > dearest {
        return Err("an implausible rate");
    }
    Ok(Some(raw.to_owned()))
}

/// Exact product of two decimals, as text.
fn multiply(a: &str, b: &str) -> Option<String> {
    let ((a, a_exponent), (b, b_exponent)) = (decimal(a)?, decimal(b)?);
    let (mut digits, mut exponent) = (a.checked_mul(b)?, a_exponent + b_exponent);
    while digits != 0 && digits % 10 == 0 {
        digits /= 10;
        exponent += 1;
    }
    Some(if digits == 0 {
        "0".to_owned()
    } else {
        format!("{digits}e{exponent}")
    })
}

/// A decimal as digits and a power of ten.
fn decimal(text: &str) -> Option<(u128, i32)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((
        digits,
        exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?,
    ))
}

/// For comparing and judging only; what is written is the published text.
fn float(rate: &str) -> f64 {
    rate.parse().unwrap_or(f64::NAN)
}

fn text_of(facts: &Facts<'_>, field: &str) -> Option<String> {
    serde_json::from_str(facts.get(field)?.get()).ok()
}

/// A count above zero; zero and text mean that the source does not know.
fn count_of(facts: &Facts<'_>, field: &str) -> Option<u64> {
    facts
        .get(field)?
        .get()
        .parse()
        .ok()
        .filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(source: &str) -> Converted {
        convert(source, "2026-01-02").expect("a source that converts")
    }

    #[test]
    fn rates_are_the_published_text() {
        let c = converted(
            r#"{"sample_spec": {"mode": "x"}, "gpt-x": {"litellm_provider": "openai", "mode": "chat",
                "max_input_tokens": 1000, "max_output_tokens": 100, "input_cost_per_token": 2.50e-06,
                "output_cost_per_token": 0.00001000, "output_cost_per_token_priority": 2e-5,
                "input_cost_per_token_above_200k_tokens": 5E-6}}"#,
        );
        let row = &c.models["openai/gpt-x"];
        assert_eq!(row.rates["input"], "2.50e-06");
        assert_eq!(row.rates["output"], "0.00001000");
        assert_eq!(row.tiers["priority"].rates["output"], "2e-5");
        let long = row.long_context.as_ref().expect("a long context");
        assert_eq!(
            (long.above_tokens, long.rates["input"].as_str()),
            (200_000, "5E-6")
        );
        assert_eq!(
            (row.context_window, row.max_output),
            (Some(1000), Some(100))
        );
    }

    #[test]
    fn what_cannot_be_priced_whole_is_left_out() {
        for (name, facts) in [
            (
                "free",
                r#""mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0"#,
            ),
            (
                "half",
                r#""mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 0.0"#,
            ),
            (
                "negative",
                r#""mode": "chat", "input_cost_per_token": -1e-6, "output_cost_per_token": 1e-6"#,
            ),
            (
                "dear",
                r#""mode": "chat", "input_cost_per_token": 2.5, "output_cost_per_token": 10"#,
            ),
            (
                "words",
                r#""mode": "chat", "input_cost_per_token": "1e-6", "output_cost_per_token": 1e-6"#,
            ),
            (
                "picture",
                r#""mode": "image_generation", "output_cost_per_image": 0.04"#,
            ),
        ] {
            let c = converted(&format!(
                r#"{{"gpt-x": {{"litellm_provider": "openai", {facts}}}}}"#
            ));
            assert!(c.models.is_empty(), "{name}");
            assert_eq!(c.notes.len(), 1, "{name}");
        }
    }

    #[test]
    fn one_measure_a_model_and_image_tokens_are_output() {
        let c = converted(
            r#"{"listen": {"litellm_provider": "openai", "mode": "audio_transcription",
                "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6, "input_cost_per_second": 1e-4},
                "draw": {"litellm_provider": "openai", "mode": "image_generation",
                "input_cost_per_token": 5e-6, "output_cost_per_token": 1e-5, "output_cost_per_image_token": 4e-5}}"#,
        );
        assert!(!c.models["openai/listen"].rates.contains_key("input_second"));
        assert_eq!(c.models["openai/draw"].rates["output"], "4e-5");
    }

    #[test]
    fn the_text_rate_of_a_tier_is_not_what_it_takes_for_an_image() {
        let c = converted(
            r#"{"draw": {"litellm_provider": "openai", "mode": "image_generation",
                "input_cost_per_token": 5e-6, "output_cost_per_token": 1e-5, "output_cost_per_image_token": 4e-5,
                "input_cost_per_token_priority": 9e-6, "output_cost_per_token_priority": 2e-5,
                "input_cost_per_token_batches": 2e-6, "output_cost_per_image_token_batches": 2e-5}}"#,
        );
        let tiers = &c.models["openai/draw"].tiers;
        assert_eq!(tiers["priority"].rates["input"], "9e-6");
        assert!(!tiers["priority"].rates.contains_key("output"));
        assert_eq!(tiers["batch"].rates["output"], "2e-5");
    }

    #[test]
    fn a_surcharge_below_the_usual_rate_is_dropped() {
        let c = converted(
            r#"{"gemini/g": {"litellm_provider": "gemini", "mode": "chat", "input_cost_per_token": 1e-6,
                "output_cost_per_token": 5e-6, "input_cost_per_token_above_200k_tokens": 2e-6,
                "cache_creation_input_token_cost_above_200k_tokens": 5e-7}}"#,
        );
        let row = &c.models["gemini/g"];
        assert_eq!(row.long_context.as_ref().map(|l| l.rates.len()), Some(1));
        assert_eq!(c.notes.len(), 1);
    }

    #[test]
    fn names_are_the_providers_own() {
        let source = |id: &str, provider: &str| {
            let facts = "\"input_cost_per_token\": 1e-6, \"output_cost_per_token\": 1e-6";
            format!(r#""{id}": {{"litellm_provider": "{provider}", "mode": "chat", {facts}}}"#)
        };
        let rows = [
            source("groq/openai/gpt-oss", "groq"),
            source("vertex_ai/claude-x@20250929", "vertex_ai-anthropic_models"),
            source("gemini-x", "vertex_ai-language-models"),
            source("us.anthropic.claude-x-v1:0", "bedrock_converse"),
            source("bedrock/us-east-1/anthropic.claude-x", "bedrock"),
            source("azure_ai/gpt-x", "azure_ai"),
            source("kyma/gpt-x", "kyma"),
        ];
        let c = converted(&format!("{{{}}}", rows.join(",")));
        let ids: Vec<_> = c.models.keys().map(String::as_str).collect();
        assert_eq!(
            ids,
            [
                "azure/gpt-x",
                "bedrock/us.anthropic.claude-x-v1:0",
                "groq/openai/gpt-oss",
                "vertex/claude-x@20250929",
                "vertex/gemini-x",
            ]
        );
    }

    #[test]
    fn the_fast_mode_is_an_exact_multiple() {
        assert_eq!(multiply("5e-06", "2.0").as_deref(), Some("1e-5"));
        assert_eq!(multiply("6.25e-06", "2").as_deref(), Some("125e-7"));
        assert_eq!(multiply("0.0", "2"), Some("0".to_owned()));
        assert_eq!(multiply("x", "2"), None);
    }
}
