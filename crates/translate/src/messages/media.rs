//! Pictures and documents as Messages has them.

use data_encoding::{BASE64, BASE64_NOPAD};

use crate::drops::Drops;
use crate::ir::{CacheMarker, Media, Source};
use crate::json::Obj;
use crate::{Dialect, Problem};

/// The beta that files at the provider need.
const FILES: &str = "files-api-2025-04-14";

/// How a caller spells media in messages to it.
const fn spelled(from: Dialect, what: Kind) -> &'static str {
    match (from, what) {
        (Dialect::Chat, Kind::Image) => "image_url",
        (Dialect::Chat, Kind::Document) => "file",
        (Dialect::Responses, Kind::Image) => "input_image",
        (Dialect::Responses, Kind::Document) => "input_file",
        (Dialect::Gemini, _) => "inlineData",
        (Dialect::Chat | Dialect::Responses, Kind::Audio) => "input_audio",
        (_, Kind::Image) => "image",
        (_, Kind::Document) => "document",
        (_, Kind::Audio) => "audio",
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Image,
    Document,
    Audio,
}

/// `cache_control`.
pub(super) fn cache(marker: Option<CacheMarker>) -> Option<&'static str> {
    marker.map(|CacheMarker { one_hour }| {
        if one_hour {
            r#"{"type":"ephemeral","ttl":"1h"}"#
        } else {
            r#"{"type":"ephemeral"}"#
        }
    })
}

/// Writes media; what the provider cannot see is refused.
pub(super) struct Writer<'a> {
    pub(super) from: Dialect,
    pub(super) drops: &'a Drops,
    /// Gets the betas that are needed.
    pub(super) betas: &'a mut Vec<String>,
}

impl Writer<'_> {
    /// A block `image`.
    pub(super) fn image(&mut self, media: &Media) -> Result<String, Problem> {
        let source = match &media.source {
            Source::Inline { media_type, data } => base64(usual(media_type), data),
            Source::Url(url) => self.url(url, Kind::Image)?,
            Source::File(id) => self.file(id, Kind::Image)?,
            Source::Text(_) => {
                return Err(self.refuse(Kind::Image, "text is not a picture"));
            }
        };
        let block = Obj::new().str("type", "image").raw("source", &source);
        Ok(block.raw_if("cache_control", cache(media.cache)).end())
    }

    /// A block `document`, or `image` for a picture that came as a file.
    pub(super) fn document(&mut self, media: &Media) -> Result<String, Problem> {
        let source = match &media.source {
            Source::Inline { media_type, .. } if media_type.starts_with("image/") => {
                return self.image(media);
            }
            Source::Inline { media_type, data } if media_type == "application/pdf" => {
                base64(media_type, data)
            }
            Source::Inline { media_type, data } => {
                let text = is_text(media_type).then(|| decode(data)).flatten();
                let Some(text) = text else {
                    let why = format!("documents of type {media_type} are not taken");
                    return Err(self.refuse(Kind::Document, &why));
                };
                plain(&text)
            }
            Source::Text(text) => plain(text),
            Source::Url(url) => self.url(url, Kind::Document)?,
            Source::File(id) => self.file(id, Kind::Document)?,
        };
        let citations = media.citations.then_some(r#"{"enabled":true}"#);
        Ok(Obj::new()
            .str("type", "document")
            .raw("source", &source)
            .str_if("title", media.name.as_deref())
            .raw_if("citations", citations)
            .raw_if("cache_control", cache(media.cache))
            .end())
    }

    /// Sound is not heard.
    pub(super) fn audio(&self) -> Problem {
        self.refuse(Kind::Audio, "the model does not take sound")
    }

    fn url(&self, url: &str, kind: Kind) -> Result<String, Problem> {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(self.refuse(kind, "the provider fetches addresses of the web only"));
        }
        Ok(Obj::new().str("type", "url").str("url", url).end())
    }

    fn file(&mut self, id: &str, kind: Kind) -> Result<String, Problem> {
        // Files of other vendors have other ids.
        if !id.starts_with("file_") {
            return Err(self.refuse(kind, "the provider does not have that file"));
        }
        self.betas.push(FILES.to_owned());
        Ok(Obj::new().str("type", "file").str("file_id", id).end())
    }

    fn refuse(&self, kind: Kind, why: &str) -> Problem {
        let remedy = "send it in another form, or use another model";
        self.drops.refuse(spelled(self.from, kind), why, remedy)
    }
}

fn base64(media_type: &str, data: &str) -> String {
    Obj::new()
        .str("type", "base64")
        .str("media_type", media_type)
        .str("data", data)
        .end()
}

fn plain(text: &str) -> String {
    Obj::new()
        .str("type", "text")
        .str("media_type", "text/plain")
        .str("data", text)
        .end()
}

/// The name that the provider knows a picture's type by.
fn usual(media_type: &str) -> &str {
    match media_type {
        "image/jpg" => "image/jpeg",
        other => other,
    }
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || matches!(
            media_type,
            "application/json" | "application/xml" | "application/yaml" | "application/javascript"
        )
}

fn decode(data: &str) -> Option<String> {
    let bytes = BASE64
        .decode(data.as_bytes())
        .or_else(|_| BASE64_NOPAD.decode(data.as_bytes()));
    String::from_utf8(bytes.ok()?).ok()
}
