//! `continue`: where the next chunk of a list begins, and of which moment it is.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::object::Name;

/// Its contents; clients must not look into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Of the first chunk, and so of all.
    pub rv: u64,
    namespace: Box<str>,
    name: Box<str>,
}

impl Token {
    pub(crate) fn new(rv: u64, behind: &Name) -> Self {
        Self { rv, namespace: behind.namespace.clone(), name: behind.name.clone() }
    }

    /// The object behind which the chunk begins.
    pub(crate) fn behind(&self) -> Name {
        Name { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let json = serde_json::json!({"rv": self.rv, "namespace": self.namespace, "name": self.name});
        BASE64URL_NOPAD.encode(json.to_string().as_bytes())
    }

    /// From text; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_read_back(rv: u64, namespace in ".*", name in ".*") {
            let token = Token { rv, namespace: namespace.into(), name: name.into() };
            prop_assert_eq!(Token::parse(&token.text()), Some(token));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*|[A-Za-z0-9_-]*") {
            let _ = Token::parse(&text);
        }
    }
}
