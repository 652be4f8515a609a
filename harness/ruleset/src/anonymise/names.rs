//! Names: what they become, remembered, so that it is known whether any stands for another one of the same file.

mod comments;
mod identifiers;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::key::Key;
use super::permute;

/// Names with fewer letters and digits are too common to say anything, and too few for all of them to become others.
const SHORT: usize = 4;

/// Everything that one key replaces.
pub(super) struct Names {
    key: [u8; 32],
    known: HashMap<(Kind, String), String>,
    addresses: HashMap<IpAddr, IpAddr>,
}

/// Kinds of names, each with an alphabet of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// Letters and digits as they come; signs stay.
    Name,
    /// The same, and digits stay digits.
    Numbered,
    /// `A` to `Z`, `2` to `7`.
    Base32,
    /// `0` to `9`, `a` to `f`.
    Hex,
    /// Letters, digits, `-` and `_`.
    Base64,
}

impl Names {
    /// Nothing is replaced yet.
    pub(super) fn new(key: &Key) -> Self {
        Self { key: key.0, known: HashMap::new(), addresses: HashMap::new() }
    }

    /// The key.
    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Remembers an address.
    pub(super) fn note_address(&mut self, address: IpAddr, mapped: IpAddr) {
        self.addresses.insert(address, mapped);
    }

    /// A name that stands alone: a namespace, a Service, a port, a node.
    pub(super) fn label(&mut self, name: &str) -> String {
        self.replace(Kind::Name, name, |_| true)
    }

    /// Hexadecimal digits in lower case.
    pub(super) fn hex(&mut self, digits: &str) -> String {
        self.replace(Kind::Hex, digits, |_| true)
    }

    /// Permutes until what comes out is of the sort that went in: one to one all the same, as each goes on along a cycle
    /// of the permutation.
    fn replace(&mut self, kind: Kind, name: &str, is_same_sort: impl Fn(&str) -> bool) -> String {
        let known = (kind, name.to_owned());
        if let Some(mapped) = self.known.get(&known) {
            return mapped.clone();
        }
        let mut mapped = self.permuted(kind, name);
        // The cycle leads back to the name, which is of its own sort.
        while mapped != name && !is_same_sort(&mapped) {
            mapped = self.permuted(kind, &mapped);
        }
        self.known.insert(known, mapped.clone());
        mapped
    }

    fn permuted(&self, kind: Kind, name: &str) -> String {
        if !name.is_ascii() {
            return self.hashed(name);
        }
        let (mut shape, mut bases, mut places) = (vec![kind as u8], Vec::new(), Vec::new());
        for (index, byte) in name.bytes().enumerate() {
            let alphabet = kind.alphabet(byte, index == 0);
            let Some(place) = alphabet.iter().position(|&letter| letter == byte) else {
                shape.push(byte);
                continue;
            };
            shape.push(0x80 | alphabet.len() as u8);
            bases.push(alphabet.len() as u8);
            places.push(place as u8);
        }
        permute::digits(&self.key, &shape, &bases, &mut places);
        let mut places = places.into_iter();
        name.bytes()
            .enumerate()
            .map(|(index, byte)| {
                let alphabet = kind.alphabet(byte, index == 0);
                let place = alphabet.contains(&byte).then(|| places.next()).flatten();
                char::from(place.and_then(|place| alphabet.get(usize::from(place)).copied()).unwrap_or(byte))
            })
            .collect()
    }

    /// What is not ASCII has no alphabet: as many letters as it has bytes.
    fn hashed(&self, name: &str) -> String {
        let digest =
            |block: usize| permute::digest(&self.key, "hash", &[&block.to_be_bytes(), name.as_bytes()]);
        let letters = (0..).flat_map(|block| digest(block).map(|byte| char::from(b'a' + byte % 26)));
        letters.take(name.len()).collect()
    }

    /// What a person should know: whether a name or address of the text is, by chance, what another one has become.
    pub(super) fn remarks(&self) -> Vec<String> {
        let letters = |name: &str| name.bytes().filter(u8::is_ascii_alphanumeric).count();
        let originals: HashSet<&str> = self.known.keys().map(|(_, name)| name.as_str()).collect();
        let names =
            self.known.values().filter(|name| letters(name) >= SHORT && originals.contains(name.as_str()));
        let addresses = self.addresses.values().filter(|mapped| self.addresses.contains_key(mapped));
        let mut remarks = Vec::new();
        for (count, what) in [(names.count(), "names"), (addresses.count(), "addresses")] {
            if count > 0 {
                remarks.push(format!(
                    "{count} {what} of the output are also in the input, where others bear them; another key may avoid that"
                ));
            }
        }
        remarks
    }
}

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
const LOWER_AND_DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &[u8] = b"0123456789abcdef";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Kind {
    /// What a letter may become; empty: it stays. A name that begins with a letter still does: DNS asks for it.
    fn alphabet(self, letter: u8, is_first: bool) -> &'static [u8] {
        match (self, letter) {
            (Kind::Base32, _) => BASE32,
            (Kind::Hex, _) => HEX,
            (Kind::Base64, _) => BASE64,
            (_, b'A'..=b'Z') => UPPER,
            (Kind::Name, b'a'..=b'z' | b'0'..=b'9') if !is_first => LOWER_AND_DIGITS,
            (_, b'a'..=b'z') => LOWER,
            (_, b'0'..=b'9') => DIGITS,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests;
