//! Caches: what is wished for changes markers, and nothing else.

use lw_translate::cache::CacheWish;
use lw_translate::{Dialect, Outgoing};
use serde_json::{Value, json};

use super::cases::{CLAUDE_ELSEWHERE, Case, LANES, Lane, word};
use super::requests::{pairs_of, translate, translate_with};

const FORCE: CacheWish = CacheWish::Force { ttl: None };

fn body(outgoing: &Outgoing) -> Value {
    serde_json::from_slice(&outgoing.body).expect("the body is JSON")
}

fn about(case: &Case, lane: &Lane) -> String {
    format!("{} -> {}, {}", word(case.from), lane.name, case.name)
}

/// How many markers a body has.
fn markers(body: &Value) -> usize {
    match body {
        Value::Array(list) => list.iter().map(markers).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| match key.as_str() {
                "cache_control" | "cachePoint" => 1,
                _ => markers(value),
            })
            .sum(),
        _ => 0,
    }
}

/// A body without its markers. A list of one text is the text: which of the two is written depends on them.
fn bare(body: &Value) -> Value {
    match body {
        Value::Array(list) => {
            let kept = list
                .iter()
                .filter(|value| value.get("cachePoint").is_none());
            let kept: Vec<Value> = kept.map(bare).collect();
            match kept.as_slice() {
                [only] if *only == json!({"type": "text", "text": only["text"]}) => {
                    only["text"].clone()
                }
                _ => kept.into(),
            }
        }
        Value::Object(members) => {
            let kept = members
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "cache_control" | "cachedContent"));
            kept.map(|(key, value)| (key.clone(), bare(value)))
                .collect()
        }
        value => value.clone(),
    }
}

#[test]
fn what_is_stripped_has_no_marker_and_says_the_same() {
    let mut had_some = 0;
    for (case, lane) in pairs_of(&LANES) {
        let about = about(&case, lane);
        let Ok(plain) = translate(&case, lane) else {
            continue;
        };
        let stripped = translate_with(&case, lane, CacheWish::Strip).expect(&about);
        let (before, after) = (body(&plain), body(&stripped));
        had_some += usize::from(markers(&before) > 0);
        assert_eq!(markers(&after), 0, "{about}");
        assert!(after.get("cachedContent").is_none(), "{about}");
        assert_eq!(bare(&after), bare(&before), "{about}");
        assert_eq!(plain.dropped, stripped.dropped, "{about}");
    }
    assert!(had_some > 4, "there are cases with markers");
}

#[test]
fn a_cache_of_googles_that_is_stripped_is_in_nobodys_way() {
    let pairs = pairs_of(&LANES).into_iter();
    let mut refused = 0;
    for (case, lane) in pairs.filter(|(case, _)| case.name == "cached_content") {
        refused += usize::from(translate(&case, lane).is_err());
        let stripped = translate_with(&case, lane, CacheWish::Strip).expect(lane.name);
        assert!(!stripped.dropped.iter().any(|name| name.contains("cache")));
    }
    assert!(refused > 0);
}

#[test]
fn force_marks_the_end_of_the_prompt_for_those_who_take_markers() {
    let pairs = pairs_of(&LANES).into_iter();
    for (case, lane) in pairs.chain(pairs_of(&CLAUDE_ELSEWHERE)) {
        let about = about(&case, lane);
        let Ok(plain) = translate(&case, lane) else {
            continue;
        };
        let forced = translate_with(&case, lane, FORCE).expect(&about);
        if !matches!(lane.to, Dialect::Messages | Dialect::Converse) {
            assert_eq!(plain, forced, "{about}");
            continue;
        }
        let (before, after) = (body(&plain), body(&forced));
        let (own, all) = (markers(&before), markers(&after));
        assert!(all == own || (all == own + 1 && all <= 4), "{about}");
        assert!(own > 0 || all == 1, "{about}");
        assert_eq!(bare(&after), bare(&before), "{about}");
        let at_the_top = after.get("cache_control").is_some();
        assert!(!at_the_top || lane.name.starts_with("messages"), "{about}");
    }
}
