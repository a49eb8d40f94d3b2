//! A provider's stream on its way into the caller's dialect: frames are taken out of the cloud's framing,
//! then translated.
//!
//! Bytes in, bytes out; knows nothing of connections or money. Start at [`Conversion::push`].

use lw_cloud::eventstream::{Decoder, FrameKind};
use lw_translate::Dialect;
use lw_translate::ir::Failure;
use lw_translate::stream::{Framing, Translator};
use lw_wire::tap::Told;

use crate::foreign::{Exchange, Framed, Translation};

/// One stream's conversion.
pub(crate) struct Conversion {
    frames: Option<Decoder>,
    /// Events of Anthropic in base64 inside the frames.
    invoke: bool,
    /// `None`: what is inside the frames is passed on.
    translator: Option<Translator>,
    /// What the provider's framing says about its own failure.
    failure: Option<Failure>,
    /// An event that is passed on came out of the frames.
    begun: bool,
    /// The caller asked for a JSON list instead of events (Gemini without `alt=sse`).
    list: Option<List>,
}

/// Events as a JSON list.
#[derive(Default)]
struct List {
    opened: bool,
    /// Its last bracket was written; nothing follows.
    closed: bool,
}

impl Conversion {
    /// For an answer that is a stream; `None` when its bytes are passed on as they are.
    pub(crate) fn new(exchange: &Exchange, as_list: bool) -> Option<Box<Self>> {
        match exchange {
            Exchange::Unframed => Some(Box::new(Self {
                frames: Some(Decoder::new()),
                invoke: true,
                translator: None,
                failure: None,
                begun: false,
                list: None,
            })),
            Exchange::Translated(translation) => {
                let Translation {
                    from,
                    to,
                    framed,
                    caller,
                    ..
                } = &**translation;
                let framing = if *framed == Framed::No {
                    Framing::Sse
                } else {
                    Framing::Cut
                };
                Some(Box::new(Self {
                    frames: (*framed != Framed::No).then(Decoder::new),
                    invoke: *framed == Framed::Invoke,
                    translator: Some(Translator::new(*from, framing, *to, caller.clone())),
                    failure: None,
                    begun: false,
                    list: as_list.then(List::default),
                }))
            }
            Exchange::Native
            | Exchange::Near
            | Exchange::Vectors(_)
            | Exchange::Counted(_)
            | Exchange::Part => None,
        }
    }

    /// Whether what comes out is a JSON list instead of events.
    pub(crate) const fn is_list(&self) -> bool {
        self.list.is_some()
    }

    /// Takes the provider's next bytes and returns what the caller gets.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match (self.frames.take(), &mut self.translator) {
            (Some(mut frames), _) => {
                frames.push(bytes);
                self.unframe(&mut frames, &mut out);
                self.frames = Some(frames);
            }
            (None, Some(translator)) => translator.push(bytes, &mut out),
            (None, None) => out.extend_from_slice(bytes),
        }
        self.listed(out)
    }

    fn unframe(&mut self, frames: &mut Decoder, out: &mut Vec<u8>) {
        while let Some(next) = frames.next() {
            let frame = match next {
                Ok(frame) => frame,
                Err(error) => {
                    self.failed(
                        Failure {
                            kind: Some("ModelStreamErrorException".to_owned()),
                            status: Some(502),
                            message: error.to_string(),
                            ..Failure::default()
                        },
                        out,
                    );
                    return;
                }
            };
            if frame.kind != FrameKind::Event {
                let failure = lw_translate::failure::read(
                    Dialect::Converse,
                    "bedrock",
                    lw_translate::failure::exception_status(&frame.name).unwrap_or(500),
                    None,
                    &[("x-amzn-errortype", &*frame.name)],
                    &frame.payload,
                );
                self.failed(failure, out);
                return;
            }
            let event = if self.invoke {
                lw_translate::converse::invoke_chunk(&frame.payload)
            } else {
                Some(frame.payload.to_vec())
            };
            let Some(event) = event else {
                continue;
            };
            match &mut self.translator {
                Some(translator) if self.invoke => translator.frame(None, &event, out),
                Some(translator) => translator.frame(Some(&frame.name), &event, out),
                None => {
                    self.begun = true;
                    write_event(&event, out);
                }
            }
        }
    }

    /// The provider failed in its own framing.
    fn failed(&mut self, failure: Failure, out: &mut Vec<u8>) {
        if let Some(translator) = &mut self.translator {
            translator.fail(failure.clone(), out);
        } else {
            let status = failure.status.unwrap_or(500);
            let inner = Failure {
                kind: Some(lw_translate::failure::anthropic_type(status).to_owned()),
                ..failure.clone()
            };
            let object = lw_translate::failure::stream_object(&inner);
            out.extend_from_slice(
                format!("event: error\ndata: {{\"type\":\"error\",\"error\":{object}}}\n\n")
                    .as_bytes(),
            );
        }
        self.failure = Some(failure);
    }

    /// The provider's bytes are over.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(translator) = &mut self.translator {
            translator.end(&mut out);
        }
        self.listed(out)
    }

    /// Ends the stream with a failure of ours, unless it is over. `None` when the caller's own frame for it
    /// is not this conversion's to write.
    pub(crate) fn fail(&mut self, message: String) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let translator = self.translator.as_mut()?;
        let failure = Failure {
            message,
            ..Failure::default()
        };
        translator.fail(failure, &mut out);
        Some(self.listed(out))
    }

    /// Whether the answer came to its end. An untranslated one is judged by its bytes.
    pub(crate) fn is_complete(&self) -> Option<bool> {
        self.translator
            .as_ref()
            .map(|translator| translator.seen().complete && self.failure.is_none())
    }

    /// The failure that the provider told in its stream.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        let told = self.translator.as_ref();
        self.failure
            .as_ref()
            .or_else(|| told.and_then(|translator| translator.seen().failure.as_ref()))
    }

    /// Whether the provider said anything but that it failed.
    pub(crate) fn has_begun(&self) -> bool {
        let translator = self.translator.as_ref();
        translator.map_or(self.begun, Translator::has_begun)
    }

    /// What the provider reported, in all token classes.
    pub(crate) fn told(&self) -> Option<Told> {
        let seen = self.translator.as_ref()?.seen();
        Some(Told {
            usage: seen.usage,
            service_tier: seen.service_tier.clone(),
        })
    }

    /// `out` as pieces of a JSON list, when the caller wants one.
    fn listed(&mut self, out: Vec<u8>) -> Vec<u8> {
        let over = self.translator.as_ref().is_some_and(Translator::is_over);
        let Some(list) = &mut self.list else {
            return out;
        };
        if list.closed {
            return Vec::new();
        }
        let mut listed = Vec::with_capacity(out.len());
        for event in out.split(|byte| *byte == b'\n') {
            let Some(json) = event.strip_prefix(b"data: ") else {
                continue;
            };
            listed.extend_from_slice(if list.opened { b",\r\n" } else { b"[" });
            list.opened = true;
            listed.extend_from_slice(json);
        }
        if over {
            if !list.opened {
                listed.push(b'[');
            }
            listed.push(b']');
            list.closed = true;
        }
        listed
    }
}

/// An event of Anthropic as it stands on its own wire: the name is the payload's type.
fn write_event(json: &[u8], out: &mut Vec<u8>) {
    #[derive(serde::Deserialize)]
    struct Typed {
        r#type: String,
    }
    if let Ok(typed) = serde_json::from_slice::<Typed>(json) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(typed.r#type.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}
