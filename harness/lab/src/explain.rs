//! Errors as a person reads them.

/// An error and its causes on one line, without repeating a cause that the text before has said already.
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read x: {source}")]
        struct Read {
            source: std::io::Error,
        }
        let read = Read { source: std::io::Error::other("no such thing") };
        assert_eq!(
            explain(&anyhow::Error::new(read).context("looking")),
            "looking: cannot read x: no such thing"
        );
    }
}
