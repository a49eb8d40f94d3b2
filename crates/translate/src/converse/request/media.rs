//! Pictures and documents.

use data_encoding::BASE64;

use crate::Problem;
use crate::drops::Drops;
use crate::ir::{Media, Source};
use crate::json::Obj;
use crate::media::format_of;
use crate::models::Family;

/// Longest name of a document.
const LONGEST_NAME: usize = 200;

/// A picture.
///
/// # Errors
/// Bedrock does not take its format, or it is only named and not there.
pub(super) fn image(image: &Media, drops: &Drops) -> Result<String, Problem> {
    let refuse = |why: &str, remedy: &str| drops.refuse("image", why, remedy);
    let (format, source) = match &image.source {
        Source::Inline { media_type, data } => {
            let format = short(media_type).filter(|format| is_picture(format));
            let Some(format) = format else {
                return Err(refuse(
                    &format!("Bedrock does not take pictures of type {media_type}"),
                    "send it as PNG, JPEG, GIF or WebP",
                ));
            };
            (format, Obj::new().str("bytes", data))
        }
        Source::Url(url) if url.starts_with("s3://") => {
            let format = by_ending(url).filter(|format| is_picture(format));
            (format.unwrap_or("png"), s3(url))
        }
        Source::Url(_) => {
            return Err(refuse(
                "Bedrock does not fetch pictures",
                "send it as base64",
            ));
        }
        Source::Text(_) | Source::File(_) => {
            return Err(refuse("Bedrock keeps no files", "send it as base64"));
        }
    };
    let body = Obj::new()
        .str("format", format)
        .raw("source", &source.end());
    Ok(Obj::new().raw("image", &body.end()).end())
}

/// A document, under a name that no other one in the request has.
///
/// # Errors
/// Bedrock does not take its format, or it is only named and not there.
pub(super) fn document(
    document: &Media,
    family: Family,
    names: &mut Names,
    drops: &Drops,
) -> Result<String, Problem> {
    let refuse = |why: &str, remedy: &str| drops.refuse("file", why, remedy);
    let named = document.name.as_deref();
    let (format, source) = match &document.source {
        Source::Inline { media_type, data } => {
            let format = short(media_type)
                .or_else(|| named.and_then(by_ending))
                .filter(|format| !is_picture(format));
            let Some(format) = format else {
                return Err(refuse(
                    &format!("Bedrock does not take documents of type {media_type}"),
                    "send it as PDF or plain text",
                ));
            };
            (format, Obj::new().str("bytes", data))
        }
        Source::Text(text) => {
            let data = BASE64.encode(text.as_bytes());
            ("txt", Obj::new().str("bytes", &data))
        }
        Source::Url(url) if url.starts_with("s3://") => {
            let format = by_ending(url).filter(|format| !is_picture(format));
            (format.unwrap_or("pdf"), s3(url))
        }
        Source::Url(_) => {
            return Err(refuse(
                "Bedrock does not fetch documents",
                "send it as base64",
            ));
        }
        Source::File(_) => {
            return Err(refuse("Bedrock keeps no files", "send it as base64"));
        }
    };
    let mut body = Obj::new()
        .str("format", format)
        .str("name", &names.take(named))
        .raw("source", &source.end());
    if document.citations && family.is_claude() {
        body = body.raw("citations", r#"{"enabled":true}"#);
    }
    Ok(Obj::new().raw("document", &body.end()).end())
}

/// The refusal of sound.
pub(super) fn no_audio(drops: &Drops) -> Problem {
    drops.refuse(
        "input_audio",
        "Bedrock takes no sound",
        "send a transcript, or use another model",
    )
}

fn s3(url: &str) -> Obj {
    Obj::new().raw("s3Location", &Obj::new().str("uri", url).end())
}

/// The short name of a media type, however it is written (`Image/PNG; q=1`).
fn short(media_type: &str) -> Option<&'static str> {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    format_of(&bare.to_ascii_lowercase())
}

fn is_picture(format: &str) -> bool {
    matches!(format, "png" | "jpeg" | "gif" | "webp")
}

/// The short name that a file's ending tells.
fn by_ending(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "png",
        "jpg" | "jpeg" => "jpeg",
        "gif" => "gif",
        "webp" => "webp",
        "pdf" => "pdf",
        "csv" => "csv",
        "doc" => "doc",
        "docx" => "docx",
        "xls" => "xls",
        "xlsx" => "xlsx",
        "html" | "htm" => "html",
        "txt" => "txt",
        "md" => "md",
        _ => return None,
    })
}

/// Names that documents have in one request.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// A name of letters, digits, single spaces, hyphens, parentheses and brackets that is not taken yet.
    fn take(&mut self, wanted: Option<&str>) -> String {
        let clean = clean(wanted.unwrap_or_default());
        let base = if clean.is_empty() { "document" } else { &clean };
        let mut name = base.to_owned();
        let mut count = 1_u32;
        while self.0.contains(&name) {
            count += 1;
            name = format!("{base} ({count})");
        }
        self.0.push(name.clone());
        name
    }
}

fn clean(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let spaced: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { ' ' })
        .collect();
    let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
    // Room for a number behind it. All is ASCII by now.
    let mut clean = words.join(" ");
    clean.truncate(LONGEST_NAME - 20);
    clean.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn documents_get_clean_names_of_their_own() {
        let mut names = Names::default();
        assert_eq!(names.take(Some("report.pdf")), "report pdf");
        assert_eq!(names.take(Some("report..pdf")), "report pdf (2)");
        assert_eq!(names.take(Some("Ünï/cøde")), "n c de");
        assert_eq!(names.take(None), "document");
        assert_eq!(names.take(Some("???")), "document (2)");
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_bedrock_takes(
            wanted in prop::collection::vec(prop::option::of(".{0,300}"), 1..6),
        ) {
            let mut names = Names::default();
            for name in &wanted {
                let name = names.take(name.as_deref());
                prop_assert!((1..=200).contains(&name.len()));
                prop_assert!(!name.contains("  "));
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || " -()[]".contains(c)));
            }
            let mut all = names.0.clone();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), wanted.len());
        }
    }
}
