//! Sentences with figures in them.

use crate::table::Source;

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentencePart {
    /// Words.
    Words(String),
    /// A figure, and the rows that it comes from.
    Figure {
        /// As people read it.
        text: String,
        /// Its rows.
        source: Source,
    },
}

/// A sentence, whole with its full stop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sentence {
    /// Its parts, to be read without anything between them.
    pub parts: Vec<SentencePart>,
}

impl Sentence {
    /// The sentence as text alone.
    pub fn text(&self) -> String {
        let text = |part: &SentencePart| match part {
            SentencePart::Words(text) | SentencePart::Figure { text, .. } => text.clone(),
        };
        self.parts.iter().map(text).collect()
    }

    pub(crate) fn say(&mut self, words: impl Into<String>) {
        match self.parts.last_mut() {
            Some(SentencePart::Words(last)) => last.push_str(&words.into()),
            _ => self.parts.push(SentencePart::Words(words.into())),
        }
    }

    pub(crate) fn show(&mut self, text: impl Into<String>, source: Source) {
        self.parts.push(SentencePart::Figure { text: text.into(), source });
    }
}
