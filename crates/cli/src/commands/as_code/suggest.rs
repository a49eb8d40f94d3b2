//! The word that was probably meant.

/// `; did you mean …?`, or nothing when no word is near.
pub(super) fn did_you_mean<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> String {
    match closest(text, words) {
        Some(word) => format!("; did you mean `{word}`?"),
        None => String::new(),
    }
}

/// The nearest word within a third of the length.
fn closest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (text.chars().count() / 3).max(1);
    let near = words.map(|word| (distance(&fold(text), &fold(word)), word));
    let best = near.min_by_key(|(distance, _)| *distance);
    best.filter(|(distance, _)| *distance <= limit)
        .map(|(_, word)| word)
}

/// Case and separators are what people get wrong first.
fn fold(text: &str) -> Vec<char> {
    let letters = text.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let replace = at(&last, j) + usize::from(x != y);
            let mut best = replace.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = j > 0 && previous == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        previous = Some(x);
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let words = ["scopes", "name", "providersAllowed", "limit_usd"];
        for (text, expected) in [
            ("scoeps", "; did you mean `scopes`?"),
            ("scope", "; did you mean `scopes`?"),
            ("nmae", "; did you mean `name`?"),
            ("providers-allowed", "; did you mean `providersAllowed`?"),
            ("limitUsd", "; did you mean `limit_usd`?"),
            ("colour", ""),
            ("", ""),
        ] {
            assert_eq!(did_you_mean(text, words.into_iter()), expected, "{text}");
        }
    }
}
