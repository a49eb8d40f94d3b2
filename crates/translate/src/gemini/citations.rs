//! Sources: Google's grounding and citation metadata, read and written.
//!
//! Google counts bytes of the text, everybody else characters.

use serde_json::value::RawValue;

use crate::ir::Citation;
use crate::json::{self, Obj, Object};

/// The sources that a candidate names. `text` is the text that they are of.
pub(super) fn read(candidate: &Object<'_>, text: &str) -> Vec<Citation> {
    let mut found = Vec::new();
    if let Some(metadata) = inner(candidate, "groundingMetadata") {
        grounding(&metadata, text, &mut found);
    }
    let metadata = inner(candidate, "citationMetadata");
    let sources = metadata.and_then(|metadata| {
        let list = metadata
            .get("citationSources")
            .or_else(|| metadata.get("citations"));
        json::list(list?, "").ok()
    });
    for source in sources.into_iter().flatten() {
        if let Ok(source) = Object::read(source, "") {
            found.push(Citation {
                url: string(&source, "uri"),
                title: string(&source, "title"),
                cited_text: None,
                span: span(&source, text),
            });
        }
    }
    found
}

/// Each support of the text is a source at a place; sources without support are named without one.
fn grounding(metadata: &Object<'_>, text: &str, found: &mut Vec<Citation>) {
    let list = |key: &str| -> Vec<&RawValue> {
        let raw = metadata.get(key);
        raw.and_then(|raw| json::list(raw, "").ok())
            .unwrap_or_default()
    };
    let sources: Vec<Option<Citation>> = list("groundingChunks").into_iter().map(chunk).collect();
    let mut used = vec![false; sources.len()];
    for support in list("groundingSupports") {
        let Ok(support) = Object::read(support, "") else {
            continue;
        };
        let span = inner(&support, "segment").and_then(|segment| span(&segment, text));
        let indices: Vec<usize> = support
            .get("groundingChunkIndices")
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        for index in indices {
            if let (Some(Some(source)), Some(used)) = (sources.get(index), used.get_mut(index)) {
                *used = true;
                found.push(Citation {
                    span,
                    ..source.clone()
                });
            }
        }
    }
    let unused = sources.into_iter().zip(used).filter(|(_, used)| !used);
    found.extend(unused.filter_map(|(source, _)| source));
}

fn chunk(raw: &RawValue) -> Option<Citation> {
    let chunk = Object::read(raw, "").ok()?;
    let source = ["web", "retrievedContext", "maps"]
        .into_iter()
        .find_map(|key| inner(&chunk, key))?;
    Some(Citation {
        url: string(&source, "uri"),
        title: string(&source, "title"),
        cited_text: string(&source, "text"),
        span: None,
    })
}

fn inner<'a>(object: &Object<'a>, key: &str) -> Option<Object<'a>> {
    Object::read(object.get(key)?, "").ok()
}

fn string(object: &Object<'_>, key: &str) -> Option<String> {
    json::text(object.get(key)?).filter(|text| !text.is_empty())
}

/// The characters that a segment of bytes is. A start at 0 is left out by Google.
fn span(segment: &Object<'_>, text: &str) -> Option<(u64, u64)> {
    let number = |key: &str| segment.get(key)?.get().parse::<usize>().ok();
    let (start, end) = (number("startIndex").unwrap_or(0), number("endIndex")?);
    let characters = |bytes: usize| {
        let count = text.get(..bytes)?.chars().count();
        u64::try_from(count).ok()
    };
    Some((characters(start)?, characters(end)?))
}

/// A source in Google's words. `text` is the text that the span counts in, `before` the bytes of text
/// before it in the answer.
pub(super) fn write(citation: &Citation, text: &str, before: usize) -> String {
    let Citation {
        url,
        title,
        cited_text: _,
        span,
    } = citation;
    let bytes = |characters: u64| {
        let characters = usize::try_from(characters).ok()?;
        let at = text.char_indices().map(|(at, _)| at);
        at.chain([text.len()]).nth(characters).map(|at| before + at)
    };
    let span = span.and_then(|(start, end)| Some((bytes(start)?, bytes(end)?)));
    Obj::new()
        .num_if("startIndex", span.map(|(start, _)| start))
        .num_if("endIndex", span.map(|(_, end)| end))
        .str_if("uri", url.as_deref())
        .str_if("title", title.as_deref())
        .end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, text: &str) -> Vec<Citation> {
        let raw = json::raw(json.to_owned());
        read(&Object::read(&raw, "").expect("an object"), text)
    }

    fn source(url: &str, span: Option<(u64, u64)>) -> Citation {
        Citation {
            url: Some(url.to_owned()),
            title: Some("t".to_owned()),
            cited_text: None,
            span,
        }
    }

    #[test]
    fn supports_give_sources_their_places_in_characters() {
        let json = r#"{"groundingMetadata":{
            "groundingChunks":[{"web":{"uri":"a","title":"t"}},{"web":{"uri":"b","title":"t"}},{"odd":{}}],
            "groundingSupports":[{"segment":{"endIndex":3,"text":"äx"},"groundingChunkIndices":[0,7,2]},
                {"segment":{"startIndex":1,"endIndex":3},"groundingChunkIndices":[0]}, 5]}}"#;
        assert_eq!(
            of(json, "äxy"),
            [
                source("a", Some((0, 2))),
                // The middle of a character is no place.
                source("a", None),
                source("b", None)
            ]
        );
    }

    #[test]
    fn a_source_comes_back_as_it_was_written() {
        let citation = source("https://example.com", Some((1, 3)));
        let written = write(&citation, "äöx", 0);
        assert_eq!(
            written,
            r#"{"startIndex":2,"endIndex":5,"uri":"https://example.com","title":"t"}"#
        );
        let json = format!(r#"{{"citationMetadata":{{"citationSources":[{written}]}}}}"#);
        assert_eq!(of(&json, "äöx"), [citation]);
        assert!(write(&source("u", Some((0, 9))), "x", 4).starts_with(r#"{"uri""#));
    }
}
