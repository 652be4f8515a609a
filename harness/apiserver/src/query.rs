//! Query strings, read strictly: what Go's `url.ParseQuery` refuses is refused.

use std::collections::BTreeMap;

/// The parameters of a request; of one that is there twice, the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads `a=b&c`; says in words what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut query = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                return Err("invalid semicolon separator in query".into());
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(&name.replace('+', " "))?;
            query.entry(name).or_insert(decoded(&value.replace('+', " "))?);
        }
        Ok(Self(query))
    }

    /// The value of a parameter; empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether a parameter is there, with a value or without.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// `%2F` as `/`.
pub(crate) fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(format!("invalid URL escape in {text:?}"));
        };
        bytes.extend(u8::try_from(high * 16 + low));
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_decoded_or_refused() {
        let query = Query::parse("a=b%2Cc+d&&watch&a=second&%61b=%3D").unwrap();
        assert_eq!(["a", "watch", "ab", "none"].map(|name| query.text(name)), ["b,c d", "", "=", ""]);
        for text in ["a=%", "a=%2", "a=%2x", "%zz", "a;b", "a=%ff"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = Query::parse(&text);
        }

        #[test]
        fn what_is_escaped_is_read_back(value in ".*") {
            let escaped: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let query = Query::parse(&format!("x={escaped}")).unwrap();
            prop_assert_eq!(query.text("x"), value);
        }
    }
}
