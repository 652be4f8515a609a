//! The page as it grows.

use super::links::Links;
use crate::advice::{Sentence, SentencePart};
use crate::text::escape_html;

/// The page as it grows, and what its table of contents is to list.
pub(super) struct Page<'a> {
    pub out: String,
    pub contents: Vec<(String, String)>,
    pub links: Links<'a>,
}

impl Page<'_> {
    /// Begins a section of the page, which the table of contents lists.
    pub(super) fn section(&mut self, id: &str, heading: &str) {
        self.contents.push((id.to_owned(), heading.to_owned()));
        self.out += &format!("<h2 id=\"{id}\">{}</h2>\n", escape_html(heading));
    }

    pub(super) fn paragraph(&mut self, class: &str, text: &str) {
        if !text.is_empty() {
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            self.out += &format!("<p{class}>{}</p>\n", escape_html(text));
        }
    }

    /// A sentence whose figures lead to their rows.
    pub(super) fn sentence(&mut self, sentence: &Sentence) {
        for part in &sentence.parts {
            self.out += &match part {
                SentencePart::Words(words) => escape_html(words),
                SentencePart::Figure { text, source } => {
                    format!("<a href=\"{}\">{}</a>", self.links.to(*source), escape_html(text))
                }
            };
        }
    }
}
