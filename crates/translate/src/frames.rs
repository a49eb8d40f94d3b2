//! JSON objects that stand behind one another, as a list or bare, read across any split of the bytes
//! (providers 22: Gemini without `alt=sse`).

/// Largest object that is looked at; a larger one is skipped.
const ITEM_CAP: usize = 4 * 1024 * 1024;

/// Splits bytes into top-level objects. Brackets and commas around them are skipped.
#[derive(Debug, Default)]
pub struct JsonItems {
    item: Vec<u8>,
    depth: u32,
    in_text: bool,
    escaped: bool,
    overlong: bool,
}

impl JsonItems {
    /// Takes the next bytes and calls `on_item` with each object that ends in them.
    pub fn push(&mut self, bytes: &[u8], mut on_item: impl FnMut(&[u8])) {
        for &byte in bytes {
            if self.depth == 0 && byte != b'{' {
                continue;
            }
            if self.item.len() >= ITEM_CAP {
                self.overlong = true;
                self.item = Vec::new();
            }
            if !self.overlong {
                self.item.push(byte);
            }
            if self.escaped {
                self.escaped = false;
                continue;
            }
            match byte {
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' if !self.in_text => self.depth += 1,
                b'}' if !self.in_text => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let item = std::mem::take(&mut self.item);
                        if !std::mem::take(&mut self.overlong) {
                            on_item(&item);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The bytes are over. An object that has not ended is not one.
    pub fn finish(&mut self, _on_item: impl FnMut(&[u8])) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = JsonItems::default();
        let mut found = Vec::new();
        for piece in pieces {
            reader.push(piece, |item| {
                found.push(String::from_utf8_lossy(item).into_owned())
            });
        }
        found
    }

    #[test]
    fn lists_and_lines_give_their_objects() {
        let expected = [r#"{"a":"}{\"]"}"#, r#"{"b":{"c":[{}]}}"#];
        for text in [
            format!("[{},\r\n{}\n]", expected[0], expected[1]),
            format!("{}\n{}\n", expected[0], expected[1]),
        ] {
            assert_eq!(items(&[text.as_bytes()]), expected);
        }
        assert!(items(&[b"[{\"open\":1"]).is_empty());
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_objects(cut in prop::collection::vec(0..60_usize, 0..6)) {
            let text = br#"[{"a":"}{\"]\\"},{"b":{"c":[{"d":null}]}} , {"e":"x"}]"#;
            let mut cuts: Vec<usize> = cut.into_iter().map(|at| at.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for at in cuts {
                pieces.push(&text[from..at]);
                from = at;
            }
            pieces.push(&text[from..]);
            prop_assert_eq!(items(&pieces), items(&[text]));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            items(&[&bytes]);
        }
    }
}
