//! Cuts a stream into frames, each a slice of the bytes as they came.
//!
//! Frames together are the stream, byte for byte, wherever it was cut on its way. A frame of an event stream ends
//! with its empty line; one of a JSON list (Gemini without `alt=sse`) with its closing brace. A frame over the cap
//! is handed on in pieces that say that they cannot be read.

use bytes::{Bytes, BytesMut};

/// The largest frame that is read, in bytes. Larger ones carry media.
const LARGEST: usize = 4 * 1024 * 1024;

/// How frames are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// A JSON list whose elements are the frames.
    List,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes, with what separates it from the one before (list) or behind (events).
    pub bytes: Bytes,
    /// Whether it is whole. The pieces of one that is too large are not.
    pub whole: bool,
}

/// The frames of a stream.
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    /// How much of the buffer was looked at.
    scanned: usize,
    framing: Framing,
    /// The frame in the buffer began earlier, and a part of it has gone out.
    overlong: bool,
    events: EventScan,
    list: ListScan,
}

#[derive(Debug, Default)]
struct EventScan {
    /// Bytes of the line so far.
    line: usize,
    /// The last byte was `\r`: a `\n` that follows belongs to it.
    after_cr: bool,
}

#[derive(Debug, Default)]
struct ListScan {
    depth: usize,
    text: bool,
    escaped: bool,
}

impl Frames {
    /// For a stream with this framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            framing,
            overlong: false,
            events: EventScan::default(),
            list: ListScan::default(),
        }
    }

    /// How frames are told apart.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Bytes of a frame whose end has not come.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, once it has come whole.
    pub fn next_frame(&mut self) -> Option<Frame> {
        while let Some(byte) = self.buffer.get(self.scanned).copied() {
            self.scanned += 1;
            let ends = match self.framing {
                Framing::Events => {
                    let next = self.buffer.get(self.scanned) == Some(&b'\n');
                    let (ends, also_next) = self.events.step(byte, next);
                    self.scanned += usize::from(also_next);
                    ends
                }
                Framing::List => self.list.step(byte),
            };
            if ends {
                let whole = !std::mem::take(&mut self.overlong);
                return Some(self.cut(whole));
            }
        }
        if self.buffer.len() > LARGEST {
            self.overlong = true;
            return Some(self.cut(false));
        }
        None
    }

    /// The stream is over: what is left of it.
    pub fn finish(&mut self) -> Option<Frame> {
        self.scanned = self.buffer.len();
        let whole = !self.overlong;
        (!self.buffer.is_empty()).then(|| self.cut(whole))
    }

    fn cut(&mut self, whole: bool) -> Frame {
        let bytes = self.buffer.split_to(self.scanned).freeze();
        self.scanned = 0;
        Frame { bytes, whole }
    }
}

impl EventScan {
    /// Whether the frame ends with `byte`, and whether the line feed behind it belongs to it, too.
    fn step(&mut self, byte: u8, feed_follows: bool) -> (bool, bool) {
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            return (false, false);
        }
        if !matches!(byte, b'\n' | b'\r') {
            self.line += 1;
            return (false, false);
        }
        let empty = std::mem::take(&mut self.line) == 0;
        let both = byte == b'\r' && feed_follows && empty;
        self.after_cr = byte == b'\r' && !both;
        (empty, both)
    }
}

impl ListScan {
    /// Whether an element, or the list, ends with `byte`.
    fn step(&mut self, byte: u8) -> bool {
        if self.text {
            let escaped = std::mem::take(&mut self.escaped);
            match byte {
                b'\\' if !escaped => self.escaped = true,
                b'"' if !escaped => self.text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.text = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth <= 1 && byte == b'}' || self.depth == 0;
            }
            _ => {}
        }
        false
    }
}
