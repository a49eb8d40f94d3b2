//! Frames of `application/vnd.amazon.eventstream`, read as they arrive.
//!
//! [`Decoder`] cuts the stream into frames and checks each one's length and its first checksum before
//! it waits for the rest, so that a damaged length cannot make it wait or collect megabytes; the
//! vendor's crate reads what is within. After an error nothing more comes: where the next frame begins
//! is unknown. Never panics on any bytes. Start at [`Decoder::next`].

use aws_smithy_eventstream::frame::read_message_from;
use bytes::{Bytes, BytesMut};

/// Largest frame, with its framing.
pub const LONGEST_FRAME: usize = 16 * 1024 * 1024;
/// Total length, length of the headers, checksum of the two.
const PRELUDE: usize = 12;
/// A frame without headers and payload: the prelude and the checksum of the whole.
const SHORTEST_FRAME: usize = PRELUDE + 4;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A part of the answer.
    Event,
    /// The end of the answer by an error that the API describes; the payload is its JSON.
    Exception,
    /// The end of the answer by an error that it does not describe; the payload is its message.
    Error,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// `:event-type`, `:exception-type` or `:error-code`.
    pub name: Box<str>,
    /// JSON of an event or exception. Of an error, the text of `:error-message` unless it has a
    /// payload.
    pub payload: Bytes,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame says that it is larger than [`LONGEST_FRAME`].
    #[error("a frame of the event stream is larger than 16 MiB")]
    TooLarge,
    /// A checksum does not fit, or the lengths contradict each other.
    #[error("a frame of the event stream is damaged")]
    Damaged,
    /// The headers do not say what the frame is.
    #[error("a frame of the event stream does not say what it is")]
    Nameless,
    /// The stream ended within a frame.
    #[error("the event stream ended within a frame")]
    Cut,
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    waiting: BytesMut,
    /// Total length of the frame at the front, once its prelude was checked.
    length: Option<usize>,
    failed: bool,
}

impl Decoder {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream, however they are cut.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.waiting.extend_from_slice(bytes);
        }
    }

    /// The next whole frame that is there; `None` when there is none, and always after an error.
    /// `initial-response` frames are passed over.
    #[expect(
        clippy::should_implement_trait,
        reason = "it goes on after None, when more bytes were pushed"
    )]
    pub fn next(&mut self) -> Option<Result<Frame, FrameError>> {
        while !self.failed {
            let read = match self.cut() {
                Ok(None) => return None,
                Ok(Some(bytes)) => read(bytes),
                Err(error) => Err(error),
            };
            match read {
                Ok(frame)
                    if frame.kind == FrameKind::Event && &*frame.name == "initial-response" => {}
                Ok(frame) => return Some(Ok(frame)),
                Err(error) => {
                    self.failed = true;
                    self.waiting = BytesMut::new();
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// Call it when the stream has ended and [`Decoder::next`] brings no more.
    ///
    /// # Errors
    /// [`FrameError::Cut`] when bytes of an unfinished frame are left. A stream that already brought an
    /// error brings no second one.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.waiting.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Cut)
        }
    }

    /// The bytes of the frame at the front, once all of them are there.
    fn cut(&mut self) -> Result<Option<Bytes>, FrameError> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(prelude) = self.waiting.first_chunk() else {
                    return Ok(None);
                };
                let length = total_length(prelude)?;
                self.length = Some(length);
                length
            }
        };
        if self.waiting.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.waiting.split_to(length).freeze()))
    }
}

/// Reads and checks a prelude.
fn total_length(prelude: &[u8; PRELUDE]) -> Result<usize, FrameError> {
    let (lengths, checksum) = prelude.split_at(8);
    let word = |bytes: &[u8]| bytes.first_chunk().map(|word| u32::from_be_bytes(*word));
    if word(checksum) != Some(crc32fast::hash(lengths)) {
        return Err(FrameError::Damaged);
    }
    let length = word(lengths)
        .and_then(|length| usize::try_from(length).ok())
        .ok_or(FrameError::Damaged)?;
    match length {
        0..SHORTEST_FRAME => Err(FrameError::Damaged),
        SHORTEST_FRAME..=LONGEST_FRAME => Ok(length),
        _ => Err(FrameError::TooLarge),
    }
}

/// Reads the bytes of one frame.
fn read(bytes: Bytes) -> Result<Frame, FrameError> {
    let message = read_message_from(bytes).map_err(|_| FrameError::Damaged)?;
    let text = |name: &str| {
        message
            .headers()
            .iter()
            .find(|header| header.name().as_str() == name)
            .and_then(|header| header.value().as_string().ok())
    };
    let (kind, name) = match text(":message-type").map(|text| text.as_str()) {
        Some("event") => (FrameKind::Event, ":event-type"),
        Some("exception") => (FrameKind::Exception, ":exception-type"),
        Some("error") => (FrameKind::Error, ":error-code"),
        _ => return Err(FrameError::Nameless),
    };
    let name = text(name).ok_or(FrameError::Nameless)?.as_str().into();
    let mut payload = message.payload().clone();
    if kind == FrameKind::Error
        && payload.is_empty()
        && let Some(message) = text(":error-message")
    {
        payload = message.as_bytes().clone();
    }
    Ok(Frame {
        kind,
        name,
        payload,
    })
}

/// All that a whole stream holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The frames up to the end or the first error.
    pub frames: Vec<Frame>,
    /// How it ended.
    pub end: Result<(), FrameError>,
}

/// Decodes `stream` as if it arrived in pieces of `size` bytes (at least one). The size must make no
/// difference; that is what fuzzers and tests ask.
#[must_use]
pub fn decode(stream: &[u8], size: usize) -> Decoded {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    for piece in stream.chunks(size.max(1)) {
        decoder.push(piece);
        while let Some(frame) = decoder.next() {
            match frame {
                Ok(frame) => frames.push(frame),
                Err(error) => {
                    return Decoded {
                        frames,
                        end: Err(error),
                    };
                }
            }
        }
    }
    Decoded {
        frames,
        end: decoder.finish(),
    }
}

#[cfg(test)]
mod tests;
