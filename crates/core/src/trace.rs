//! W3C trace context: ids and the `traceparent` header (<https://www.w3.org/TR/trace-context/>).
//!
//! Reads leniently (a value that is not valid is ignored, never an error) and writes version `00`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Entropy, UnixMicros};

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// From its bytes; all zeros is not an id.
            #[must_use]
            pub fn from_bytes(bytes: [u8; $len]) -> Option<Self> {
                (bytes != [0; $len]).then_some(Self(bytes))
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Reads lowercase or uppercase hex; all zeros and other lengths are `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                if text.len() != $len * 2 {
                    return None;
                }
                data_encoding::HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut bytes).ok()?;
                Self::from_bytes(bytes)
            }

            /// Lowercase hex, on the stack.
            #[must_use]
            pub fn to_ascii(&self) -> [u8; $len * 2] {
                let mut out = [0; $len * 2];
                data_encoding::HEXLOWER.encode_mut(&self.0, &mut out);
                out
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let ascii = self.to_ascii();
                f.write_str(std::str::from_utf8(&ascii).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| de::Error::custom("not a hex id"))
            }
        }
    };
}

hex_id!(
    /// A trace id: 16 bytes, shown as 32 hex characters.
    TraceId,
    16
);
hex_id!(
    /// A span id: 8 bytes, shown as 16 hex characters.
    SpanId,
    8
);

impl TraceId {
    /// A new trace id: 48 bits of milliseconds, then 80 random bits.
    ///
    /// W3C asks for randomness in the rightmost 7 bytes only; time first keeps indexes append-only.
    pub fn mint(now: UnixMicros, entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        let millis = u64::try_from(now.millis()).unwrap_or(1).to_be_bytes();
        for (slot, byte) in bytes.iter_mut().zip(millis.iter().skip(2)) {
            *slot = *byte;
        }
        Self::from_bytes(bytes).unwrap_or(Self([1; 16]))
    }
}

impl SpanId {
    /// A new random span id.
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        Self::from_bytes(bytes).unwrap_or(Self([1; 8]))
    }
}

/// The trace that a request is part of, and the caller's span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceContext {
    /// The caller's trace.
    pub trace_id: Option<TraceId>,
    /// The caller's span, the parent of ours.
    pub parent: Option<SpanId>,
}

impl TraceContext {
    /// Reads the headers of data-plane 9.3: `X-LangWatch-Trace-Id` and `X-LangWatch-Parent-Span-Id` win
    /// over `traceparent`; what is not valid is ignored.
    #[must_use]
    pub fn read(
        traceparent: Option<&str>,
        trace_id: Option<&str>,
        parent_span_id: Option<&str>,
    ) -> Self {
        let w3c = traceparent.and_then(parse_traceparent);
        let named = trace_id.and_then(|text| TraceId::parse(text.trim()));
        let parent = parent_span_id.and_then(|text| SpanId::parse(text.trim()));
        let trace_id = named.or(w3c.map(|(trace, _)| trace));
        // The parent of `traceparent` lives in the trace of `traceparent`, and in no other.
        let w3c_parent = w3c
            .filter(|(trace, _)| Some(*trace) == trace_id)
            .map(|(_, span)| span);
        Self {
            trace_id,
            parent: trace_id.and(parent.or(w3c_parent)),
        }
    }
}

fn parse_traceparent(text: &str) -> Option<(TraceId, SpanId)> {
    let text = text.trim();
    let mut parts = text.split('-');
    let version = parts.next()?;
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let lower = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if version.len() != 2 || flags.len() != 2 || version == "ff" || !lower(version) || !lower(flags)
    {
        return None;
    }
    if version == "00" && parts.next().is_some() {
        return None;
    }
    (lower(trace) && lower(span)).then_some(())?;
    Some((TraceId::parse(trace)?, SpanId::parse(span)?))
}

/// The header for the answer, version 00, sampled: `00-<trace>-<span>-01`.
#[must_use]
pub fn traceparent(trace: TraceId, span: SpanId) -> [u8; 55] {
    let mut out = *b"00-00000000000000000000000000000000-0000000000000000-01";
    if let Some(slot) = out.get_mut(3..35) {
        slot.copy_from_slice(&trace.to_ascii());
    }
    if let Some(slot) = out.get_mut(36..52) {
        slot.copy_from_slice(&span.to_ascii());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_valid_traceparent_is_taken_over() {
        let header = format!("00-{TRACE}-{SPAN}-01");
        let context = TraceContext::read(Some(&header), None, None);
        assert_eq!(context.trace_id, TraceId::parse(TRACE));
        assert_eq!(context.parent, SpanId::parse(SPAN));
    }

    #[test]
    fn our_headers_win_and_a_foreign_parent_is_not_mixed_in() {
        let header = format!("00-{TRACE}-{SPAN}-01");
        let ours = "11111111111111111111111111111111";
        let context = TraceContext::read(Some(&header), Some(ours), None);
        assert_eq!(context.trace_id, TraceId::parse(ours));
        assert_eq!(context.parent, None);
        let context = TraceContext::read(Some(&header), None, Some("2222222222222222"));
        assert_eq!(context.trace_id, TraceId::parse(TRACE));
        assert_eq!(context.parent, SpanId::parse("2222222222222222"));
    }

    #[test]
    fn what_is_not_valid_is_ignored() {
        let zero = format!("00-{}-{SPAN}-01", "0".repeat(32));
        let upper = format!("00-{}-{SPAN}-01", TRACE.to_uppercase());
        let long = format!("00-{TRACE}-{SPAN}-01-extra");
        for header in [
            "",
            "00",
            zero.as_str(),
            upper.as_str(),
            long.as_str(),
            "ff-a-b-c",
        ] {
            assert_eq!(
                TraceContext::read(Some(header), Some("x"), Some("y")),
                TraceContext::default()
            );
        }
        let later = format!("01-{TRACE}-{SPAN}-01-extra");
        assert!(
            TraceContext::read(Some(&later), None, None)
                .trace_id
                .is_some()
        );
    }

    #[test]
    fn the_answer_names_our_span() {
        let (trace, span) = (TraceId::parse(TRACE), SpanId::parse(SPAN));
        let header = traceparent(trace.expect("a trace id"), span.expect("a span id"));
        assert_eq!(
            std::str::from_utf8(&header),
            Ok(format!("00-{TRACE}-{SPAN}-01").as_str())
        );
    }
}
