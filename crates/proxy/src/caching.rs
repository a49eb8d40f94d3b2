//! What a request does about the provider's prompt cache (data-plane 14): decided once, applied to the body
//! of each candidate.
//!
//! On native lanes the edits are made in the caller's bytes; where a body is written anew, the writer is told.
//! Start at [`decide`].

use http::HeaderMap;
use lw_core::{Code, Error, UnixMicros};
use lw_engine::cache_rule::{self, CacheMode, Decision, RequestFacts, Requested, parse_header};
use lw_translate::Dialect;
use lw_translate::cache::CacheWish;
use lw_wire::Surface;
use lw_wire::cache;
use lw_wire::splice::Edits;

use crate::bundle::Bundle;
use crate::headers;
use crate::lane::{Lane, LaneKind};

/// The mode that the caller's header asks for.
///
/// # Errors
/// The header cannot be read.
pub(crate) fn requested(request: &HeaderMap) -> Result<Option<Requested>, Error> {
    let Some(value) = request.get(headers::CACHE) else {
        return Ok(None);
    };
    let read = value
        .to_str()
        .map_err(|_| "it must be plain text".to_owned())
        .and_then(parse_header);
    read.map(Some).map_err(|reason| {
        Error::new(
            Code::CacheOverrideInvalid,
            format!("the header `X-LangWatch-Cache` cannot be used: {reason}"),
        )
        .at("X-LangWatch-Cache")
    })
}

/// Decides on the mode: the header, the first rule that applies, the key's setting.
pub(crate) fn decide(
    bundle: &Bundle,
    header: Option<Requested>,
    request: &HeaderMap,
    (kind, model): (&str, &str),
    now: UnixMicros,
) -> Decision {
    let rules = &bundle.governed.cache_rules;
    if header.is_none() && rules.is_empty() && bundle.governed.cache_default.is_none() {
        return Decision::default();
    }
    let header_of = |name: &str| request.get(name).and_then(|value| value.to_str().ok());
    let facts = RequestFacts {
        kind,
        model,
        header: &header_of,
        now,
    };
    cache_rule::decide(header, rules, bundle.governed.cache_default, &facts)
}

/// The edits of a caller's own body for a provider that reads its dialect.
pub(crate) fn edits(mode: CacheMode, surface: Surface, lane: &Lane, body: &[u8]) -> Edits {
    // Of those who speak the Messages API, only these are known to take markers.
    let takes_markers = matches!(
        lane.kind,
        LaneKind::Anthropic | LaneKind::Bedrock | LaneKind::Vertex
    );
    match mode {
        CacheMode::Respect => Edits::default(),
        // OpenAI caches by itself: there is nothing to take out.
        CacheMode::Disable if matches!(lane.kind, LaneKind::OpenAi | LaneKind::Azure) => {
            Edits::default()
        }
        CacheMode::Disable => cache::disable(surface, body),
        CacheMode::Force { .. } | CacheMode::Auto
            if surface != Surface::Messages || !takes_markers =>
        {
            Edits::default()
        }
        CacheMode::Force { ttl } => cache::force(body, ttl),
        CacheMode::Auto => cache::auto(body),
    }
}

/// What of a mode makes sense for a body that is written anew in `to`: nothing is marked for a provider
/// that takes no markers, and [`CacheMode::Auto`] is for `claude` alone.
pub(crate) const fn written(mode: CacheMode, to: Dialect, claude: bool) -> CacheMode {
    let takes_markers = matches!(to, Dialect::Messages | Dialect::Converse);
    match mode {
        CacheMode::Respect | CacheMode::Disable => mode,
        CacheMode::Force { .. } if takes_markers => mode,
        CacheMode::Auto if takes_markers && claude => mode,
        CacheMode::Force { .. } | CacheMode::Auto => CacheMode::Respect,
    }
}

/// What the writer of a translated body is told, of a mode that was [`written`]. Bodies of the Messages API
/// are edited before they are read.
pub(crate) fn wish(mode: CacheMode, from: Dialect, body: &[u8]) -> CacheWish {
    if from == Dialect::Messages {
        return CacheWish::None;
    }
    match mode {
        CacheMode::Respect => CacheWish::None,
        CacheMode::Disable => CacheWish::Strip,
        CacheMode::Force { ttl } => CacheWish::Force { ttl },
        CacheMode::Auto if body.len() >= cache::AUTO_FROM_BYTES && !cache::has_marker(body) => {
            CacheWish::Force { ttl: None }
        }
        CacheMode::Auto => CacheWish::None,
    }
}

/// `X-LangWatch-Cache` of an answer (data-plane 14.5).
pub(crate) const fn outcome(mode: CacheMode, read: bool) -> &'static str {
    match mode {
        CacheMode::Disable => "bypass",
        _ if read => "hit",
        CacheMode::Force { .. } => "force",
        _ => "miss",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_marked_for_whoever_takes_no_markers() {
        let force = CacheMode::Force { ttl: Some(60) };
        for to in [Dialect::Chat, Dialect::Responses, Dialect::Gemini] {
            for mode in [force, CacheMode::Auto] {
                assert_eq!(written(mode, to, false), CacheMode::Respect, "{to:?}");
            }
            // A cache that a body names is taken out for everybody.
            assert_eq!(written(CacheMode::Disable, to, false), CacheMode::Disable);
        }
        for to in [Dialect::Messages, Dialect::Converse] {
            assert_eq!(written(force, to, false), force);
            assert_eq!(written(CacheMode::Auto, to, true), CacheMode::Auto);
            assert_eq!(written(CacheMode::Auto, to, false), CacheMode::Respect);
        }
    }
}
