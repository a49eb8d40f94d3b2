//! Frames written by hand from the format's description, read in every cutting.

use proptest::prelude::*;

use super::*;

/// One frame: string headers and a payload.
fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).expect("short"));
        head.extend(name.as_bytes());
        head.push(7);
        head.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
        head.extend(value.as_bytes());
    }
    raw(&head, payload)
}

/// One frame around headers as bytes.
fn raw(head: &[u8], payload: &[u8]) -> Vec<u8> {
    let word = |length: usize| u32::try_from(length).expect("short").to_be_bytes();
    let mut bytes = Vec::new();
    bytes.extend(word(PRELUDE + head.len() + payload.len() + 4));
    bytes.extend(word(head.len()));
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend(head);
    bytes.extend(payload);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload.as_bytes())
}

fn whole(stream: &[u8]) -> Decoded {
    decode(stream, stream.len())
}

#[test]
fn events_come_in_order_and_the_initial_response_is_passed_over() {
    let stream = [
        event("initial-response", "{}"),
        event("messageStart", r#"{"role":"assistant"}"#),
        event("contentBlockDelta", r#"{"delta":{"text":"hé"}}"#),
        event("messageStop", ""),
    ]
    .concat();
    let Decoded { frames, end } = whole(&stream);
    let seen: Vec<_> = frames
        .iter()
        .map(|frame| (frame.kind, &*frame.name, &*frame.payload))
        .collect();
    assert_eq!(
        seen,
        [
            (
                FrameKind::Event,
                "messageStart",
                &br#"{"role":"assistant"}"#[..]
            ),
            (
                FrameKind::Event,
                "contentBlockDelta",
                r#"{"delta":{"text":"hé"}}"#.as_bytes()
            ),
            (FrameKind::Event, "messageStop", b""),
        ]
    );
    assert_eq!(end, Ok(()));
}

#[test]
fn exceptions_and_errors_are_told_apart() {
    let exception = frame(
        &[
            (":message-type", "exception"),
            (":exception-type", "throttlingException"),
        ],
        br#"{"message":"slow down"}"#,
    );
    let error = frame(
        &[
            (":message-type", "error"),
            (":error-code", "InternalError"),
            (":error-message", "it broke"),
        ],
        b"",
    );
    let Decoded { frames, end } = whole(&[exception, error].concat());
    assert_eq!(
        frames,
        [
            Frame {
                kind: FrameKind::Exception,
                name: "throttlingException".into(),
                payload: Bytes::from_static(br#"{"message":"slow down"}"#),
            },
            Frame {
                kind: FrameKind::Error,
                name: "InternalError".into(),
                payload: Bytes::from_static(b"it broke"),
            },
        ]
    );
    assert_eq!(end, Ok(()));
}

#[test]
fn a_published_frame_is_read_and_found_nameless() {
    // From the vendor's test data: one header, `content-type`, and `{'foo':'bar'}`.
    let mut bytes = b"\x00\x00\x00\x3D\x00\x00\x00\x20\x07\xFD\x83\x96\x0Ccontent-type".to_vec();
    bytes.extend(b"\x07\x00\x10application/json{'foo':'bar'}\x8D\x9C\x08\xB1");
    assert_eq!(whole(&bytes).end, Err(FrameError::Nameless));
    bytes[60] ^= 1;
    assert_eq!(whole(&bytes).end, Err(FrameError::Damaged));
}

#[test]
fn a_damaged_length_is_found_before_its_frame_is_waited_for() {
    let mut bytes = event("messageStart", "{}");
    bytes[2] ^= 0x40;
    let mut decoder = Decoder::new();
    decoder.push(&bytes[..PRELUDE]);
    assert_eq!(decoder.next(), Some(Err(FrameError::Damaged)));
    decoder.push(&event("messageStop", "{}"));
    assert_eq!(decoder.next(), None);
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn a_frame_over_the_cap_is_refused_by_its_prelude_and_one_at_the_cap_is_not() {
    let prelude = |total: usize| {
        let mut bytes = u32::try_from(total).expect("fits").to_be_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    };
    assert_eq!(
        whole(&prelude(LONGEST_FRAME + 1)).end,
        Err(FrameError::TooLarge)
    );
    assert_eq!(whole(&prelude(LONGEST_FRAME)).end, Err(FrameError::Cut));
    assert_eq!(
        whole(&prelude(SHORTEST_FRAME - 1)).end,
        Err(FrameError::Damaged)
    );

    let headers = [(":message-type", "event"), (":event-type", "chunk")];
    let overhead = frame(&headers, b"").len();
    let largest = frame(&headers, &vec![b'x'; LONGEST_FRAME - overhead]);
    assert_eq!(largest.len(), LONGEST_FRAME);
    let Decoded { frames, end } = decode(&largest, 1 << 20);
    assert_eq!(frames.len(), 1);
    assert_eq!(end, Ok(()));
}

#[test]
fn headers_that_contradict_each_other_are_damage() {
    // A value that is longer than its frame, and a type that does not exist.
    assert_eq!(
        whole(&raw(b"\x01a\x07\xff\xffx", b"")).end,
        Err(FrameError::Damaged)
    );
    assert_eq!(whole(&raw(b"\x01a\x63", b"")).end, Err(FrameError::Damaged));
    // `:message-type` as a number.
    assert_eq!(
        whole(&raw(b"\x0d:message-type\x02\x01", b"")).end,
        Err(FrameError::Nameless)
    );
    assert_eq!(
        whole(&frame(&[(":message-type", "event")], b"")).end,
        Err(FrameError::Nameless)
    );
}

/// A stream of a few frames, some of which carry other headers too.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let one = ("[a-zA-Z-]{0,20}", "[^\0]{0,200}", 0..3_u8, any::<bool>()).prop_map(
        |(name, payload, kind, more)| {
            let (kind, names) = match kind {
                0 => ("event", ":event-type"),
                1 => ("exception", ":exception-type"),
                _ => ("error", ":error-code"),
            };
            let mut headers = vec![(names, &*name), (":message-type", kind)];
            if more {
                headers.push((":content-type", "application/json"));
            }
            frame(&headers, payload.as_bytes())
        },
    );
    prop::collection::vec(one, 0..6).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_frames(
        stream in stream(),
        size in 1_usize..40,
        kept in any::<prop::sample::Index>(),
    ) {
        prop_assert_eq!(decode(&stream, size), whole(&stream));
        let part = &stream[..kept.index(stream.len() + 1)];
        let Decoded { frames, end } = decode(part, size);
        prop_assert!(whole(&stream).frames.starts_with(&frames));
        prop_assert!(matches!(end, Ok(()) | Err(FrameError::Cut)));
    }

    #[test]
    fn one_changed_byte_never_changes_what_is_read(
        stream in stream(),
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        prop_assume!(!stream.is_empty());
        let mut changed = stream.clone();
        let at = at.index(stream.len());
        changed[at] ^= change;
        let Decoded { frames, end } = decode(&changed, 7);
        prop_assert!(whole(&stream).frames.starts_with(&frames));
        prop_assert_eq!(end, Err(FrameError::Damaged));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..9) {
        prop_assert_eq!(decode(&bytes, size), whole(&bytes));
    }

    #[test]
    fn arbitrary_headers_under_good_checksums_do_not_panic(
        head in prop::collection::vec(any::<u8>(), 0..80),
        payload in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let bytes = raw(&head, &payload);
        prop_assert_eq!(decode(&bytes, 3), whole(&bytes));
    }
}
