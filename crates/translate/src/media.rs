//! Data URIs and media types, shared by the dialects.

use crate::ir::Source;

/// Reads what stands in an OpenAI `url`: a base64 data URI is inline, anything else an address.
#[must_use]
pub fn source_of(url: &str) -> Source {
    let inline = url.strip_prefix("data:").and_then(|rest| {
        let (head, data) = rest.split_once(',')?;
        let media_type = head.strip_suffix(";base64")?;
        let media_type = media_type.split(';').next().unwrap_or_default();
        Some(Source::Inline {
            media_type: if media_type.is_empty() {
                "text/plain"
            } else {
                media_type
            }
            .to_owned(),
            data: data.to_owned(),
        })
    });
    inline.unwrap_or_else(|| Source::Url(url.to_owned()))
}

/// A base64 data URI.
#[must_use]
pub fn data_uri(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

/// The short name of a media type, as Converse wants it: `image/jpeg` is `jpeg`, `text/plain` is `txt`.
#[must_use]
pub fn format_of(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/png" => "png",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/plain" => "txt",
        "text/markdown" => "md",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_uri_is_inline_and_everything_else_an_address() {
        assert_eq!(
            source_of("data:image/png;base64,AAA="),
            Source::Inline {
                media_type: "image/png".to_owned(),
                data: "AAA=".to_owned()
            }
        );
        assert_eq!(data_uri("image/png", "AAA="), "data:image/png;base64,AAA=");
        for url in ["https://x/y.png", "data:text/plain,hello", "data:"] {
            assert_eq!(source_of(url), Source::Url(url.to_owned()));
        }
    }
}
