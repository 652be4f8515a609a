//! Whose a rule is, by its comment.

/// The Service that a comment of kube-proxy's is about: `ns/name:port` in `masquerade traffic for ns/name:port external
/// destinations`.
pub(super) fn of_comment(comment: &str) -> Option<String> {
    comment.split(' ').find(|word| is_name(word)).map(str::to_owned)
}

/// `ns/name` or `ns/name:port`, as Kubernetes lets them be.
fn is_name(word: &str) -> bool {
    let Some((namespace, rest)) = word.split_once('/') else { return false };
    let (name, port) = rest.split_once(':').unwrap_or((rest, ""));
    let is_label = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    !namespace.is_empty() && !name.is_empty() && [namespace, name, port].into_iter().all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_names_its_service() {
        let of = |comment| of_comment(comment).unwrap_or_default();
        assert_eq!(of("demo/web:http cluster IP"), "demo/web:http");
        assert_eq!(of("masquerade traffic for demo/web external destinations"), "demo/web");
        assert_eq!(of("demo/web:http -> 10.244.0.11:8080"), "demo/web:http");
        assert_eq!(of("kubernetes service nodeports; NOTE: this must be the last rule in this chain"), "");
        assert_eq!(of("cali:abc/def=="), "");
    }
}
