//! What one fast look at a body tells: whether its bytes bound its tokens, and whether it may refer to what
//! is kept at the provider.
//!
//! One pass of SIMD, no parsing. May say yes too often, must never say no wrongly: an escaped letter could
//! hide a name, so it counts as a yes to everything. Start at [`Signs::of`].

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use aho_corasick::{AhoCorasick, MatchKind};

/// What a body shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// It refers to content that its bytes do not hold (files, images, audio, documents by address, tools
    /// that the provider runs and feeds back), so that they cannot bound its tokens. Too many yeses only make
    /// the hold larger.
    pub(crate) uncountable: bool,
    /// It may name something that is kept at the provider, below its top level.
    pub(crate) refers: bool,
    /// It has a key `id`: input items of the Responses API may be named by it.
    pub(crate) ids: bool,
}

const COUNT: Signs = Signs {
    uncountable: true,
    refers: false,
    ids: false,
};
const REFER: Signs = Signs {
    uncountable: false,
    refers: true,
    ids: false,
};
const BOTH: Signs = Signs {
    uncountable: true,
    refers: true,
    ids: false,
};
const ALL: Signs = Signs {
    uncountable: true,
    refers: true,
    ids: true,
};
const IDS: Signs = Signs {
    uncountable: false,
    refers: false,
    ids: true,
};

/// Texts and what each shows. Of two that begin at the same place the first one is found, so that a longer
/// one stands before its beginning; no other two may overlap in JSON.
const TEXTS: [(&str, Signs); 33] = [
    ("image_url", COUNT),
    ("input_image", COUNT),
    ("\"image\"", COUNT),
    ("input_file", COUNT),
    ("\"document\"", COUNT),
    ("input_audio", COUNT),
    ("\"url\"", COUNT),
    ("_search", COUNT),
    ("\"mcp\"", COUNT),
    ("mcp_servers", COUNT),
    ("code_interpreter", COUNT),
    ("code_execution", COUNT),
    ("computer", COUNT),
    ("web_fetch", COUNT),
    ("inlineData", COUNT),
    ("inline_data", COUNT),
    ("item_reference", COUNT),
    ("\"file_id", BOTH),
    ("\"file_uri", BOTH),
    ("\"fileUri", BOTH),
    ("\"file", COUNT),
    ("\"container", REFER),
    ("\"vector_store_id", BOTH),
    ("\"collection_ids", BOTH),
    ("\"skill_id", REFER),
    ("\"audio\"", REFER),
    ("\"cachedContent", BOTH),
    ("\"cached_content", BOTH),
    ("\"id\"", IDS),
    ("\\u004", ALL),
    ("\\u005", ALL),
    ("\\u006", ALL),
    ("\\u007", ALL),
];

impl Signs {
    /// Looks at a body. What is not `wanted` may be left out.
    pub(crate) fn of(body: &[u8], wanted: Self) -> Self {
        // `None` on a machine without SIMD. Short bodies are below what it takes; it falls back by itself.
        static FAST: LazyLock<Option<Searcher>> =
            LazyLock::new(|| Searcher::new(TEXTS.map(|(text, _)| text)));
        static SLOW: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .build(TEXTS.map(|(text, _)| text))
                .ok()
        });
        match (&*FAST, &*SLOW) {
            (Some(fast), _) => gather(fast.find_iter(body), wanted),
            (None, Some(slow)) => gather(slow.find_iter(body), wanted),
            (None, None) => ALL,
        }
    }

    /// Everything that there is to be known.
    pub(crate) const fn all() -> Self {
        ALL
    }

    /// What bounds the hold, and no more.
    pub(crate) const fn countable() -> Self {
        COUNT
    }

    const fn and(self, other: Self) -> Self {
        Self {
            uncountable: self.uncountable | other.uncountable,
            refers: self.refers | other.refers,
            ids: self.ids | other.ids,
        }
    }

    const fn has(self, wanted: Self) -> bool {
        (self.uncountable || !wanted.uncountable)
            && (self.refers || !wanted.refers)
            && (self.ids || !wanted.ids)
    }
}

fn gather(matches: impl Iterator<Item = aho_corasick::Match>, wanted: Signs) -> Signs {
    let mut seen = Signs::default();
    for found in matches {
        let (_, shows) = TEXTS
            .get(found.pattern().as_usize())
            .copied()
            .unwrap_or(("", ALL));
        seen = seen.and(shows);
        if seen.has(wanted) {
            break;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signs(body: &str) -> Signs {
        Signs::of(body.as_bytes(), ALL)
    }

    #[test]
    fn what_is_not_in_the_body_cannot_be_counted_from_it() {
        for body in [
            r#"{"content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}"#,
            r#"{"content":[{"type" : "document","source":{"type":"url","url":"x"}}]}"#,
            r#"{"tools":[{"type":"web_search_20250305"}]}"#,
            r#"{"type":"input_\u0069mage"}"#,
            r#"{"file_data":"x"}"#,
        ] {
            assert!(signs(body).uncountable, "{body}");
            assert!(Signs::of(body.as_bytes(), COUNT).uncountable, "{body}");
        }
        let text = r#"{"messages":[{"role":"user","content":"an image of a file"}]}"#;
        assert_eq!(signs(text), Signs::default());
    }

    #[test]
    fn a_path_of_a_tool_is_no_reference() {
        let body = r#"{"tools":[{"input_schema":{"properties":{"file_path":{"type":"string"}}}}]}"#;
        assert!(!signs(body).refers);
        assert!(signs(r#"{"input":[{"id":"rs_1"}]}"#).ids);
    }

    proptest! {
        /// Whatever stands around it, and however it is spelled, a reference that a walk finds shows itself.
        #[test]
        fn what_refers_shows_itself(
            before in prop::sample::select(vec![
                "", r#""url":"x","#, r#""file":"f","type":"image","#, r#""x":"\"file","#,
                r#""x":"\"id","#, r#""x":"input_file","#, r#""code_interpreter":"_search","#,
            ]),
            member in prop::sample::select(vec![
                r#""file_id":"x""#, r#""file_ids":["x"]"#, r#""fileUri":"files/x""#,
                r#""file_uri":"files/x""#, r#""container":"x""#, r#""container_id":"x""#,
                r#""vector_store_ids":["x"]"#, r#""vector_store_id":"x""#, r#""collection_ids":["x"]"#,
                r#""skill_id":"skill_x""#, r#""audio":{"id":"x"}"#, r#""cachedContent":"x""#,
                r#""cached_content":"x""#,
            ]),
            escaped in prop::option::of(1..6_usize),
            pad in 0..80_usize,
        ) {
            let member = match escaped {
                Some(at) => {
                    let letter = member.as_bytes()[at];
                    format!("{}\\u{letter:04x}{}", &member[..at], &member[at + 1..])
                }
                None => member.to_owned(),
            };
            let body = format!(r#"{{"p":"{}","a":[{{{before}{member}}}]}}"#, "-".repeat(pad));
            let found = lw_wire::stored::references(body.as_bytes(), None);
            prop_assert!(!found.expect("readable").is_empty(), "{}", body);
            prop_assert!(signs(&body).refers, "{}", body);
        }
    }
}
