use proptest::prelude::*;

use super::*;

mod lookup;

fn per_token(text: &str) -> Option<PricePerMTok> {
    Some(PricePerMTok::parse_usd_per_token(text).expect("a decimal"))
}

fn priced(rates: Rates) -> ModelPrice {
    ModelPrice {
        provider: "openai".into(),
        model: "m".into(),
        mode: "chat".into(),
        floating: false,
        context_window: None,
        max_output: None,
        rates,
        long_context: None,
        tiers: Box::default(),
        source: "test".into(),
        date: None,
        version: "registry@2026-07-15".into(),
    }
}

fn catalogue() -> PriceCatalogue {
    PriceCatalogue::bundled().expect("the bundled catalogue parses")
}

fn overlay(rows: &str) -> PriceCatalogue {
    catalogue()
        .with_overrides(&format!(r#"{{"models": {{{rows}}}}}"#))
        .expect("overrides parse")
}

/// The row that a lookup found, as `provider/model`.
fn found(catalogue: &PriceCatalogue, kind: &str, model: &str) -> Option<String> {
    catalogue
        .lookup(kind, model)
        .map(|price| format!("{}/{}", price.provider, price.model))
}

// === Billing 16.1 ===

#[test]
fn the_worked_examples_of_billing_16_1_hold() {
    let mini = Rates {
        input: per_token("2.5e-7"),
        cache_read: per_token("2.5e-8"),
        output: per_token("2e-6"),
        ..Rates::default()
    };
    let sonnet = Rates {
        input: per_token("3e-6"),
        cache_read: per_token("3e-7"),
        cache_write: per_token("3.75e-6"),
        cache_write_1h: per_token("6e-6"),
        output: per_token("1.5e-5"),
        ..Rates::default()
    };
    let cached = Usage {
        input: 120,
        cache_read: 8_000,
        cache_write_5m: 1_500,
        cache_write_1h: 500,
        output: 350,
        ..Usage::default()
    };
    let one = Usage {
        input: 1,
        ..Usage::default()
    };
    let input = |text| Rates {
        input: per_token(text),
        ..Rates::default()
    };
    for (row, rates, usage, nano, usd) in [
        (
            1,
            mini,
            Usage {
                input: 869,
                cache_read: 1_024,
                output: 207,
                reasoning: 64,
                ..Usage::default()
            },
            656_850,
            "0.00065685",
        ),
        (2, sonnet, cached, 16_635_000, "0.016635"),
        (
            3,
            Rates {
                cache_write_1h: None,
                ..sonnet
            },
            cached,
            15_510_000,
            "0.01551",
        ),
        (4, input("5e-10"), one, 1, "0.000000001"),
        (5, input("4e-10"), one, 0, "0"),
    ] {
        let cost = priced(rates).cost(&usage, None);
        assert_eq!(
            (cost, cost.to_string().as_str()),
            (NanoUsd(nano), usd),
            "row {row}"
        );
    }
    assert!(
        catalogue().lookup("openai", "no-such-model").is_none(),
        "row 6"
    );
}

#[test]
fn absent_rates_fall_back_as_the_table_says() {
    let dollar = PricePerMTok::parse_usd_per_token;
    let (two, three) = (dollar("0.000002"), dollar("0.000003"));
    let base = Rates {
        input: two,
        output: three,
        ..Rates::default()
    };
    let write = Rates {
        cache_write: three,
        ..base
    };
    for (rates, usage, micros) in [
        (
            Rates::default(),
            Usage {
                input: 1,
                output: 1,
                ..Usage::default()
            },
            0,
        ),
        (
            base,
            Usage {
                cache_read: 1,
                ..Usage::default()
            },
            2,
        ),
        (
            base,
            Usage {
                cache_write_5m: 1,
                ..Usage::default()
            },
            2,
        ),
        (
            base,
            Usage {
                cache_write_1h: 1,
                ..Usage::default()
            },
            2,
        ),
        (
            write,
            Usage {
                cache_write_1h: 1,
                ..Usage::default()
            },
            3,
        ),
        (
            base,
            Usage {
                input_audio: 1,
                ..Usage::default()
            },
            2,
        ),
        (
            base,
            Usage {
                output_audio: 1,
                ..Usage::default()
            },
            3,
        ),
        (
            base,
            Usage {
                reasoning: 1_000,
                ..Usage::default()
            },
            0,
        ),
    ] {
        assert_eq!(
            priced(rates).cost(&usage, None).micros(),
            micros,
            "{usage:?}"
        );
    }
}

#[test]
fn characters_and_seconds_are_priced_and_rounded_with_the_rest() {
    let price = priced(Rates {
        input_char: per_token("8e-05"),
        input_second: per_token("6.11e-05"),
        ..Rates::default()
    });
    let none = Usage::default();
    let cost = |measures| price.cost_with(&none, measures, None);
    assert_eq!(
        cost(Measures {
            input_chars: 1_000,
            audio_ms: 0
        }),
        NanoUsd(80_000_000)
    );
    assert_eq!(
        cost(Measures {
            input_chars: 0,
            audio_ms: 1_500
        }),
        NanoUsd(91_650)
    );
    // 8 ms are 488.8 nano-dollars.
    assert_eq!(
        cost(Measures {
            input_chars: 0,
            audio_ms: 8
        }),
        NanoUsd(489)
    );
    assert!(!price.prices_nothing_of(
        &none,
        Measures {
            audio_ms: 8,
            input_chars: 0
        },
        None
    ));
    assert!(!price.prices_nothing_of(&none, Measures::default(), None));
    assert!(price.prices_nothing_of(&Usage { input: 1, ..none }, Measures::default(), None));
}

// === Long contexts and service tiers ===

/// Input 2, output 10; above 1000 input 4; priority input 5 (long: 9), output 30; flex output 5.
fn tiered() -> ModelPrice {
    let json = r#"{"updated_at": "2026-01-02", "models": {"openai/m": {"provider": "openai",
        "rates": {"input": "2e-6", "output": "1e-5"},
        "long_context": {"above_tokens": 1000, "rates": {"input": "4e-6"}},
        "tiers": {"priority": {"rates": {"input": "5e-6", "output": "3e-5"}},
                  "ultrafast": {"rates": {"input": "6e-6"}, "long_context": {"input": "9e-6"}},
                  "flex": {"rates": {"input": "1e-6", "output": "5e-6"}}}}}}"#;
    let catalogue = PriceCatalogue::parse(json).expect("parses");
    let price = catalogue.lookup("openai", "m").expect("is there");
    assert_eq!(&*price.version, "registry@2026-01-02");
    (*price).clone()
}

#[test]
fn the_tier_served_and_the_length_of_the_prompt_choose_the_rates() {
    let price = tiered();
    let cost = |input, tier| {
        price
            .cost(
                &Usage {
                    input,
                    ..Usage::default()
                },
                tier,
            )
            .micros()
    };
    for (tier, short, long) in [
        (None, 2_000, 4_004),
        (Some("default"), 2_000, 4_004),
        (Some("nonsense"), 2_000, 4_004),
        (Some("flex"), 1_000, 4_004),
        (Some("ON_DEMAND_FLEX"), 1_000, 4_004),
        // The surcharge that everybody pays is below what priority costs anyway.
        (Some("Priority"), 5_000, 5_005),
        (Some("ultrafast"), 6_000, 9_009),
        (Some("batch"), 2_000, 4_004),
    ] {
        assert_eq!(
            (cost(1_000, tier), cost(1_001, tier)),
            (short, long),
            "{tier:?}"
        );
    }
    let cached = Usage {
        cache_read: 900,
        input: 101,
        ..Usage::default()
    };
    assert_eq!(
        price.cost(&cached, None).micros(),
        4_004,
        "cached input makes a prompt long, too"
    );
}

#[test]
fn a_hold_is_the_worst_tier_at_the_longest_prompt_allowed() {
    let price = tiered();
    let hold = |input_tokens_max, output_tokens_max| {
        price
            .hold(&HoldBound {
                input_tokens_max,
                output_tokens_max,
            })
            .micros()
    };
    assert_eq!(hold(1_000, Some(100)), 5_000 + 3_000, "priority");
    assert_eq!(hold(1_000, Some(0)), 6_000, "ultrafast");
    assert_eq!(hold(1_001, Some(0)), 9_009, "ultrafast, long");
}

#[test]
fn a_call_without_a_cap_may_write_all_that_the_model_can() {
    let rates = Rates {
        output: per_token("1e-6"),
        ..Rates::default()
    };
    let hold = |max_output, context_window| {
        let price = ModelPrice {
            max_output,
            context_window,
            ..priced(rates)
        };
        price
            .hold(&HoldBound {
                input_tokens_max: 5,
                output_tokens_max: None,
            })
            .micros()
    };
    assert_eq!(hold(Some(10), Some(100)), 10);
    assert_eq!(hold(None, Some(100)), 100);
    assert_eq!(hold(None, None), 131_072);
}

#[test]
fn a_hold_covers_the_dearest_class() {
    let audio = Rates {
        input: per_token("1e-6"),
        output: per_token("1e-6"),
        audio_input: per_token("3e-6"),
        audio_output: per_token("7e-6"),
        ..Rates::default()
    };
    let bound = HoldBound {
        input_tokens_max: 10,
        output_tokens_max: Some(10),
    };
    assert_eq!(priced(audio).hold(&bound).micros(), 100);
    assert_eq!(
        priced(audio)
            .hold_with(&bound, Measures::default())
            .micros(),
        100
    );
}

#[test]
fn an_estimate_stays_within_the_reservation() {
    for (delivered, hold, estimate) in [(5, 10, 5), (15, 10, 10), (-3, 10, 0), (5, -1, 0)] {
        assert_eq!(
            estimate_between(NanoUsd(delivered), NanoUsd(hold)),
            NanoUsd(estimate)
        );
    }
}

// === Properties ===

fn rate() -> impl Strategy<Value = Option<PricePerMTok>> {
    proptest::option::weighted(0.7, (0_i64..100_000_000_000).prop_map(PricePerMTok))
}

fn rates() -> impl Strategy<Value = Rates> {
    proptest::collection::vec(rate(), 9).prop_map(|r| Rates {
        input: r[0],
        output: r[1],
        cache_read: r[2],
        cache_write: r[3],
        cache_write_1h: r[4],
        audio_input: r[5],
        audio_output: r[6],
        input_char: r[7],
        input_second: r[8],
    })
}

const TIERS: [(ServiceTier, &str); 3] = [
    (ServiceTier::Flex, "flex"),
    (ServiceTier::Priority, "priority"),
    (ServiceTier::Fast, "fast"),
];

/// Any price that a catalogue accepts.
fn price() -> impl Strategy<Value = ModelPrice> {
    let tiers = proptest::collection::vec((rates(), rates()), 0..=3);
    let long = proptest::option::of((1_u64..2_000_000, rates()));
    (rates(), tiers, long).prop_filter_map("long prompts are not cheaper", |(base, tiers, long)| {
        let mut price = priced(base);
        price.tiers = tiers
            .into_iter()
            .zip(TIERS)
            .map(|((rates, long_context), (tier, _))| TierRates {
                tier,
                rates,
                long_context,
            })
            .collect();
        // Makes the surcharges surcharges; what still discounts is filtered out.
        if let Some((above_tokens, rates)) = long {
            let dearer = |long: Rates, short: Rates| {
                let short = short.applied();
                let up = |rate: Option<PricePerMTok>, least: PricePerMTok| {
                    rate.map(|rate| PricePerMTok(rate.0.saturating_add(least.0)))
                };
                Rates {
                    input: up(long.input, short.input),
                    output: up(long.output, short.output),
                    cache_read: up(long.cache_read, short.cache_read),
                    cache_write: up(long.cache_write, short.cache_write),
                    cache_write_1h: up(long.cache_write_1h, short.cache_write_1h),
                    audio_input: up(long.audio_input, short.audio_input),
                    audio_output: up(long.audio_output, short.audio_output),
                    input_char: up(long.input_char, short.input_char),
                    input_second: up(long.input_second, short.input_second),
                }
            };
            price.long_context = Some(Box::new(LongContext {
                above_tokens,
                rates: dearer(rates, base),
            }));
            for tier in &mut price.tiers {
                tier.long_context = dearer(tier.long_context, tier.rates.or(base));
            }
        }
        price.discounts_length().is_none().then_some(price)
    })
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..10, 0_u64..3_000_000, 0_u64..1 << 40]
}

fn usage() -> impl Strategy<Value = Usage> {
    proptest::collection::vec(tokens(), 8).prop_map(|t| Usage {
        input: t[0],
        cache_read: t[1],
        cache_write_5m: t[2],
        cache_write_1h: t[3],
        output: t[4],
        reasoning: t[5],
        input_audio: t[6],
        output_audio: t[7],
    })
}

fn measures() -> impl Strategy<Value = Measures> {
    (tokens(), tokens()).prop_map(|(input_chars, audio_ms)| Measures {
        input_chars,
        audio_ms,
    })
}

fn tier() -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::of(proptest::sample::select(vec![
        "flex",
        "priority",
        "batch",
        "fast",
        "ultrafast",
        "default",
    ]))
}

/// `usage` with `more` of class number `class`.
fn grown(mut usage: Usage, class: usize, more: u64) -> Usage {
    let field = match class {
        0 => &mut usage.input,
        1 => &mut usage.cache_read,
        2 => &mut usage.cache_write_5m,
        3 => &mut usage.cache_write_1h,
        4 => &mut usage.output,
        5 => &mut usage.reasoning,
        6 => &mut usage.input_audio,
        _ => &mut usage.output_audio,
    };
    *field += more;
    usage
}

/// Never less than what any usage within the bound costs, and never falling.
fn check(
    price: &ModelPrice,
    usage: &Usage,
    measures: Measures,
    tier: Option<&str>,
    (class, more, slack): (usize, u64, u64),
) -> Result<(), TestCaseError> {
    let cost = price.cost_with(usage, measures, tier);
    prop_assert!(cost >= NanoUsd::ZERO);
    let bound = HoldBound {
        input_tokens_max: usage.prompt() + slack,
        output_tokens_max: Some(usage.completion() + slack),
    };
    let hold = price.hold_with(&bound, measures);
    prop_assert!(cost <= hold, "{cost:?} > {hold:?}");
    let after = price.cost_with(&grown(*usage, class, more), measures, tier);
    if class == 5 {
        prop_assert_eq!(after, cost, "reasoning is never priced");
    }
    prop_assert!(
        after >= cost,
        "{after:?} < {cost:?} after {more} more of class {class}"
    );
    let larger = HoldBound {
        input_tokens_max: bound.input_tokens_max + more,
        ..bound
    };
    prop_assert!(price.hold_with(&larger, measures) >= hold);
    Ok(())
}

proptest! {
    #[test]
    fn no_call_costs_more_than_was_held_and_more_never_costs_less(
        price in price(),
        usage in usage(),
        measures in measures(),
        tier in tier(),
        class in 0_usize..8,
        more in tokens(),
        slack in prop_oneof![Just(0_u64), tokens()],
    ) {
        check(&price, &usage, measures, tier, (class, more, slack))?;
    }

    #[test]
    fn the_same_holds_for_every_published_price(
        row in 0_usize..10_000,
        usage in usage(),
        measures in measures(),
        tier in tier(),
        class in 0_usize..8,
        more in tokens(),
        slack in prop_oneof![Just(0_u64), tokens()],
    ) {
        static ROWS: std::sync::LazyLock<Vec<Arc<ModelPrice>>> =
            std::sync::LazyLock::new(|| catalogue().rows().cloned().collect());
        check(&ROWS[row % ROWS.len()], &usage, measures, tier, (class, more, slack))?;
    }

    #[test]
    fn a_delivered_part_is_estimated_between_nothing_and_the_hold(
        delivered in any::<i64>(),
        hold in 0_i64..,
    ) {
        let estimate = estimate_between(NanoUsd(delivered), NanoUsd(hold));
        prop_assert!(estimate >= NanoUsd::ZERO && estimate <= NanoUsd(hold));
    }
}
