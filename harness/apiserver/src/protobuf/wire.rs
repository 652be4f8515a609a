//! The encoding itself: fields, numbers, lengths (protobuf.dev, "Encoding").

use std::collections::BTreeMap;

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Behind bytes that are no field.
    pub(super) fn starting(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// What stands before a field of so many bytes.
    pub(super) fn header(&mut self, tag: u32, length: usize) {
        self.varint(u64::from(tag) << 3 | 2);
        self.varint(length as u64);
    }

    fn field(&mut self, tag: u32, bytes: &[u8]) {
        self.header(tag, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, tag: u32, text: &str) {
        self.field(tag, text.as_bytes());
    }

    /// One for each: of an option, or of a list.
    pub(super) fn texts<T: AsRef<str>>(&mut self, tag: u32, texts: impl IntoIterator<Item = T>) {
        texts.into_iter().for_each(|text| self.text(tag, text.as_ref()));
    }

    pub(super) fn message(&mut self, tag: u32, message: &Message) {
        self.field(tag, &message.0);
    }

    pub(super) fn number(&mut self, tag: u32, number: Option<i64>) {
        if let Some(number) = number {
            self.varint(u64::from(tag) << 3);
            // Negative ones as two's complement of 64 bits.
            self.varint(number as u64);
        }
    }

    pub(super) fn flag(&mut self, tag: u32, flag: Option<bool>) {
        self.number(tag, flag.map(i64::from));
    }

    /// An entry of a map.
    pub(super) fn entry(&mut self, tag: u32, key: &str, value: &str) {
        let mut entry = Message::default();
        entry.text(1, key);
        entry.text(2, value);
        self.message(tag, &entry);
    }

    pub(super) fn map(&mut self, tag: u32, map: &Option<BTreeMap<String, String>>) {
        map.iter().flatten().for_each(|(key, value)| self.entry(tag, key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the documentation of protobuf.
    #[test]
    fn fields_are_as_documented() {
        let mut message = Message::default();
        message.number(1, Some(150));
        assert_eq!(message.clone().bytes(), [0x08, 0x96, 0x01]);
        let mut outer = Message::default();
        outer.text(2, "testing");
        outer.message(3, &message);
        assert_eq!(outer.bytes(), b"\x12\x07testing\x1a\x03\x08\x96\x01");
        let mut negative = Message::default();
        negative.number(1, Some(-2));
        assert_eq!(negative.bytes(), b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        let mut none = Message::default();
        none.flag(1, None);
        none.flag(20, Some(true));
        none.texts(1, None::<&str>);
        none.map(3, &Some([("k".to_owned(), "v".to_owned())].into()));
        assert_eq!(none.bytes(), b"\xa0\x01\x01\x1a\x06\x0a\x01k\x12\x01v");
    }
}
