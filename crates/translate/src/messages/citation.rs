//! Citations: what a text block names as its sources.

use serde_json::value::RawValue;

use crate::ir::Citation;
use crate::json::{self, Obj, Object};

/// Reads one entry of `citations`. `None` when it names nothing that another dialect could show.
pub(super) fn read(raw: &RawValue) -> Option<Citation> {
    let mut entry = Object::read(raw, "citation").ok()?;
    let mut text = |key: &str| entry.take(key).and_then(json::text);
    let source = text("source").filter(|source| source.starts_with("http"));
    let citation = Citation {
        url: text("url").or(source),
        title: text("title").or_else(|| text("document_title")),
        cited_text: text("cited_text"),
        // The positions of Anthropic lie in the source, not in the text that cites.
        span: None,
    };
    let says_something = citation.url.is_some() || citation.title.is_some();
    says_something.then_some(citation)
}

/// Reads the list `citations` of a text block; what it does not know is passed over.
pub(super) fn read_all(raw: Option<&RawValue>) -> Vec<Citation> {
    let entries = raw.and_then(|raw| json::list(raw, "citations").ok());
    let entries = entries.unwrap_or_default();
    entries.into_iter().filter_map(read).collect()
}

/// Writes one. Only sources on the web can be written: the other kinds are positions in documents of the
/// request, which other vendors do not report.
pub(super) fn write(citation: &Citation) -> Option<String> {
    let Citation {
        url,
        title,
        cited_text,
        span: _,
    } = citation;
    let entry = Obj::new()
        .str("type", "web_search_result_location")
        .str("cited_text", cited_text.as_deref().unwrap_or_default())
        .str("url", url.as_deref()?);
    let entry = match title {
        Some(title) => entry.str("title", title),
        None => entry.raw("title", "null"),
    };
    Some(entry.str("encrypted_index", "").end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn every_kind_of_citation_is_read_and_web_sources_are_written() {
        let web = raw(
            r#"{"type":"web_search_result_location","url":"https://a.example/","title":"A",
                "encrypted_index":"Eo8B","cited_text":"words"}"#,
        );
        let citation = read(&web).expect("a citation");
        assert_eq!(citation.url.as_deref(), Some("https://a.example/"));
        assert_eq!(
            write(&citation).expect("written"),
            r#"{"type":"web_search_result_location","cited_text":"words","url":"https://a.example/","title":"A","encrypted_index":""}"#
        );
        let page = raw(
            r#"{"type":"page_location","document_index":0,"document_title":"report.pdf",
                "cited_text":"w","start_page_number":1,"end_page_number":2,"file_id":null}"#,
        );
        let page = read(&page).expect("a citation");
        assert_eq!(page.title.as_deref(), Some("report.pdf"));
        assert_eq!(write(&page), None);
        let search = raw(r#"{"type":"search_result_location","source":"https://b.example/"}"#);
        let search = read(&search).expect("a citation");
        assert_eq!(search.url.as_deref(), Some("https://b.example/"));
        assert_eq!(read(&raw("{}")), None);
        assert!(read_all(Some(&raw("7"))).is_empty());
    }
}
