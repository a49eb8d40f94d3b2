//! What the gateway does about prompt caches on its way to another dialect (data-plane 14.2, 14.3).
//!
//! On a native lane the caller's bytes are edited ([`lw_wire::cache`]); here it is done to the neutral
//! form, before it is written. Must never give a marker to a provider that has none to place. Start at
//! [`CacheWish`].

use lw_wire::cache::{Lifetime, MOST_BREAKPOINTS};

use crate::Dialect;
use crate::ir::{CacheMarker, Part, Request, Role, Tool, Turn};

/// What is wished for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheWish {
    /// What the caller wrote.
    #[default]
    None,
    /// No marker, and no cache by name.
    Strip,
    /// A marker at the end of the prompt, if there is none and the provider takes markers.
    Force {
        /// How long the provider shall keep it, in seconds; `None` leaves it to the provider.
        ttl: Option<u32>,
    },
}

/// Fulfils the wish of a request that is about to be written for a provider of the dialect `to`.
pub(crate) fn apply(request: &mut Request, to: Dialect) {
    match std::mem::take(&mut request.cache_wish) {
        CacheWish::None => {}
        CacheWish::Strip => strip(request),
        CacheWish::Force { ttl } => match to {
            Dialect::Messages | Dialect::Converse => force(request, ttl),
            Dialect::Chat | Dialect::Responses | Dialect::Gemini => {}
        },
    }
}

fn strip(request: &mut Request) {
    request.cache = None;
    request.take("cached_content");
    visit(request, &mut |marker| *marker = None);
}

/// Marks the whole prompt. Like on a native lane, a breakpoint has to be free, none is put beside the
/// caller's, and none outlives one before it.
fn force(request: &mut Request, ttl: Option<u32>) {
    if request.cache.is_some() || ends_marked(&request.turns) {
        return;
    }
    let mut markers: Vec<CacheMarker> = Vec::new();
    visit(request, &mut |marker| markers.extend(*marker));
    if markers.len() < MOST_BREAKPOINTS {
        let one_hour =
            Lifetime::of(ttl) == Lifetime::OneHour && markers.iter().all(|marker| marker.one_hour);
        request.cache = Some(CacheMarker { one_hour });
    }
}

/// Shows every place for a marker but that of the whole prompt.
fn visit(request: &mut Request, see: &mut dyn FnMut(&mut Option<CacheMarker>)) {
    for tool in &mut request.tools {
        if let Tool::Function(function) = tool {
            see(&mut function.cache);
        }
    }
    let turns = request.turns.iter_mut().map(|turn| &mut turn.parts);
    for parts in std::iter::once(&mut request.system).chain(turns) {
        visit_parts(parts, see);
    }
}

fn visit_parts(parts: &mut [Part], see: &mut dyn FnMut(&mut Option<CacheMarker>)) {
    for part in parts {
        if let Part::ToolResult(result) = part {
            visit_parts(&mut result.content, see);
        }
        if let Some(marker) = part.cache_mut() {
            see(marker);
        }
    }
}

/// Whether the block that is written last has a marker. Writers put tool results first in a turn of the
/// user, and calls last in one of the model.
fn ends_marked(turns: &[Turn]) -> bool {
    let Some(role) = turns.last().map(|turn| turn.role) else {
        return false;
    };
    let markers = |of_tools: bool| {
        let own = turns.iter().rev().take_while(move |turn| turn.role == role);
        own.flat_map(|turn| turn.parts.iter().rev())
            .filter(move |part| of_tools == is_of_tools(part) && !is_blank(part))
            .find_map(Part::cache)
    };
    let calls_last = role == Role::Assistant;
    let last = markers(calls_last).or_else(|| markers(!calls_last));
    last.is_some_and(|marker| marker.is_some())
}

/// Blank text is not written.
fn is_blank(part: &Part) -> bool {
    matches!(part, Part::Text(text) if text.text.trim().is_empty())
}

const fn is_of_tools(part: &Part) -> bool {
    matches!(part, Part::ToolCall(_) | Part::ToolResult(_))
}

#[cfg(test)]
mod tests;
