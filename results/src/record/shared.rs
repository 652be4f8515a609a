//! One copy of equal texts, so that what a million rows repeat is in memory once.

use std::collections::HashSet;

use super::units::Text;

/// A column with more different texts than this hardly repeats any: those beyond are kept row by row.
const MOST: usize = 1 << 16;

/// The texts that a column has had so far.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    last: Text,
    known: HashSet<Text>,
}

impl Shared {
    /// `text`, as the copy that earlier rows have if one of them has it.
    pub(crate) fn text(&mut self, text: &str) -> Text {
        if self.last != text {
            self.last = self.known.get(text).cloned().unwrap_or_else(|| {
                let new = Text::from(text);
                if self.known.len() < MOST {
                    self.known.insert(new.clone());
                }
                new
            });
        }
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_copy() {
        let mut shared = Shared::default();
        let texts = ["", "a", "b", "a", "a", ""].map(|text| shared.text(text));
        assert_eq!(texts, ["", "a", "b", "a", "a", ""]);
        assert!(Text::ptr_eq(&texts[1], &texts[3]) && Text::ptr_eq(&texts[1], &texts[4]));
    }

    #[test]
    fn too_many_different_ones_are_texts_all_the_same() {
        let mut shared = Shared::default();
        for round in 0..2 {
            for number in 0..MOST + 10 {
                let text = number.to_string();
                assert_eq!(shared.text(&text), text, "round {round}");
            }
        }
        assert_eq!(shared.known.len(), MOST);
    }
}
