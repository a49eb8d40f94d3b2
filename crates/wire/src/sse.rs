//! Server-sent events, read incrementally across any split of the bytes (providers 22).
//!
//! An observer of a stream that somebody else forwards: it never delays, changes or refuses a byte. A
//! line longer than the cap is skipped, and that is said ([`Events::skipped`]).

/// Longest line and longest event that is looked at. Longer ones (base64 images) pass unread.
const LINE_CAP: usize = 4 * 1024 * 1024;

/// Splits a byte stream into events.
#[derive(Debug, Default)]
pub struct Events {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// The line being read is over the cap.
    skipping: bool,
    /// The last byte was `\r`: a `\n` that follows belongs to it.
    after_cr: bool,
    /// The data lines of the event being read, when there is more than one.
    data: Vec<u8>,
    lines: usize,
    /// The event being read is over the cap.
    overlong: bool,
    skipped: u64,
}

impl Events {
    /// How many lines were too long to look at.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What has come of the event whose end has not: its complete data lines and its open line.
    #[must_use]
    pub fn open(&self) -> [&[u8]; 2] {
        [&self.data, &self.partial]
    }

    /// Takes the next bytes and calls `on_data` with the data of each event that ends in them.
    ///
    /// Event names are not passed on: every dialect that has them repeats the name inside the data.
    pub fn push(&mut self, bytes: &[u8], mut on_data: impl FnMut(&[u8])) {
        let mut rest = bytes;
        if self.after_cr && rest.first() == Some(&b'\n') {
            rest = rest.get(1..).unwrap_or_default();
        }
        self.after_cr = false;
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            let (line, tail) = rest.split_at(end);
            let cr = tail.first() == Some(&b'\r');
            let crlf = cr && tail.get(1) == Some(&b'\n');
            self.after_cr = cr && tail.len() == 1;
            rest = tail.get(if crlf { 2 } else { 1 }..).unwrap_or_default();
            if self.skipping {
                self.skipping = false;
                self.partial.clear();
            } else if self.partial.is_empty() {
                self.line(line, &mut on_data);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole, &mut on_data);
                whole.clear();
                self.partial = whole;
            }
        }
        if self.skipping || rest.is_empty() {
            return;
        }
        if self.partial.len() + rest.len() > LINE_CAP {
            self.skipping = true;
            self.skipped += 1;
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
    }

    /// The stream is over: an event without its empty line still counts.
    pub fn finish(&mut self, mut on_data: impl FnMut(&[u8])) {
        if !self.partial.is_empty() && !self.skipping {
            let line = std::mem::take(&mut self.partial);
            self.line(&line, &mut on_data);
        }
        self.dispatch(&mut on_data);
    }

    fn line(&mut self, line: &[u8], on_data: &mut impl FnMut(&[u8])) {
        if line.is_empty() {
            self.dispatch(on_data);
            return;
        }
        let Some(data) = line.strip_prefix(b"data:") else {
            return;
        };
        let data = data.strip_prefix(b" ").unwrap_or(data);
        self.lines += 1;
        if self.data.len() + data.len() >= LINE_CAP {
            // The event is given up, and said to be.
            self.skipped += u64::from(!self.overlong);
            self.data = Vec::new();
            self.overlong = true;
        }
        if self.overlong {
            return;
        }
        if self.lines > 1 {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data);
    }

    fn dispatch(&mut self, on_data: &mut impl FnMut(&[u8])) {
        if self.lines > 0 && !self.overlong {
            on_data(&self.data);
        }
        self.data.clear();
        self.lines = 0;
        self.overlong = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let (mut reader, mut found) = (Events::default(), Vec::new());
        for piece in pieces {
            reader.push(piece, |data| {
                found.push(String::from_utf8_lossy(data).into_owned())
            });
        }
        reader.finish(|data| found.push(String::from_utf8_lossy(data).into_owned()));
        found
    }

    #[test]
    fn lines_end_in_three_ways_and_data_lines_join() {
        let stream = b": hi\nevent: x\ndata: 1\n\ndata:2\r\n\r\ndata: a\rdata: b\r\rdata: last";
        assert_eq!(events(&[stream]), ["1", "2", "a\nb", "last"]);
    }

    #[test]
    fn a_line_over_the_cap_is_skipped_and_the_next_event_is_read() {
        let long = [b"data: ".as_slice(), &vec![b'x'; LINE_CAP + 1]].concat();
        assert_eq!(events(&[&long, b"xx", b"\n\ndata: next\n\n"]), ["next"]);
    }

    #[test]
    fn an_event_of_endless_lines_is_given_up_within_the_cap() {
        let (mut reader, mut found) = (Events::default(), Vec::new());
        let line = [b"data: ".as_slice(), &vec![b'x'; 1024 * 1024], b"\n"].concat();
        for _ in 0..6 {
            reader.push(&line, |data| found.push(data.len()));
        }
        reader.push(b"\ndata: next\n\n", |data| found.push(data.len()));
        assert_eq!((found, reader.skipped()), (vec![4], 1));
        assert!(reader.data.capacity() <= 2 * LINE_CAP);
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_events(
            texts in prop::collection::vec("[a-z{}\" ]{0,20}", 0..6),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 6),
            cuts in prop::collection::vec(0usize..200, 0..12),
        ) {
            let mut stream = String::new();
            for (text, end) in texts.iter().zip(&ends) {
                stream.push_str(&format!("data: {text}{end}{end}"));
            }
            let whole = events(&[stream.as_bytes()]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(stream.len())).collect();
            cuts.push(stream.len());
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&stream.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(events(&pieces), whole);
        }
    }
}
