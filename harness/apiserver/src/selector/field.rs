//! `fieldSelector`: `path=value`, `path==value`, `path!=value`, with commas between them.

use crate::object::Stored;
use crate::resource::Resource;

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldTerm {
    path: String,
    value: String,
    equal: bool,
}

impl FieldTerm {
    pub(super) fn matches(&self, object: &Stored) -> bool {
        (object.field(&self.path) == self.value) == self.equal
    }
}

/// Reads a selector; empty terms are passed over, as by the real API server.
pub(super) fn parse(text: &str, resource: Resource) -> Result<Vec<FieldTerm>, String> {
    split(text).into_iter().filter(|term| !term.is_empty()).map(|term| parse_term(term, resource)).collect()
}

/// At the commas that no backslash precedes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        if byte == b',' && !escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn parse_term(term: &str, resource: Resource) -> Result<FieldTerm, String> {
    let invalid = || format!("invalid selector: '{term}'; can't understand '{term}'");
    let at = term.find('=').ok_or_else(invalid)?;
    let (path, equal) = match term[..at].strip_suffix('!') {
        Some(path) => (path, false),
        None => (&term[..at], true),
    };
    let value = &term[at + 1..];
    let value = if equal { value.strip_prefix('=').unwrap_or(value) } else { value };
    let known = ["metadata.name", "metadata.namespace"];
    if !known.contains(&path) && !resource.facts().fields.contains(&path) {
        return Err(format!("field label not supported: {path}"));
    }
    Ok(FieldTerm { path: path.to_owned(), value: unescaped(value)?, equal })
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => value.push(next),
                _ => return Err(format!("invalid field selector: invalid escape sequence in {text}")),
            },
            '=' => return Err(format!("invalid field selector: unescaped character in {text}: =")),
            _ => value.push(char),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String, bool)>, String> {
        let terms = parse(text, Resource::Services)?;
        Ok(terms.into_iter().map(|term| (term.path, term.value, term.equal)).collect())
    }

    #[test]
    fn every_form_is_read() {
        let term = |path: &str, value: &str, equal| (path.to_owned(), value.to_owned(), equal);
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("spec.clusterIP!=None").unwrap(), [term("spec.clusterIP", "None", false)]);
        assert_eq!(
            read("metadata.name=a,spec.type==NodePort,").unwrap(),
            [term("metadata.name", "a", true), term("spec.type", "NodePort", true)]
        );
        assert_eq!(read(r"metadata.name=a\,b\=c\\").unwrap(), [term("metadata.name", r"a,b=c\", true)]);
        assert_eq!(read("metadata.name=").unwrap(), [term("metadata.name", "", true)]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("spec.ports=1", "field label not supported: spec.ports"),
            ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
            (r"metadata.name=\a", r"invalid field selector: invalid escape sequence in \a"),
            ("metadata.name=a=b", "invalid field selector: unescaped character in a=b: ="),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
    }
}
