//! Free text: comments and prefixes of log lines.

use super::super::known;
use super::{BASE64, Kind, Names};

impl Names {
    /// A text in which only the words that everybody has are left, and signs and spaces.
    pub(crate) fn comment(&mut self, text: &str) -> String {
        let mut anonymous = String::with_capacity(text.len());
        for piece in text.split_inclusive([' ', '\t']) {
            let word = piece.trim_end_matches([' ', '\t']);
            let core = word.trim_start_matches(OPENING);
            let (opening, core) = (&word[..word.len() - core.len()], core.trim_end_matches(CLOSING));
            let closing = &word[opening.len() + core.len()..];
            anonymous.push_str(opening);
            anonymous.push_str(&self.word_of_comment(core));
            anonymous.push_str(closing);
            anonymous.push_str(&piece[word.len()..]);
        }
        anonymous
    }

    fn word_of_comment(&mut self, word: &str) -> String {
        if let Some(address) = self.address_word(word) {
            return address;
        }
        if known::is_of_comments(word) || is_number(word) {
            return word.to_owned();
        }
        if let Some(hash) =
            word.strip_prefix("cali:").filter(|hash| hash.bytes().all(|byte| BASE64.contains(&byte)))
        {
            return format!("cali:{}", self.replace(Kind::Base64, hash, |_| true));
        }
        if ["KUBE-", "CNI-", "DOCKER-", "cali-"].iter().any(|start| word.starts_with(start)) {
            return self.identifier(word);
        }
        let mut text = String::with_capacity(word.len());
        for piece in word.split_inclusive(['/', ':']) {
            let name = piece.trim_end_matches(['/', ':']);
            text.push_str(&self.label(name));
            text.push_str(&piece[name.len()..]);
        }
        text
    }

    /// A value in a rule of which nothing else is known.
    pub(crate) fn value(&mut self, word: &str) -> String {
        if let Some(address) = self.address_word(word) {
            return address;
        }
        if is_number(word) {
            return word.to_owned();
        }
        let mut text = String::with_capacity(word.len());
        for piece in word.split_inclusive([',', '/']) {
            let inner = piece.trim_end_matches([',', '/']);
            if known::is_value(inner) || is_number(inner) {
                text.push_str(inner);
            } else if let Some(address) = self.address_word(inner) {
                text.push_str(&address);
            } else {
                text.push_str(&self.label(inner));
            }
            text.push_str(&piece[inner.len()..]);
        }
        text
    }
}

const OPENING: [char; 6] = ['"', '\'', '(', '[', '{', '<'];
const CLOSING: [char; 10] = ['"', '\'', ')', ']', '}', '>', ';', ',', '.', ':'];

/// Digits and signs, or a hexadecimal number that is too short for a hash or address.
pub(super) fn is_number(word: &str) -> bool {
    let short_hex = |part: &str| {
        part.strip_prefix("0x")
            .is_some_and(|digits| digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let signs = |byte: u8| {
        matches!(byte, b'.' | b'/' | b':' | b'-' | b',' | b'%' | b'+' | b'!' | b'=' | b'|' | b'&' | b'>')
    };
    // Three dots are an address.
    let is_decimal =
        word.bytes().all(|byte| byte.is_ascii_digit() || signs(byte)) && word.matches('.').count() < 3;
    is_decimal || word.split('/').all(short_hex)
}
