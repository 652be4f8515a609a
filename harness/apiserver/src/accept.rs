//! `Accept`: what a client takes, and which of it is sent.

/// How objects are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Json,
    /// In the encoding that Kubernetes' own programs prefer.
    Protobuf,
    /// A `Table` of meta.k8s.io/v1, for people.
    Table,
}

/// The best that both sides can do; `None`: nothing that the client takes. Without a header everything is taken.
pub(crate) fn choose(header: Option<&str>) -> Option<Form> {
    let header = header.map(str::trim).filter(|header| !header.is_empty()).unwrap_or("*/*");
    let mut ranges: Vec<(f32, Form)> = header.split(',').filter_map(range).collect();
    // Equal ones stay in the order of the client.
    ranges.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    ranges.first().map(|&(_, form)| form)
}

/// A media range with its quality, if it can be served.
fn range(text: &str) -> Option<(f32, Form)> {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let is_protobuf = kind == "application/vnd.kubernetes.protobuf";
    if !is_protobuf && !["application/json", "application/*", "*/*"].contains(&kind.as_str()) {
        return None;
    }
    let (mut quality, mut wanted, mut group, mut version) = (1.0_f32, "", "", "");
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "q" => quality = value.trim().parse().ok()?,
            "as" => wanted = value.trim(),
            "g" => group = value.trim(),
            "v" => version = value.trim(),
            // `stream=watch`, `charset=utf-8` and the like change nothing.
            _ => {}
        }
    }
    let form = match (wanted, group, version) {
        ("", ..) if is_protobuf => Form::Protobuf,
        ("", ..) => Form::Json,
        ("Table", "meta.k8s.io", "v1") if !is_protobuf => Form::Table,
        _ => return None,
    };
    (quality > 0.0).then_some((quality, form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_can_be_served_is_sent() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        for (header, form) in [
            (None, Some(Form::Json)),
            (Some(""), Some(Form::Json)),
            (Some("*/*"), Some(Form::Json)),
            (Some(kubectl), Some(Form::Table)),
            (Some("application/vnd.kubernetes.protobuf,application/json"), Some(Form::Protobuf)),
            (Some("application/vnd.kubernetes.protobuf;stream=watch"), Some(Form::Protobuf)),
            (
                Some("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json"),
                Some(Form::Json),
            ),
            (Some("application/vnd.kubernetes.protobuf, */*"), Some(Form::Protobuf)),
            (Some("application/vnd.kubernetes.protobuf"), Some(Form::Protobuf)),
            (Some("application/cbor"), None),
            (Some("application/json;stream=watch"), Some(Form::Json)),
            (
                Some("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"),
                Some(Form::Json),
            ),
            (Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), None),
            (
                Some("application/json;q=0.1, application/json;as=Table;v=v1;g=meta.k8s.io;q=0.5"),
                Some(Form::Table),
            ),
            (Some("application/json;q=0"), None),
            (Some("text/html"), None),
        ] {
            assert_eq!(choose(header), form, "{header:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read(header in ".*|[a-z/*;=,.q0-9 -]*") {
            let _ = choose(Some(&header));
        }
    }
}
