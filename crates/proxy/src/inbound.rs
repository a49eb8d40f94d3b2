//! Reading a request: its body, undone compression, and the few fields that decide.

use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use lw_core::{Code, Error};
use lw_engine::resolve::ModelSource;
use lw_wire::envelope::{Envelope, EnvelopeError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

use crate::worker::{BytePermit, Gateway};

/// How long a caller may pause in the middle of its body.
const BODY_PAUSE: Duration = Duration::from_secs(60);
/// How long a caller may take for the whole of it.
const BODY_TOTAL: Duration = Duration::from_secs(600);

/// A request body and what was read from it, kept for the record.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// The body, compression undone.
    pub(crate) body: Bytes,
    /// The model as sent.
    pub(crate) model: Option<String>,
    /// How the name was read.
    pub(crate) source: Option<ModelSource>,
    /// `stream: true`.
    pub(crate) stream: bool,
    /// `user`, cleaned.
    pub(crate) user: Option<String>,
    /// The session that the body names.
    pub(crate) session: Option<String>,
    /// Sampling parameters.
    pub(crate) parameters: Vec<(String, String)>,
    /// What the path says, where the model stands in it.
    pub(crate) addressed: Option<Addressed>,
    /// The body's share of the bytes in flight.
    #[expect(dead_code, reason = "held for its drop")]
    permit: Option<BytePermit>,
}

/// A model and a method in a path (Gemini).
#[derive(Debug, Clone)]
pub(crate) struct Addressed {
    /// The model as sent.
    pub(crate) model: String,
    /// The method behind the colon.
    pub(crate) method: String,
}

impl Addressed {
    /// Whether the method answers with a stream.
    pub(crate) fn streams(&self) -> bool {
        self.method.starts_with("stream")
    }
}

impl Inbound {
    /// Keeps what the record shows of an envelope.
    pub(crate) fn new(body: Bytes, permit: BytePermit) -> Self {
        Self {
            body,
            permit: Some(permit),
            ..Self::default()
        }
    }

    /// Lets the body and its share of the bytes in flight go; what it said stays.
    pub(crate) fn without_body(self) -> Self {
        Self {
            body: Bytes::new(),
            permit: None,
            ..self
        }
    }

    /// Notes what the envelope says.
    pub(crate) fn note(&mut self, envelope: &Envelope<'_>) {
        let named = envelope.model.as_ref();
        match &self.addressed {
            Some(addressed) => {
                self.model = Some(addressed.model.clone());
                self.stream = addressed.streams();
            }
            None => {
                self.model = named.map(|(model, _)| model.clone().into_owned());
                self.stream = envelope.stream;
            }
        }
        self.user = envelope
            .user
            .as_deref()
            .and_then(crate::attribution::clean_user);
        self.session.clone_from(&envelope.session);
        self.parameters = envelope
            .parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    }
}

/// Refuses a declared length over the cap, before anything else is looked at (data-plane 4.1).
pub(crate) fn check_length(headers: &HeaderMap, most: usize) -> Result<(), Error> {
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        Err(too_large(most))
    } else {
        Ok(())
    }
}

fn too_large(most: usize) -> Error {
    Error::new(
        Code::PayloadTooLarge,
        format!("the request body is larger than {most} bytes"),
    )
    .with("limit_bytes", most)
}

fn crowded() -> Error {
    Error::new(
        Code::Overloaded,
        "the gateway holds as many request bytes as it may; try again",
    )
    .retry_after(1)
}

/// Reads the body and undoes its compression.
pub(crate) async fn read(
    gateway: &Gateway,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<(Bytes, BytePermit), Error> {
    let most = gateway.settings.max_body_bytes;
    let encodings = encodings(headers)?;
    let (body, mut permit) = collect(gateway, incoming, most).await?;
    if encodings.is_empty() {
        return Ok((body, permit));
    }
    // Inflating may take milliseconds: not on a data thread.
    let inflating = tokio::task::spawn_blocking(move || {
        let inflated = inflate(body, &encodings, most, |more| permit.grow(more))?;
        permit.shrink_to(inflated.len());
        Ok((inflated, permit))
    });
    inflating.await.map_err(|error| {
        Error::new(Code::InternalError, "the body could not be read").because(error)
    })?
}

async fn collect(
    gateway: &Gateway,
    mut incoming: Incoming,
    most: usize,
) -> Result<(Bytes, BytePermit), Error> {
    let declared = incoming
        .size_hint()
        .exact()
        .and_then(|length| usize::try_from(length).ok());
    let mut permit = gateway.bytes.take(0).ok_or_else(crowded)?;
    let deadline = Instant::now() + BODY_TOTAL;
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    let mut length = 0_usize;
    loop {
        let frame =
            match timeout_at(deadline.min(Instant::now() + BODY_PAUSE), incoming.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    return Err(
                        Error::new(Code::BadRequest, "the request body broke off").because(error)
                    );
                }
                Ok(None) => break,
                Err(_) => {
                    return Err(Error::new(
                        Code::BadRequest,
                        "the request body did not come in time",
                    ));
                }
            };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length > most {
            return Err(too_large(most));
        }
        if !permit.grow(data.len()) {
            return Err(crowded());
        }
        // Most bodies come in one piece and are kept as it is.
        match &mut rest {
            None if first.is_empty() => first = data,
            None => {
                let mut whole = BytesMut::with_capacity(declared.unwrap_or(0).max(length * 2));
                whole.extend_from_slice(&first);
                whole.extend_from_slice(&data);
                rest = Some(whole);
            }
            Some(whole) => whole.extend_from_slice(&data),
        }
        if incoming.is_end_stream() {
            break;
        }
    }
    Ok((rest.map_or(first, BytesMut::freeze), permit))
}

/// A content coding that can be undone (data-plane 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings in the order in which they were applied.
fn encodings(headers: &HeaderMap) -> Result<Vec<Encoding>, Error> {
    let mut found = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let text = value.to_str().unwrap_or("?");
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            found.push(match name.to_ascii_lowercase().as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Encoding::Gzip,
                "deflate" => Encoding::Deflate,
                "br" => Encoding::Brotli,
                "zstd" => Encoding::Zstd,
                _ => {
                    return Err(Error::new(
                        Code::BadRequest,
                        format!("the content encoding `{name}` is not supported"),
                    )
                    .at("Content-Encoding")
                    .tip("Use gzip, deflate, br, zstd or none."));
                }
            });
        }
    }
    if found.len() > 4 {
        return Err(Error::new(
            Code::BadRequest,
            "the body is encoded more than four times",
        ));
    }
    Ok(found)
}

/// Undoes `encodings`, the last one first. `room` is asked for every piece before it is kept.
fn inflate(
    body: Bytes,
    encodings: &[Encoding],
    most: usize,
    mut room: impl FnMut(usize) -> bool,
) -> Result<Bytes, Error> {
    let damaged = |error: std::io::Error| {
        Error::new(Code::BadRequest, "the compressed request body is damaged").because(error)
    };
    let mut body = body;
    for encoding in encodings.iter().rev() {
        let mut decoder: Box<dyn std::io::Read> = match encoding {
            Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(&body[..])),
            Encoding::Deflate => Box::new(flate2::read::ZlibDecoder::new(&body[..])),
            Encoding::Brotli => Box::new(brotli_decompressor::Decompressor::new(&body[..], 4_096)),
            Encoding::Zstd => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(&body[..]);
                Box::new(decoder.map_err(|error| damaged(std::io::Error::other(error)))?)
            }
        };
        let mut out = Vec::new();
        loop {
            let before = out.len();
            let piece = decoder
                .by_ref()
                .take(256 * 1024)
                .read_to_end(&mut out)
                .map_err(damaged)?;
            if piece == 0 {
                break;
            }
            if out.len() > most {
                return Err(too_large(most));
            }
            if !room(out.len() - before) {
                return Err(crowded());
            }
        }
        drop(decoder);
        body = out.into();
    }
    Ok(body)
}

/// Turns an unreadable body into the caller's error.
pub(crate) fn unreadable(error: &EnvelopeError) -> Error {
    let answer = Error::new(Code::BadRequest, error.to_string());
    match error {
        EnvelopeError::NotAnObject(_) => answer,
        EnvelopeError::Duplicate(key) => answer.at(*key),
        EnvelopeError::ModelNotText => answer.at("model"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::io::Write as _;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn codings_are_undone_in_reverse_order() {
        let mut headers = HeaderMap::new();
        headers.append(
            CONTENT_ENCODING,
            HeaderValue::from_static("deflate, X-GZip"),
        );
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("identity"));
        let found = encodings(&headers).expect("known codings");
        assert_eq!(found, [Encoding::Deflate, Encoding::Gzip]);
        let body = gzip(&zlib(b"hello"));
        assert_eq!(
            inflate(body.into(), &found, 100, |_| true).expect("a body"),
            "hello"
        );
        let zstd = ruzstd::encoding::compress_to_vec(
            &b"hello"[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        assert_eq!(
            inflate(zstd.into(), &[Encoding::Zstd], 100, |_| true).expect("a body"),
            "hello"
        );
    }

    #[test]
    fn damage_and_bombs_are_refused() {
        for encoding in [
            Encoding::Gzip,
            Encoding::Deflate,
            Encoding::Brotli,
            Encoding::Zstd,
        ] {
            let error = inflate(
                Bytes::from_static(b"\xff\xfe\xfdnonsense"),
                &[encoding],
                100,
                |_| true,
            );
            assert_eq!(
                error.expect_err("damage").code(),
                Code::BadRequest,
                "{encoding:?}"
            );
        }
        let mut cut = gzip(&[b'x'; 1000]);
        cut.truncate(cut.len() - 9);
        assert!(inflate(cut.into(), &[Encoding::Gzip], 10_000, |_| true).is_err());
        let bomb = gzip(&vec![0; 1_000_000]);
        let error = inflate(bomb.into(), &[Encoding::Gzip], 1_000, |_| true).expect_err("a bomb");
        assert_eq!(error.code(), Code::PayloadTooLarge);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("lzma"));
        assert!(
            encodings(&headers)
                .expect_err("unknown")
                .message()
                .contains("lzma")
        );
    }
}
