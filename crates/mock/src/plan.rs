//! From the frames of a stream to what is handed to the socket, with the faults put in.
//!
//! Frames are made in full beforehand; this cuts them where a directive says so and joins them
//! where nobody can tell the difference. Start at [`plan`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::body::{Chunk, Ending};
use crate::conn::Kill;
use crate::directive::Directive;
use crate::frame::Frame;
use crate::request::words;

/// Frames that go out without a gap are joined up to this size.
const JOINED: usize = 64 * 1024;

/// One frame of a stream.
#[derive(Debug)]
pub(crate) struct Piece {
    wire: Wire,
    content: bool,
    text_bytes: u64,
    words: u64,
    usage: bool,
    /// Only the first half goes out.
    cut: bool,
}

#[derive(Debug)]
enum Wire {
    /// As it goes out.
    Text(String),
    /// A frame of an AWS event stream.
    Frame(Frame),
}

impl Piece {
    /// A frame without answer text.
    pub(crate) fn lead(bytes: String) -> Self {
        Self::plain(Wire::Text(bytes))
    }

    /// A frame of an AWS event stream, without answer text.
    pub(crate) fn frame(frame: Frame) -> Self {
        Self::plain(Wire::Frame(frame))
    }

    fn plain(wire: Wire) -> Self {
        Self {
            wire,
            content: false,
            text_bytes: 0,
            words: 0,
            usage: false,
            cut: false,
        }
    }

    /// A frame that carries this part of the answer.
    pub(crate) fn content(bytes: String, part: &str) -> Self {
        Self::lead(bytes).carrying(part)
    }

    /// The same, with this part of the answer in it.
    pub(crate) fn carrying(mut self, part: &str) -> Self {
        self.content = true;
        self.text_bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.words += words(part);
        self
    }

    /// The same for arguments, which are cut anywhere: a word that began in the frame before is
    /// not counted again.
    pub(crate) fn arguing(self, before: &str, part: &str) -> Self {
        let goes_on = before.ends_with(|last: char| !last.is_whitespace())
            && part.starts_with(|first: char| !first.is_whitespace());
        let mut piece = self.carrying(part);
        piece.words = piece.words.saturating_sub(u64::from(goes_on));
        piece
    }

    /// The frame that carries the final usage (`reported` is false when it was left out).
    pub(crate) fn usage(bytes: String, reported: bool) -> Self {
        Self::lead(bytes).reporting(reported)
    }

    /// The same, with the final usage in it.
    pub(crate) fn reporting(mut self, reported: bool) -> Self {
        self.usage = reported;
        self
    }

    /// Another text in place of the text.
    pub(crate) fn map(self, change: impl FnOnce(String) -> String) -> Self {
        let wire = match self.wire {
            Wire::Text(text) => Wire::Text(change(text)),
            Wire::Frame(frame) => Wire::Frame(frame),
        };
        Self { wire, ..self }
    }

    /// An event of a text stream inside a frame; `None` for what such a stream leaves out.
    pub(crate) fn framed(self, frame: impl FnOnce(&str) -> Option<Frame>) -> Option<Self> {
        let wire = match self.wire {
            Wire::Text(text) => Wire::Frame(frame(&text)?),
            Wire::Frame(frame) => Wire::Frame(frame),
        };
        Some(Self { wire, ..self })
    }

    /// Its JSON loses its end, its framing stays.
    fn malform(&mut self) {
        match &mut self.wire {
            Wire::Text(text) => *text = two_thirds(text).trim_end().to_owned() + "\n\n",
            Wire::Frame(frame) => frame.payload = two_thirds(&frame.payload),
        }
    }

    fn chunk(self) -> Chunk {
        let Self {
            wire,
            content: _,
            text_bytes,
            words,
            usage,
            cut,
        } = self;
        let bytes = match wire {
            Wire::Text(text) => Bytes::from(text),
            Wire::Frame(frame) => Bytes::from(frame.encode()),
        };
        if cut {
            return Chunk {
                bytes: bytes.slice(..bytes.len() / 2),
                ..Chunk::default()
            };
        }
        Chunk {
            bytes,
            frames: 1,
            text_bytes,
            words,
            usage,
        }
    }
}

fn two_thirds(text: &str) -> String {
    text.chars().take(text.chars().count() * 2 / 3).collect()
}

/// What happens behind so many content frames.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Fault {
    End(Ending),
    Error,
    BadCrc,
    Cut,
}

/// Applies the stream faults. `error_event` gets the number of frames before it.
pub(crate) fn plan(
    mut pieces: Vec<Piece>,
    directive: &Directive,
    gap: Duration,
    error_event: impl FnOnce(usize) -> Piece,
) -> (VecDeque<Chunk>, Ending) {
    if directive.malformed_json
        && let Some(first) = pieces.iter_mut().find(|piece| piece.content)
    {
        first.malform();
    }
    let mut ending = Ending::Done;
    let faults = [
        (
            directive.reset_after_frames,
            Fault::End(Ending::Kill(Kill::Reset)),
        ),
        (
            directive.close_after_frames,
            Fault::End(Ending::Kill(Kill::Close)),
        ),
        (directive.stall_after_frames, Fault::End(Ending::Stall)),
        (directive.error_event_after_frames, Fault::Error),
        (directive.bad_crc_after_frames, Fault::BadCrc),
        (directive.cut_frame_after_frames, Fault::Cut),
    ];
    let earliest = faults
        .into_iter()
        .filter_map(|(after, fault)| Some((after?, fault)));
    if let Some((after, fault)) = earliest.min_by_key(|(after, _)| *after) {
        let kept = frames_up_to(&pieces, after);
        match fault {
            Fault::End(end) => {
                pieces.truncate(kept);
                ending = end;
            }
            Fault::Error => {
                pieces.truncate(kept);
                pieces.push(error_event(pieces.len()));
            }
            Fault::BadCrc | Fault::Cut => {
                pieces.truncate(kept.saturating_add(1));
                if let Some(last) = pieces.get_mut(kept) {
                    last.cut = fault == Fault::Cut;
                    if let Wire::Frame(frame) = &mut last.wire {
                        frame.bad_crc = fault == Fault::BadCrc;
                    }
                }
            }
        }
    }
    let chunks = pieces.into_iter().map(Piece::chunk);
    if gap.is_zero() {
        (joined(chunks), ending)
    } else {
        (chunks.collect(), ending)
    }
}

/// How many frames go out when it ends behind so many content frames.
fn frames_up_to(pieces: &[Piece], content: u32) -> usize {
    let Some(before_last) = usize::try_from(content)
        .unwrap_or(usize::MAX)
        .checked_sub(1)
    else {
        return 0;
    };
    let mut positions = pieces.iter().enumerate().filter(|(_, piece)| piece.content);
    positions
        .nth(before_last)
        .map_or(pieces.len(), |(at, _)| at + 1)
}

fn joined(chunks: impl Iterator<Item = Chunk>) -> VecDeque<Chunk> {
    let mut out = VecDeque::new();
    let mut sums = Chunk::default();
    let mut bytes: Vec<u8> = Vec::new();
    for chunk in chunks {
        bytes.extend_from_slice(&chunk.bytes);
        sums.frames += chunk.frames;
        sums.text_bytes += chunk.text_bytes;
        sums.words += chunk.words;
        sums.usage |= chunk.usage;
        if bytes.len() >= JOINED {
            sums.bytes = Bytes::from(std::mem::take(&mut bytes));
            out.push_back(std::mem::take(&mut sums));
        }
    }
    if !bytes.is_empty() {
        sums.bytes = Bytes::from(bytes);
        out.push_back(sums);
    }
    out
}
