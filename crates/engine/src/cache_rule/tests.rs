use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const KEY: KeyFacts<'_> = KeyFacts {
    id: "vk_1",
    display_prefix: "vk-lw-01HZX9N",
    tags: &[],
    principal_id: None,
};

fn tags(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Rules as they are stored: id, priority, matchers, action.
type Stored = (&'static str, i64, Value, Value);

fn compiled(rules: &[Stored], key: &KeyFacts<'_>) -> CacheRules {
    let rules = rules
        .iter()
        .map(|(id, priority, matchers, action)| StoredRule {
            id,
            priority: *priority,
            matchers,
            action,
        });
    CacheRules::compile(rules, key)
}

fn force() -> Value {
    json!({"mode": "force"})
}

/// Whether a rule with these conditions applies to a call of `key`.
fn applies_to(matchers: &Value, key: &KeyFacts<'_>) -> bool {
    let rules = compiled(&[("r", 100, matchers.clone(), force())], key);
    decide(None, &rules, None, &request()).source == CacheSource::Rule
}

fn request() -> RequestFacts<'static> {
    RequestFacts {
        kind: "anthropic",
        model: "claude-sonnet-4-5",
        header: &|name| match name.to_ascii_lowercase().as_str() {
            "x-team" => Some("blue"),
            "x-empty" => Some(""),
            _ => None,
        },
        // Wednesday, 10:00 UTC.
        now: at("UTC", 2026, 7, 15, 10, 0),
    }
}

fn at(zone: &str, year: i16, month: i8, day: i8, hour: i8, minute: i8) -> UnixMicros {
    let zone = TimeZone::get(zone).expect("a zone");
    let there = date(year, month, day).at(hour, minute, 0, 0);
    let there = there.to_zoned(zone).expect("an instant");
    UnixMicros(there.timestamp().as_microsecond())
}

#[test]
fn the_header_says_one_of_four_things() {
    let force = |ttl| CacheMode::Force { ttl };
    for (value, expected) in [
        ("respect", CacheMode::Respect),
        (" Disable\t", CacheMode::Disable),
        ("FORCE", force(None)),
        ("ttl=1", force(Some(1))),
        ("TTL=86400", force(Some(86_400))),
    ] {
        assert_eq!(parse_header(value).map(Requested::mode), Ok(expected));
    }
    for value in [
        "",
        " ",
        "auto",
        "nonsense",
        "force,disable",
        "force;ttl=5",
        "ttl",
        "ttl=",
        "ttl=0",
        "ttl=86401",
        "ttl=99999999999999999999",
        "ttl=-1",
        "ttl=+1",
        "ttl=1.5",
        "ttl =1",
        "ttl= 1",
        "ttl=1s",
        "persistent",
        "ttl=１",
    ] {
        let reason = parse_header(value).expect_err(value);
        assert!(reason.contains("must be"), "{value}: {reason}");
    }
}

#[test]
fn a_keys_setting_is_read_with_its_lifetime() {
    for (mode, ttl, expected) in [
        ("respect", Some(3_600), Some(CacheMode::Respect)),
        ("disable", None, Some(CacheMode::Disable)),
        ("force", Some(60), Some(CacheMode::Force { ttl: Some(60) })),
        ("force", Some(0), Some(CacheMode::Force { ttl: None })),
        ("force", None, Some(CacheMode::Force { ttl: None })),
        (
            "force",
            Some(u64::MAX),
            Some(CacheMode::Force { ttl: Some(86_400) }),
        ),
        ("auto", Some(3_600), Some(CacheMode::Auto)),
        ("FORCE", None, None),
        ("", None, None),
    ] {
        assert_eq!(CacheMode::of_key(mode, ttl), expected, "{mode} {ttl:?}");
    }
}

#[test]
fn the_header_comes_before_rules_and_rules_before_the_key() {
    let rules = compiled(
        &[(
            "rule_1",
            7,
            json!({"vk_id": "vk_1"}),
            json!({"mode": "disable", "salt": "v2"}),
        )],
        &KEY,
    );
    let none = CacheRules::default();
    let header = parse_header("ttl=60").ok();
    let key = Some(CacheMode::Auto);
    let decided = |header, rules, key| {
        let Decision {
            mode,
            source,
            rule_id,
            rule_priority,
            salt,
        } = decide(header, rules, key, &request());
        let rule = rule_id.map(|id| {
            (
                id.to_string(),
                rule_priority,
                salt.map(|salt| salt.to_string()),
            )
        });
        (mode.as_str(), source.as_str(), rule)
    };
    let rule = Some(("rule_1".to_owned(), Some(7), Some("v2".to_owned())));
    assert_eq!(decided(header, &rules, key), ("force", "header", None));
    assert_eq!(decided(None, &rules, key), ("disable", "rule", rule));
    assert_eq!(decided(None, &none, key), ("auto", "key", None));
    assert_eq!(decided(None, &none, None), ("respect", "default", None));
}

#[test]
fn the_higher_priority_is_asked_first_and_of_equal_ones_the_older() {
    let any = || json!({"model": "*"});
    let rules = compiled(
        &[
            ("low", 1, any(), force()),
            ("high", 9, json!({"model": "gpt-*"}), force()),
            ("old", 5, any(), force()),
            ("new", 5, any(), force()),
        ],
        &KEY,
    );
    let decision = decide(None, &rules, None, &request());
    assert_eq!(decision.rule_id.as_deref(), Some("old"));
}

#[test]
fn what_is_constant_for_a_key_is_decided_once() {
    let rules = compiled(
        &[
            ("other", 9, json!({"vk_id": "vk_2"}), force()),
            ("first", 8, json!({"model": "x"}), force()),
            ("always", 7, json!({"vk_id": "vk_1"}), force()),
            ("never_asked", 6, json!({"model": "*"}), force()),
        ],
        &KEY,
    );
    let ids: Vec<&str> = rules.0.iter().map(|rule| &*rule.id).collect();
    assert_eq!(ids, ["first", "always"]);
    assert!(!rules.is_empty());
    assert!(compiled(&[("other", 9, json!({"vk_id": "vk_2"}), force())], &KEY).is_empty());
}

#[test]
fn conditions_about_the_key() {
    let own = tags(&["env=prod", "team=a"]);
    let key = KeyFacts {
        tags: &own,
        principal_id: Some("user_1"),
        ..KEY
    };
    for (matchers, expected) in [
        (json!({"vk_id": "vk_1"}), true),
        (json!({"vk_id": "vk-lw-01HZX9N"}), true),
        (json!({"vk_id": "vk-lw-01HZX9"}), false),
        (json!({"vk_id": "vk_10"}), false),
        (json!({"vk_prefix": "vk-lw-01"}), true),
        (json!({"vk_prefix": "vk-lw-01HZX9N"}), true),
        (json!({"vk_prefix": "vk-lw-01HZX9NQ"}), false),
        (json!({"vk_prefix": "lw-01"}), false),
        (json!({"vk_tags": ["env=prod"]}), true),
        (json!({"vk_tags": ["team=a", "env=prod"]}), true),
        (json!({"vk_tags": ["env=prod", "team=b"]}), false),
        (json!({"vk_tags": ["env"]}), false),
        (json!({"principal_id": "user_1"}), true),
        (json!({"principal_id": "user_2"}), false),
        // All of them.
        (json!({"vk_id": "vk_1", "principal_id": "user_2"}), false),
        (json!({"vk_id": "vk_1", "principal_id": null}), true),
    ] {
        assert_eq!(applies_to(&matchers, &key), expected, "{matchers}");
    }
    assert!(
        !applies_to(&json!({"principal_id": "user_1"}), &KEY),
        "no person"
    );
    let bare = KeyFacts {
        display_prefix: "",
        ..KEY
    };
    assert!(!applies_to(&json!({"vk_id": ""}), &bare));
}

#[test]
fn conditions_about_the_request() {
    for (matchers, expected) in [
        (json!({"model": "claude-sonnet-4-5"}), true),
        (json!({"model": "anthropic/claude-sonnet-4-5"}), true),
        (json!({"model": "claude-*"}), true),
        (json!({"model": "anthropic/*"}), true),
        (json!({"model": "*"}), true),
        (json!({"model": "claude-sonnet-4"}), false),
        (json!({"model": "vertex/claude-*"}), false),
        (json!({"model": "Claude-*"}), false),
        (json!({"request_metadata": {"X-Team": "blue"}}), true),
        (
            json!({"request_metadata": {"x-team": "blue", "x-empty": ""}}),
            true,
        ),
        (json!({"request_metadata": {"x-team": "Blue"}}), false),
        (
            json!({"request_metadata": {"x-team": "blue", "x-none": "1"}}),
            false,
        ),
        (json!({"request_metadata": {"x-none": ""}}), false),
        (
            json!({"model": "claude-*", "request_metadata": {"x-team": "red"}}),
            false,
        ),
        (
            json!({"time_window": {"days": [3], "from": "09:00", "to": "17:00", "tz": "UTC"}}),
            true,
        ),
        (
            json!({"time_window": {"days": [4], "from": "09:00", "to": "17:00", "tz": "UTC"}}),
            false,
        ),
    ] {
        assert_eq!(applies_to(&matchers, &KEY), expected, "{matchers}");
    }
}

#[test]
fn what_is_not_understood_never_widens_a_rule() {
    for matchers in [
        json!({"vk_id": "vk_1", "colour": "red"}),
        json!({"vk_id": "vk_1", "colour": null}),
        json!({"vk_id": ["vk_1"]}),
        json!({"vk_prefix": 1}),
        json!({"vk_tags": "env=prod"}),
        json!({"vk_tags": [1]}),
        json!({"model": "claude-*-5"}),
        json!({"model": {}}),
        json!({"request_metadata": {"x-team": 1}}),
        json!({"request_metadata": "x-team"}),
        json!({"time_window": {"days": []}}),
        json!({"time_window": {"days": [7]}}),
        json!({"time_window": {"days": ["mon"]}}),
        json!({"time_window": {"from": "24:00", "to": "24:00"}}),
        json!({"time_window": {"from": "9:00", "to": "17:00"}}),
        json!({"time_window": {"from": "09:00", "to": "24:01"}}),
        json!({"time_window": {"from": "09:60", "to": "17:00"}}),
        json!({"time_window": {"from": "09:00", "to": "09:00"}}),
        json!({"time_window": {"tz": "Mars/Phobos"}}),
        json!({"time_window": {"tz": "+15:00"}}),
        json!({"time_window": {"until": "2027-01-01"}}),
        json!({"time_window": true}),
        json!([]),
        json!(null),
    ] {
        assert!(!applies_to(&matchers, &KEY), "{matchers}");
    }
    for action in [
        json!({}),
        json!({"mode": "auto"}),
        json!({"mode": "FORCE"}),
        json!({"mode": null}),
        json!({"mode": "force", "ttl": -1}),
        json!({"mode": "force", "ttl": "1h"}),
        json!({"mode": "force", "salt": 1}),
        json!({"mode": "force", "else": 1}),
        json!("force"),
    ] {
        let rules = compiled(&[("r", 1, json!({"vk_id": "vk_1"}), action.clone())], &KEY);
        assert!(rules.is_empty(), "{action}");
    }
}

#[test]
fn actions_have_a_mode_a_lifetime_and_a_salt() {
    for (action, mode, salt) in [
        (force(), CacheMode::Force { ttl: None }, None),
        (
            json!({"mode": "force", "ttl": 300}),
            CacheMode::Force { ttl: Some(300) },
            None,
        ),
        (
            json!({"mode": "force", "ttl": 0, "salt": ""}),
            CacheMode::Force { ttl: None },
            None,
        ),
        (
            json!({"mode": "force", "ttl": "persistent", "salt": "v2"}),
            CacheMode::Force { ttl: Some(3_600) },
            Some("v2"),
        ),
        (
            json!({"mode": "respect", "ttl": 9, "salt": null}),
            CacheMode::Respect,
            None,
        ),
        (
            json!({"mode": "disable", "ttl": null}),
            CacheMode::Disable,
            None,
        ),
    ] {
        let rules = compiled(&[("r", 1, json!({}), action.clone())], &KEY);
        let decision = decide(None, &rules, None, &request());
        assert_eq!(decision.mode, mode, "{action}");
        assert_eq!(decision.salt.as_deref(), salt, "{action}");
    }
}

/// Whether a window contains an instant.
fn holds(window: &Value, now: UnixMicros) -> bool {
    let rules = compiled(&[("r", 1, json!({"time_window": window}), force())], &KEY);
    let request = RequestFacts { now, ..request() };
    decide(None, &rules, None, &request).source == CacheSource::Rule
}

#[test]
fn windows_are_hours_of_days_in_their_zone() {
    let utc = |day, hour, minute| at("UTC", 2026, 7, day, hour, minute);
    // The 12th is a Sunday.
    let office = json!({"days": [1, 2, 3, 4, 5], "from": "09:00", "to": "17:30", "tz": "UTC"});
    let night = json!({"days": [5], "from": "22:00", "to": "06:00", "tz": "UTC"});
    let saturday = json!({"days": [6], "from": "22:00", "to": "02:00"});
    let sunday = json!({"days": [0]});
    let late = json!({"from": "18:00", "to": "24:00"});
    for (window, now, expected) in [
        (&office, utc(13, 8, 59), false),
        (&office, utc(13, 9, 0), true),
        (&office, utc(17, 17, 29), true),
        (&office, utc(17, 17, 30), false),
        (&office, utc(18, 12, 0), false),
        (&office, utc(12, 12, 0), false),
        // From Friday, the 17th, on to Saturday.
        (&night, utc(17, 21, 59), false),
        (&night, utc(17, 22, 0), true),
        (&night, utc(18, 5, 59), true),
        (&night, utc(18, 6, 0), false),
        (&night, utc(17, 5, 0), false),
        (&night, utc(18, 23, 0), false),
        // Over the end of the week.
        (&saturday, utc(18, 23, 0), true),
        (&saturday, utc(19, 1, 59), true),
        (&saturday, utc(19, 2, 0), false),
        (&sunday, utc(12, 0, 0), true),
        (&sunday, utc(12, 23, 59), true),
        (&sunday, utc(13, 0, 0), false),
        (&late, utc(14, 23, 59), true),
        (&late, utc(14, 0, 0), false),
    ] {
        assert_eq!(holds(window, now), expected, "{window} {now:?}");
    }
}

#[test]
fn windows_follow_their_zones_summer_time() {
    let berlin = json!({"from": "09:00", "to": "10:00", "tz": "Europe/Berlin"});
    let fixed = json!({"from": "09:00", "to": "10:00", "tz": "+01:00"});
    let west = json!({"days": [2], "from": "23:00", "to": "24:00", "tz": "-03:30"});
    for (window, now, expected) in [
        (&berlin, at("UTC", 2026, 1, 15, 8, 30), true),
        (&berlin, at("UTC", 2026, 7, 15, 8, 30), false),
        (&berlin, at("UTC", 2026, 7, 15, 7, 30), true),
        (&fixed, at("UTC", 2026, 7, 15, 8, 30), true),
        (&fixed, at("UTC", 2026, 7, 15, 7, 30), false),
        // Tuesday there, Wednesday here.
        (&west, at("UTC", 2026, 7, 15, 2, 45), true),
        (&west, at("UTC", 2026, 7, 15, 3, 30), false),
    ] {
        assert_eq!(holds(window, now), expected, "{window} {now:?}");
    }
    // The hour that the clocks leave out, and the one that they show twice.
    let gap = json!({"from": "02:00", "to": "03:00", "tz": "Europe/Berlin"});
    assert!(!holds(&gap, at("UTC", 2026, 3, 29, 1, 0)));
    assert!(holds(&gap, at("UTC", 2026, 10, 25, 0, 30)));
    assert!(holds(&gap, at("UTC", 2026, 10, 25, 1, 30)));
}

#[test]
fn instants_beyond_the_calendar_lie_in_no_window() {
    let always = json!({"days": [0, 1, 2, 3, 4, 5, 6]});
    assert!(holds(&always, UnixMicros(0)));
    assert!(!holds(&always, UnixMicros(i64::MAX)));
    assert!(!holds(&always, UnixMicros(i64::MIN)));
}

proptest! {
    #[test]
    fn a_window_and_the_one_from_its_end_to_its_begin_share_out_the_days(
        from in 0..1_440_u16, to in 0..1_440_u16, now in 0..4_000_000_000_000_000_i64,
    ) {
        prop_assume!(from != to);
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let window = |from, to| json!({"from": clock(from), "to": clock(to), "tz": "Asia/Kolkata"});
        let now = UnixMicros(now);
        prop_assert_ne!(holds(&window(from, to), now), holds(&window(to, from), now));
    }

    #[test]
    fn any_header_is_read_or_refused(value in "\\PC{0,12}", seconds in any::<u32>()) {
        let _ = parse_header(&value);
        let read = parse_header(&format!("ttl={seconds}"));
        prop_assert_eq!(read.is_ok(), (1..=86_400).contains(&seconds));
    }
}
