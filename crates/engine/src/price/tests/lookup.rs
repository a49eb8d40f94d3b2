//! The bundled catalogue, the lookup rules of billing 5.1, and operators' prices.

use super::*;

// === The bundled catalogue ===

#[test]
fn the_bundled_catalogue_says_where_it_is_from() {
    let catalogue = catalogue();
    let date = catalogue
        .version()
        .strip_prefix("registry@")
        .expect("a registry version");
    assert_eq!(date.len(), 10);
    assert!(catalogue.len() > 1_000);
    for kind in [
        "openai",
        "anthropic",
        "azure",
        "bedrock",
        "vertex",
        "gemini",
        "groq",
        "xai",
    ] {
        let rows: Vec<_> = catalogue.models(kind).collect();
        assert!(rows.len() >= 5, "{kind}");
        assert!(rows.iter().all(|row| &*row.version == catalogue.version()));
    }
    assert_eq!(catalogue.models("custom").count(), 0);
}

#[test]
fn well_known_models_have_their_published_prices() {
    // Dollars for a million tokens: input, output, cache read, cache write of 5 minutes and 1 hour.
    for (kind, model, prices) in [
        ("openai", "gpt-4o", ["2.5", "10", "1.25", "", ""]),
        ("openai", "gpt-4o-mini", ["0.15", "0.6", "0.075", "", ""]),
        ("openai", "gpt-4.1", ["2", "8", "0.5", "", ""]),
        ("openai", "gpt-5-mini", ["0.25", "2", "0.025", "", ""]),
        ("openai", "o3", ["2", "8", "0.5", "", ""]),
        (
            "openai",
            "text-embedding-3-small",
            ["0.02", "0", "", "", ""],
        ),
        (
            "anthropic",
            "claude-haiku-4-5",
            ["1", "5", "0.1", "1.25", "2"],
        ),
        (
            "anthropic",
            "claude-haiku-4-5-20251001",
            ["1", "5", "0.1", "1.25", "2"],
        ),
        (
            "anthropic",
            "claude-sonnet-4-5",
            ["3", "15", "0.3", "3.75", "6"],
        ),
        (
            "anthropic",
            "claude-sonnet-4-6",
            ["3", "15", "0.3", "3.75", "6"],
        ),
        (
            "anthropic",
            "claude-opus-4-5",
            ["5", "25", "0.5", "6.25", "10"],
        ),
        (
            "anthropic",
            "claude-opus-4-6",
            ["5", "25", "0.5", "6.25", "10"],
        ),
    ] {
        let price = catalogue().lookup(kind, model).expect(model);
        assert_eq!((&*price.provider, &*price.model), (kind, model));
        let Rates {
            input,
            output,
            cache_read,
            cache_write,
            cache_write_1h,
            ..
        } = price.rates;
        let stated = [input, output, cache_read, cache_write, cache_write_1h];
        assert_eq!(
            stated,
            prices.map(PricePerMTok::parse_usd_per_mtok),
            "{model}"
        );
        assert!(price.context_window.is_some(), "{model}");
    }
    let four = catalogue().lookup("openai", "gpt-4o").expect("gpt-4o");
    assert_eq!(
        (four.context_window, four.max_output),
        (Some(128_000), Some(16_384))
    );
    let priority = four.tier(Some("priority")).expect("a priority tier");
    assert_eq!(
        priority.rates.input,
        PricePerMTok::parse_usd_per_mtok("4.25")
    );
}

#[test]
fn a_published_price_is_a_whole_price() {
    let catalogue = catalogue();
    for row in catalogue.rows() {
        let id = format!("{}/{}", row.provider, row.model);
        let rates = row.rates.applied();
        if row.mode.as_ref() == "moderation" {
            continue;
        }
        assert!(
            Applied::CLASSES
                .iter()
                .any(|(_, r)| r(&rates) > PricePerMTok(0)),
            "{id} is free"
        );
        let by_token = rates.input > PricePerMTok(0);
        if matches!(&*row.mode, "chat" | "completion" | "responses") && by_token {
            assert!(rates.output > PricePerMTok(0), "{id} writes for nothing");
        }
        let stated = |tokens: Option<u64>| tokens.is_none_or(|tokens| tokens < 50_000_000);
        assert!(stated(row.context_window) && stated(row.max_output), "{id}");
        assert!(row.date.is_some(), "{id}");
        let named = catalogue
            .lookup(&row.provider, &row.model)
            .expect("a row finds itself");
        assert!(
            Arc::ptr_eq(&named, row),
            "{id} finds {}/{}",
            named.provider,
            named.model
        );
    }
}

// === Lookup ===

#[test]
fn the_lookup_rules_of_billing_5_1() {
    let catalogue = catalogue();
    for (kind, model, row) in [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("OpenAI", "openai/gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o-2024-08-06"),
        ("openai", "gpt-4o-2031-01-01", "openai/gpt-4o"),
        (
            "openai",
            "ft:gpt-4o-2024-08-06:acme::abc",
            "openai/ft:gpt-4o-2024-08-06",
        ),
        (
            "anthropic",
            "claude-haiku-4-5-20311001",
            "anthropic/claude-haiku-4-5",
        ),
        (
            "anthropic",
            "claude-haiku-4-5-latest",
            "anthropic/claude-haiku-4-5",
        ),
        // A provider's own row wins over the vendor's.
        ("azure", "gpt-4o", "azure/gpt-4o"),
        ("azure_openai", "gpt-4o-2031-01-01", "azure/gpt-4o"),
        (
            "bedrock",
            "anthropic.claude-opus-4-5",
            "bedrock/anthropic.claude-opus-4-5-20251101-v1:0",
        ),
        (
            "bedrock",
            "bedrock/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "bedrock/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "aws_bedrock",
            "ca.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "bedrock",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-4-6",
            "bedrock/eu.anthropic.claude-sonnet-4-6",
        ),
        (
            "bedrock",
            "anthropic.claude-sonnet-4-6-v1:0",
            "bedrock/anthropic.claude-sonnet-4-6",
        ),
        (
            "bedrock",
            "claude-sonnet-4-6",
            "bedrock/anthropic.claude-sonnet-4-6",
        ),
        (
            "vertex",
            "claude-sonnet-4-5@20250929",
            "vertex/claude-sonnet-4-5@20250929",
        ),
        (
            "vertex_ai",
            "claude-sonnet-4-5-20250929",
            "vertex/claude-sonnet-4-5@20250929",
        ),
        (
            "vertex",
            "publishers/anthropic/models/claude-sonnet-4-6@20311231",
            "vertex/claude-sonnet-4-6",
        ),
        ("vertex", "gemini-2.5-pro", "vertex/gemini-2.5-pro"),
        ("gemini", "models/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
        (
            "google_gemini",
            "gemini-2.5-pro-001",
            "gemini/gemini-2.5-pro",
        ),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        (
            "groq",
            "groq/openai/gpt-oss-120b",
            "groq/openai/gpt-oss-120b",
        ),
    ] {
        assert_eq!(
            found(&catalogue, kind, model).as_deref(),
            Some(row),
            "{kind} {model}"
        );
    }
    for (kind, model) in [
        // A custom server's model is not the vendor's.
        ("custom", "gpt-4o"),
        ("custom", "openai/gpt-4o"),
        ("custom_openai", "gpt-4o"),
        ("somewhere", "gpt-4o"),
        // A ChatGPT subscription is not paid by the token.
        ("openai_codex", "gpt-5"),
        ("openai", "claude-sonnet-4-5"),
        ("openai", "gpt-4o-mini-but-mine"),
        ("openai", "ft:gpt-99:acme::abc"),
        ("bedrock", "amazon.titan-embed-text-v9:0"),
        ("openai", ""),
        ("", "gpt-4o"),
    ] {
        assert_eq!(found(&catalogue, kind, model), None, "{kind} {model}");
    }
}

#[test]
fn a_vendors_own_price_is_the_last_resort() {
    let json = r#"{"models": {
        "openai/a": {"provider": "openai", "rates": {"input": "1e-6"}},
        "anthropic/claude-b-20250101": {"provider": "anthropic", "rates": {"input": "1e-6"}},
        "gemini/gemini-c": {"provider": "gemini", "rates": {"input": "1e-6"}},
        "openai/d-2025-01-01": {"provider": "openai", "rates": {"input": "1e-6"}},
        "openai/d-2025-06-01": {"provider": "openai", "rates": {"input": "2e-6"}}}}"#;
    let catalogue = PriceCatalogue::parse(json).expect("parses");
    assert_eq!(catalogue.version(), "registry@unversioned");
    let claude = Some("anthropic/claude-b-20250101");
    for (kind, model, row) in [
        ("azure", "a", Some("openai/a")),
        ("azure", "claude-b", claude),
        ("bedrock", "global.anthropic.claude-b-20250101-v1:0", claude),
        ("bedrock", "eu.anthropic.claude-b-v2:0", claude),
        ("bedrock", "us.anthropic.claude-b-20260101-v1:0", None),
        ("bedrock", "us-gov.anthropic.claude-b-20250101-v1:0", None),
        ("vertex", "claude-b@20250101", claude),
        ("vertex", "claude-b@default", claude),
        ("vertex", "gemini-c-002", Some("gemini/gemini-c")),
        ("openai", "d", Some("openai/d-2025-06-01")),
        ("openai", "d-2025-01-01", Some("openai/d-2025-01-01")),
        ("openai", "d-2025-03-01", None),
        ("xai", "a", None),
    ] {
        assert_eq!(
            found(&catalogue, kind, model).as_deref(),
            row,
            "{kind} {model}"
        );
    }
}

// === Overrides ===

#[test]
fn an_operators_price_wins_and_says_so() {
    let catalogue = overlay(
        r#""openai/gpt-4o": {"provider": "openai", "rates": {"input": "1e-6", "output": "0"}},
           "my/llama": {"provider": "custom", "rates": {"input_cost_per_token": "3e-7"}, "context": 8192},
           "house-model": {"provider": "any", "rates": {"input": "0"}}"#,
    );
    let four = catalogue.lookup("openai", "gpt-4o").expect("gpt-4o");
    assert_eq!(four.rates.input, per_token("1e-6"));
    assert!(four.version.starts_with("operator@"), "{}", four.version);
    assert!(catalogue.version().starts_with("registry@"));
    let mini = catalogue
        .lookup("openai", "gpt-4o-mini")
        .expect("gpt-4o-mini");
    assert_eq!(
        &*mini.version,
        catalogue.version(),
        "other rows keep theirs"
    );
    let azure = catalogue.lookup("azure", "gpt-4o").expect("azure");
    assert_eq!(
        &*azure.provider, "azure",
        "the provider's own row wins over a vendor's override"
    );

    let llama = catalogue.lookup("custom", "my/llama").expect("llama");
    assert_eq!(
        (llama.rates.input, llama.context_window),
        (per_token("3e-7"), Some(8_192))
    );
    assert_eq!(found(&catalogue, "custom", "gpt-4o"), None);
    assert_eq!(
        found(&catalogue, "custom", "custom/my/llama").as_deref(),
        Some("custom/my/llama")
    );
    for kind in ["custom", "openai", "somewhere"] {
        assert_eq!(
            found(&catalogue, kind, "house-model").as_deref(),
            Some("any/house-model")
        );
    }
    assert_eq!(
        catalogue
            .models("openai")
            .filter(|row| &*row.model == "gpt-4o")
            .count(),
        1
    );
}

#[test]
fn an_exact_published_name_is_not_shadowed_by_an_override_of_another_date() {
    let catalogue =
        overlay(r#""gpt-4o-2031-01-01": {"provider": "openai", "rates": {"input": "1"}}"#);
    assert_eq!(
        found(&catalogue, "openai", "gpt-4o").as_deref(),
        Some("openai/gpt-4o")
    );
    let dated = catalogue
        .lookup("openai", "gpt-4o-2031-01-01")
        .expect("the dated one");
    assert!(dated.version.starts_with("operator@"));
}

#[test]
fn versions_of_overrides_tell_texts_apart() {
    let row = |rate: &str| {
        overlay(&format!(
            r#""m": {{"provider": "openai", "rates": {{"input": "{rate}"}}}}"#
        ))
        .lookup("openai", "m")
        .expect("m")
        .version
        .clone()
    };
    assert_eq!(row("1e-6"), row("1e-6"));
    assert_ne!(row("1e-6"), row("2e-6"));
}

#[test]
fn rows_that_make_no_price_are_refused_with_the_reason() {
    let refuse = |rows: &str| {
        let error = catalogue()
            .with_overrides(&format!(r#"{{"models": {{{rows}}}}}"#))
            .map(|_| ())
            .expect_err(rows);
        let source = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{error}: {source}")
    };
    for (rows, reason) in [
        (
            r#""m": {"provider": "openai", "rates": {"input": 0.000001}}"#,
            "as text",
        ),
        (
            r#""m": {"provider": "openai", "rates": {"input": "-1e-6"}}"#,
            "dollars for one unit",
        ),
        (
            r#""m": {"provider": "openai", "rates": {"input": "2.5"}}"#,
            "at most",
        ),
        (
            r#""m": {"provider": "openai", "rates": {"inptu": "1e-6"}}"#,
            "unknown field `inptu`",
        ),
        (
            r#""m": {"provider": "openai", "rates": {"input": "1e-6", "input": "2e-6"}}"#,
            "duplicate",
        ),
        (
            r#""m": {"rates": {"input": "1e-6"}}"#,
            "missing field `provider`",
        ),
        (
            r#""m": {"provider": "openai", "rates": {}}"#,
            "it has no rate",
        ),
        (
            r#""m": {"provider": "", "rates": {"input": "1"}}"#,
            "must not be empty",
        ),
        (
            r#""openai/": {"provider": "openai", "rates": {"input": "1"}}"#,
            "must not be empty",
        ),
        (
            r#""m": {"provider": "openai", "rates": {"input": "1e-6"}},
               "openai/m": {"provider": "openai", "rates": {"input": "1e-6"}}"#,
            "the price of openai/m: there are two rows",
        ),
        (
            r#""m": {"provider": "openai", "rates": {"input": "2e-6"},
                "long_context": {"above_tokens": 10, "rates": {"input": "1e-6"}}}"#,
            "must not cost less: input",
        ),
        (
            r#""m": {"provider": "openai", "rates": {"input": "2e-6"}, "tiers": {"turbo": {"rates": {}}}}"#,
            "unknown variant `turbo`",
        ),
        (
            r#""m": {"provider": "openai", "rates": {"input": "1"}, "date": "today"}"#,
            "not a date",
        ),
    ] {
        let said = refuse(rows);
        assert!(said.contains(reason), "{said}");
    }
    assert!(PriceCatalogue::parse("[]").is_err());
    assert!(
        PriceCatalogue::parse("{\"models\": {}}")
            .expect("empty is fine")
            .is_empty()
    );
}
