//! Reads a line that our own writer wrote, in its order of members, some ten times faster than a parser
//! that must expect any order.
//!
//! Anything that is not exactly so is `None`, and the caller parses the line as general JSON. Must never
//! read a line as something else than the general way does. Start at [`line`].

use std::borrow::Cow;

use lw_core::NanoUsd;
use lw_store::ledger::Certainty;

use super::{ErrorIn, Line, Payload, Text, UsageIn, Verbatim};

/// Reads a whole line, with or without its newline.
pub(super) fn line(text: &str) -> Option<Line<'_>> {
    let mut scan = Scan(text);
    scan.skip("{\"command\":")?;
    let command = scan.text()?;
    scan.skip(",\"payload\":{")?;
    let payload = payload(&mut scan)?;
    // Says nothing to our reader: it is for control planes that fold without attribution.
    scan.eat(",\"outcome_carries_attribution\":true");
    scan.skip("},\"pod_id\":")?;
    scan.text()?;
    scan.skip(",\"pod_seq\":")?;
    let pod_seq = scan.number()?;
    scan.skip("}")?;
    matches!(scan.0, "" | "\n").then_some(Line {
        command,
        payload,
        pod_seq,
    })
}

fn payload<'a>(scan: &mut Scan<'a>) -> Option<Payload<'a>> {
    scan.skip("\"gateway_request_id\":")?;
    Some(Payload {
        gateway_request_id: scan.text()?,
        organization_id: scan.text_of(",\"organization_id\":")?,
        project_id: scan.text_of(",\"project_id\":")??,
        virtual_key_id: scan.text_of(",\"virtual_key_id\":")?,
        request_type: scan.text_of(",\"request_type\":")?,
        end_user_id: scan.text_of(",\"end_user_id\":")?,
        trace_id: scan.text_of(",\"trace_id\":")?,
        labels: scan.texts_of(",\"labels\":[")?,
        metadata: scan.text_of(",\"metadata\":")?,
        period: scan.text_of(",\"period\":")?,
        occurred_at: scan.signed_of(",\"occurred_at\":")??,
        admitted_at: scan.signed_of(",\"admitted_at\":")?,
        attempt: scan.number_of(",\"attempt\":")??,
        model: scan.text_of(",\"model\":")?,
        model_provider_id: scan.text_of(",\"model_provider_id\":")?,
        usage: scan.usage()?,
        hold_nano_usd: NanoUsd(scan.signed_of(",\"hold_nano_usd\":")?.unwrap_or_default()),
        cost_nano_usd: NanoUsd(scan.signed_of(",\"cost_nano_usd\":")?.unwrap_or_default()),
        certainty: scan.certainty()?,
        priced: scan.flag(",\"priced\":")?,
        price_version: scan.text_of(",\"price_version\":")?,
        response_id: scan.text_of(",\"response_id\":")?,
        made_at_provider: scan.texts_of(",\"made_at_provider\":[")?,
        http_status: scan.number_of(",\"http_status\":")?,
        duration_ms: scan.number_of(",\"duration_ms\":")?,
        error: scan.error()?,
        budgets: scan.list_of(",\"budgets\":")?,
    })
}

/// What is left of a line.
struct Scan<'a>(&'a str);

/// `None`: not in our form. The inner option: whether the member is there.
type Member<T> = Option<Option<T>>;

impl<'a> Scan<'a> {
    fn eat(&mut self, literal: &str) -> bool {
        let rest = self.0.strip_prefix(literal);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip(&mut self, literal: &str) -> Option<()> {
        self.eat(literal).then_some(())
    }

    fn text(&mut self) -> Option<Text<'a>> {
        let inner = self.0.strip_prefix('"')?;
        let end = memchr::memchr2(b'"', b'\\', inner.as_bytes())?;
        if inner.as_bytes().get(end) == Some(&b'"') {
            let (text, rest) = inner.split_at_checked(end)?;
            self.0 = rest.get(1..)?;
            // Not `all`: this looks at many bytes at a time.
            let plain = text
                .bytes()
                .fold(true, |plain, byte| plain & (byte >= 0x20));
            return plain.then_some(Text(Cow::Borrowed(text)));
        }
        self.escaped()
    }

    /// A text with escapes: finds its end and leaves the rest to `serde_json`.
    fn escaped(&mut self) -> Option<Text<'a>> {
        let mut escape = false;
        let end = self.0.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escape;
            escape = byte == b'\\' && !escape;
            ends
        })?;
        let (token, rest) = self.0.split_at_checked(end + 2)?;
        self.0 = rest;
        serde_json::from_str(token)
            .ok()
            .map(|text| Text(Cow::Owned(text)))
    }

    fn number(&mut self) -> Option<u64> {
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        // A zero in front is not JSON.
        let fine = digits == "0" || !digits.starts_with('0');
        digits.parse().ok().filter(|_| fine)
    }

    fn text_of(&mut self, key: &str) -> Member<Text<'a>> {
        if self.eat(key) {
            self.text().map(Some)
        } else {
            Some(None)
        }
    }

    fn number_of<T: TryFrom<u64>>(&mut self, key: &str) -> Member<T> {
        if self.eat(key) {
            T::try_from(self.number()?).ok().map(Some)
        } else {
            Some(None)
        }
    }

    fn signed_of(&mut self, key: &str) -> Member<i64> {
        if !self.eat(key) {
            return Some(None);
        }
        let negative = self.eat("-");
        let number = i64::try_from(self.number()?).ok()?;
        match (negative, number) {
            (true, 0) => None,
            (true, _) => Some(Some(-number)),
            (false, _) => Some(Some(number)),
        }
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        self.skip(key)?;
        if self.eat("true") {
            Some(true)
        } else {
            self.skip("false").map(|()| false)
        }
    }

    /// A list of texts; one that is not there is empty. `key` ends with the bracket.
    fn texts_of(&mut self, key: &str) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        if self.eat(key) {
            texts.push(self.text()?.0.into_owned());
            while self.eat(",") {
                texts.push(self.text()?.0.into_owned());
            }
            self.skip("]")?;
        }
        Some(texts)
    }

    /// A list of texts, as it stands there.
    fn list_of(&mut self, key: &str) -> Member<Verbatim<'a>> {
        if !self.eat(key) {
            return Some(None);
        }
        let whole = self.0;
        self.skip("[")?;
        if !self.eat("]") {
            self.text()?;
            while self.eat(",") {
                self.text()?;
            }
            self.skip("]")?;
        }
        let list = whole.get(..whole.len().checked_sub(self.0.len())?)?;
        Some(Some(Verbatim(list)))
    }

    fn usage(&mut self) -> Member<UsageIn> {
        if !self.eat(",\"usage\":{") {
            return Some(None);
        }
        self.skip("\"input_tokens\":")?;
        let input_tokens = self.number()?;
        let usage = UsageIn {
            input_tokens,
            output_tokens: self.count(",\"output_tokens\":")?,
            cache_read_input_tokens: self.count(",\"cache_read_input_tokens\":")?,
            cache_creation_input_tokens: self.count(",\"cache_creation_input_tokens\":")?,
            cache_creation_5m_tokens: self.count(",\"cache_creation_5m_tokens\":")?,
            cache_creation_1h_tokens: self.count(",\"cache_creation_1h_tokens\":")?,
            reasoning_tokens: self.count(",\"reasoning_tokens\":")?,
            input_audio_tokens: self.count(",\"input_audio_tokens\":")?,
            output_audio_tokens: self.count(",\"output_audio_tokens\":")?,
        };
        self.skip("}")?;
        Some(Some(usage))
    }

    fn count(&mut self, key: &str) -> Option<u64> {
        self.number_of(key).map(Option::unwrap_or_default)
    }

    fn certainty(&mut self) -> Member<Certainty> {
        if !self.eat(",\"certainty\":") {
            return Some(None);
        }
        let known = [
            ("\"exact\"", Certainty::Exact),
            ("\"estimated\"", Certainty::Estimated),
            ("\"orphaned\"", Certainty::Orphaned),
        ];
        known
            .into_iter()
            .find(|(text, _)| self.eat(text))
            .map(|(_, certainty)| Some(certainty))
    }

    fn error(&mut self) -> Member<ErrorIn<'a>> {
        if !self.eat(",\"error\":{\"type\":") {
            return Some(None);
        }
        let kind = self.text()?;
        let http_status = self.number_of(",\"http_status\":")?;
        self.skip("}")?;
        Some(Some(ErrorIn { kind, http_status }))
    }
}
