//! OpenAI Responses: numbers that rise, items that open and close, and ends that repeat their deltas.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Frame, Legal, ensure};

pub(super) fn check(frames: &[Frame]) -> Legal {
    let mut order = Order::default();
    for frame in frames {
        let kind = frame.kind();
        let named = frame.event.as_deref() == Some(kind);
        ensure(named, || format!("event name {:?} of {kind}", frame.event))?;
        if !frame.is_error() {
            order.number(&frame.json)?;
        }
        order.take(kind, &frame.json)?;
    }
    ensure(order.over, || "no end".to_owned())
}

#[derive(Default)]
struct Order {
    last: Option<u64>,
    created: bool,
    /// The open item.
    open: Option<Item>,
    next: u64,
    /// Complete items, as their last event had them.
    done: Vec<Value>,
    over: bool,
}

struct Item {
    index: u64,
    id: Value,
    kind: String,
    /// Text of each part (`content_index` or `summary_index`), gathered from deltas.
    parts: BTreeMap<u64, Part>,
    arguments: String,
    arguments_done: bool,
}

#[derive(Default)]
struct Part {
    text: String,
    text_done: bool,
    closed: bool,
}

impl Order {
    fn number(&mut self, json: &Value) -> Legal {
        let number = json["sequence_number"]
            .as_u64()
            .ok_or("no sequence_number")?;
        let expected = self.last.map_or(0, |last| last + 1);
        ensure(number == expected, || {
            format!("number {number} where {expected} is due")
        })?;
        self.last = Some(number);
        Ok(())
    }

    fn take(&mut self, kind: &str, json: &Value) -> Legal {
        ensure(!self.over, || format!("{kind} after the end"))?;
        let early = !self.created && !matches!(kind, "response.created" | "error");
        ensure(!early, || format!("{kind} before response.created"))?;
        match kind {
            "response.created" => {
                ensure(!self.created, || "created twice".to_owned())?;
                self.created = true;
                let fresh = json["response"]["status"] == "in_progress";
                ensure(fresh, || "a response that begins is in progress".to_owned())
            }
            "response.in_progress" => ensure(self.next == 0, || {
                "in_progress after the first item".to_owned()
            }),
            "response.output_item.added" => self.added(json),
            "response.output_item.done" => self.item_done(json),
            "response.completed" | "response.incomplete" | "response.failed" => {
                ensure(self.open.is_none(), || {
                    "an end with an open item".to_owned()
                })?;
                self.over = true;
                let response = &json["response"];
                let status = kind.trim_start_matches("response.");
                ensure(response["status"] == status, || {
                    format!("{kind} with another status")
                })?;
                let output = response["output"]
                    .as_array()
                    .ok_or("no output at the end")?;
                ensure(*output == self.done, || {
                    format!("the end repeats {output:?} and not {:?}", self.done)
                })
            }
            // An item that broke off is not closed: its end would say that it is whole.
            "error" => {
                self.over = true;
                Ok(())
            }
            _ => self
                .open
                .as_mut()
                .ok_or(format!("{kind} without an item"))?
                .take(kind, json),
        }
    }

    fn added(&mut self, json: &Value) -> Legal {
        ensure(self.open.is_none(), || "two open items".to_owned())?;
        ensure(json["output_index"] == self.next, || {
            "an index out of order".to_owned()
        })?;
        let item = &json["item"];
        let kind = item["type"].as_str().ok_or("an item without a type")?;
        ensure(item["id"].as_str().is_some_and(|id| !id.is_empty()), || {
            "no id".to_owned()
        })?;
        self.open = Some(Item {
            index: self.next,
            id: item["id"].clone(),
            kind: kind.to_owned(),
            parts: BTreeMap::new(),
            arguments: String::new(),
            arguments_done: false,
        });
        self.next += 1;
        Ok(())
    }

    fn item_done(&mut self, json: &Value) -> Legal {
        let item = self.open.take().ok_or("done without an item")?;
        let last = &json["item"];
        let same = json["output_index"] == item.index && last["id"] == item.id;
        ensure(same, || "another item is done".to_owned())?;
        ensure(last["type"] == item.kind.as_str(), || {
            "an item of another type".to_owned()
        })?;
        ensure(item.parts.values().all(|part| part.closed), || {
            "an open part".to_owned()
        })?;
        let key = if item.kind == "reasoning" {
            "summary"
        } else {
            "content"
        };
        for (n, part) in &item.parts {
            let at = usize::try_from(*n).map_err(|error| error.to_string())?;
            let whole = &last[key][at];
            let text = [&whole["text"], &whole["refusal"]]
                .iter()
                .find_map(|text| text.as_str())
                .unwrap_or_default();
            ensure(text == part.text, || {
                format!("the item repeats {text:?}, not {:?}", part.text)
            })?;
        }
        if item.kind == "function_call" {
            ensure(item.arguments_done, || {
                "arguments that were never done".to_owned()
            })?;
            let same = last["arguments"] == item.arguments.as_str();
            ensure(same, || "the item repeats other arguments".to_owned())?;
        }
        self.done.push(last.clone());
        Ok(())
    }
}

impl Item {
    fn take(&mut self, kind: &str, json: &Value) -> Legal {
        let same = json["output_index"] == self.index && json["item_id"] == self.id;
        ensure(same, || format!("{kind} of another item"))?;
        let words = match kind.strip_prefix("response.").unwrap_or(kind) {
            "content_part.added" | "reasoning_summary_part.added" => {
                let at = part_index(json)?;
                let expected = self.parts.len() as u64;
                ensure(at == expected, || "a part out of order".to_owned())?;
                self.parts.insert(at, Part::default());
                return Ok(());
            }
            "content_part.done" | "reasoning_summary_part.done" => {
                let part = self.part(json)?;
                part.closed = true;
                return ensure(part.text_done, || {
                    "a part whose text is not done".to_owned()
                });
            }
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                self.arguments
                    .push_str(json["delta"].as_str().ok_or("no delta")?);
                return Ok(());
            }
            "function_call_arguments.done" => {
                self.arguments_done = true;
                let same = json["arguments"] == self.arguments.as_str();
                return ensure(same, || "done with other arguments".to_owned());
            }
            "custom_tool_call_input.done" => {
                let same = json["input"] == self.arguments.as_str();
                return ensure(same, || "done with other input".to_owned());
            }
            "output_text.annotation.added" => return self.part(json).map(|_| ()),
            "output_text.delta" | "reasoning_summary_text.delta" | "refusal.delta" => {
                let delta = json["delta"].as_str().ok_or("no delta")?.to_owned();
                let part = self.part(json)?;
                part.text.push_str(&delta);
                return ensure(!part.text_done, || "a delta behind its end".to_owned());
            }
            "output_text.done" | "reasoning_summary_text.done" => &json["text"],
            "refusal.done" => &json["refusal"],
            other => return Err(format!("{other} is no event of this dialect")),
        };
        let part = self.part(json)?;
        part.text_done = true;
        ensure(*words == part.text.as_str(), || {
            "done with another text".to_owned()
        })
    }

    fn part(&mut self, json: &Value) -> Result<&mut Part, String> {
        let at = part_index(json)?;
        let part = self
            .parts
            .get_mut(&at)
            .ok_or("a part that was never added")?;
        if part.closed {
            return Err("a part that is closed".to_owned());
        }
        Ok(part)
    }
}

fn part_index(json: &Value) -> Result<u64, String> {
    let index = json["content_index"]
        .as_u64()
        .or(json["summary_index"].as_u64());
    index.ok_or_else(|| "a part without an index".to_owned())
}
