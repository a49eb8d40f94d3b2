//! Frames of an AWS event stream.
//!
//! Lengths and checksums in big-endian order, two string headers and a content type, the payload,
//! and a checksum of all before it. Only writes; whoever reads is the one under test. Start at
//! [`Frame`].

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    /// It is an exception, not an event.
    pub(crate) exception: bool,
    /// The event's or exception's name.
    pub(crate) kind: String,
    /// JSON.
    pub(crate) payload: String,
    /// The last checksum is wrong.
    pub(crate) bad_crc: bool,
}

impl Frame {
    pub(crate) fn event(kind: &str, payload: String) -> Self {
        Self {
            exception: false,
            kind: kind.to_owned(),
            payload,
            bad_crc: false,
        }
    }

    pub(crate) fn exception(kind: &str, payload: String) -> Self {
        Self {
            exception: true,
            ..Self::event(kind, payload)
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (message, name) = if self.exception {
            ("exception", ":exception-type")
        } else {
            ("event", ":event-type")
        };
        let mut headers = Vec::new();
        for (name, value) in [
            (name, self.kind.as_str()),
            (":content-type", "application/json"),
            (":message-type", message),
        ] {
            header(&mut headers, name, value);
        }
        let size = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        let mut frame = Vec::with_capacity(headers.len() + self.payload.len() + 16);
        frame.extend(size(headers.len() + self.payload.len() + 16));
        frame.extend(size(headers.len()));
        frame.extend(crc32fast::hash(&frame).to_be_bytes());
        frame.extend(&headers);
        frame.extend(self.payload.as_bytes());
        let crc = crc32fast::hash(&frame) ^ u32::from(self.bad_crc);
        frame.extend(crc.to_be_bytes());
        frame
    }
}

fn header(out: &mut Vec<u8>, name: &str, value: &str) {
    const STRING: u8 = 7;
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend(name.as_bytes());
    out.push(STRING);
    out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::Frame;

    #[test]
    fn a_frame_has_the_known_bytes() {
        // The checksums are those that zlib gives.
        let frame = Frame::event("x", String::from("{}")).encode();
        assert_eq!(frame[..8], [0, 0, 0, 89, 0, 0, 0, 71]);
        assert_eq!(frame[8..12], 0xb899a6e0_u32.to_be_bytes());
        assert_eq!(&frame[12..28], b"\x0b:event-type\x07\0\x01x");
        assert_eq!(frame[83..85], *b"{}");
        assert_eq!(frame[85..], 0xbd2206c9_u32.to_be_bytes());
        let mut bad = Frame::event("x", String::from("{}"));
        bad.bad_crc = true;
        assert_eq!(bad.encode()[..85], frame[..85]);
        assert_ne!(bad.encode()[85..], frame[85..]);
        let exception = Frame::exception("throttlingException", String::new()).encode();
        let text = String::from_utf8_lossy(&exception);
        assert!(text.contains(":exception-type") && text.contains(":message-type"));
    }
}
