//! Words to look for: a trie that is walked from each place where a word may begin.
//!
//! A walk ends at the first character that no word goes on with, at the latest after the longest word, so that a
//! search takes time in proportion to the text.

use std::collections::HashMap;

/// Compiled words.
pub(super) struct Words {
    /// Where each node leads, by node and folded character. The root is node 0.
    next: HashMap<(u32, char), u32>,
    /// For each node, the first word that ends there.
    ends: Vec<Option<usize>>,
    case_sensitive: bool,
    whole_word: bool,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.ends.iter().flatten().count();
        f.debug_struct("Words").field("words", &words).finish()
    }
}

impl Words {
    /// Compiles a list. Empty words are never found.
    pub(super) fn new(words: &[String], case_sensitive: bool, whole_word: bool) -> Self {
        let mut compiled = Self {
            next: HashMap::new(),
            ends: vec![None],
            case_sensitive,
            whole_word,
        };
        for (place, word) in words.iter().enumerate() {
            compiled.add(word, place);
        }
        compiled
    }

    fn add(&mut self, word: &str, place: usize) {
        let mut node = 0;
        for character in folded(word, self.case_sensitive) {
            let fresh = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
            let to = *self.next.entry((node, character)).or_insert(fresh);
            if to == fresh {
                self.ends.push(None);
            }
            node = to;
        }
        if node != 0
            && let Some(end) = usize::try_from(node)
                .ok()
                .and_then(|node| self.ends.get_mut(node))
        {
            end.get_or_insert(place);
        }
    }

    /// The place in the list of a word that the text holds.
    pub(super) fn find(&self, text: &str) -> Option<usize> {
        let mut before = None;
        for (at, first) in text.char_indices() {
            let inside = self.whole_word && joined(before, Some(first));
            before = Some(first);
            if inside {
                continue;
            }
            let rest = text.get(at..).unwrap_or_default();
            if let Some(place) = self.begins(rest) {
                return Some(place);
            }
        }
        None
    }

    /// The word that `rest` begins with.
    fn begins(&self, rest: &str) -> Option<usize> {
        let mut node = 0;
        let mut characters = rest.chars().peekable();
        while let Some(character) = characters.next() {
            for folded in fold(character, self.case_sensitive) {
                node = *self.next.get(&(node, folded))?;
            }
            let end = usize::try_from(node)
                .ok()
                .and_then(|node| self.ends.get(node));
            if let Some(Some(place)) = end
                && !(self.whole_word && joined(Some(character), characters.peek().copied()))
            {
                return Some(*place);
            }
        }
        None
    }
}

fn folded(word: &str, case_sensitive: bool) -> impl Iterator<Item = char> {
    word.chars()
        .flat_map(move |character| fold(character, case_sensitive))
}

/// One character as it is compared. Both forms of the small sigma are one letter.
fn fold(character: char, case_sensitive: bool) -> impl Iterator<Item = char> {
    let kept = case_sensitive.then_some(character);
    let lowered = (!case_sensitive).then(|| character.to_lowercase());
    kept.into_iter()
        .chain(lowered.into_iter().flatten())
        .map(move |folded| {
            if folded == 'ς' && !case_sensitive {
                'σ'
            } else {
                folded
            }
        })
}

/// Whether two neighbours belong to one word.
fn joined(left: Option<char>, right: Option<char>) -> bool {
    let of_word = |character: char| {
        (character.is_alphanumeric() || character == '_') && !written_without_spaces(character)
    };
    left.is_some_and(of_word) && right.is_some_and(of_word)
}

/// Scripts whose words stand next to each other or take endings: there a word is found wherever it stands.
const fn written_without_spaces(character: char) -> bool {
    matches!(character,
        '\u{0e00}'..='\u{0eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}
