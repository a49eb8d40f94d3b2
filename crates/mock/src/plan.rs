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
use crate::request::words;

/// Frames that go out without a gap are joined up to this size.
const JOINED: usize = 64 * 1024;

/// One frame of a stream.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: String,
    content: bool,
    text_bytes: u64,
    words: u64,
    usage: bool,
}

impl Piece {
    /// A frame without answer text.
    pub(crate) fn lead(bytes: String) -> Self {
        Self {
            bytes,
            content: false,
            text_bytes: 0,
            words: 0,
            usage: false,
        }
    }

    /// A frame that carries this part of the answer.
    pub(crate) fn content(bytes: String, part: &str) -> Self {
        let text_bytes = u64::try_from(part.len()).unwrap_or(u64::MAX);
        Self {
            bytes,
            content: true,
            text_bytes,
            words: words(part),
            usage: false,
        }
    }

    /// The frame that carries the final usage (`reported` is false when it was left out).
    pub(crate) fn usage(bytes: String, reported: bool) -> Self {
        Self {
            usage: reported,
            ..Self::lead(bytes)
        }
    }

    fn chunk(self) -> Chunk {
        let Self {
            bytes,
            content: _,
            text_bytes,
            words,
            usage,
        } = self;
        Chunk {
            bytes: Bytes::from(bytes),
            frames: 1,
            text_bytes,
            words,
            usage,
        }
    }
}

/// Applies the stream faults. `error_event` gets the number of frames before it.
pub(crate) fn plan(
    mut pieces: Vec<Piece>,
    directive: &Directive,
    gap: Duration,
    error_event: impl FnOnce(usize) -> String,
) -> (VecDeque<Chunk>, Ending) {
    if directive.malformed_json
        && let Some(first) = pieces.iter_mut().find(|piece| piece.content)
    {
        let kept: String = first
            .bytes
            .chars()
            .take(first.bytes.chars().count() * 2 / 3)
            .collect();
        first.bytes = kept.trim_end().to_owned() + "\n\n";
    }
    let mut ending = Ending::Done;
    let faults = [
        (directive.reset_after_frames, Ending::Kill(Kill::Reset)),
        (directive.close_after_frames, Ending::Kill(Kill::Close)),
        (directive.stall_after_frames, Ending::Stall),
        (directive.error_event_after_frames, Ending::Done),
    ];
    let earliest = faults
        .into_iter()
        .filter_map(|(after, end)| Some((after?, end)));
    if let Some((after, end)) = earliest.min_by_key(|(after, _)| *after) {
        pieces.truncate(frames_up_to(&pieces, after));
        ending = end;
        if end == Ending::Done {
            pieces.push(Piece::lead(error_event(pieces.len())));
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
