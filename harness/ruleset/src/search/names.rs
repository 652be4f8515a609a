//! Names of Services, from what kube-proxy writes into comments and names of chains.

use super::found::Frontend;

/// How comments of rules in the list of Services end, and what that says of the address.
const ENDINGS: [(&str, Option<Frontend>); 5] = [
    (" cluster IP", Some(Frontend::Cluster)),
    (" external IP", Some(Frontend::External)),
    (" loadbalancer IP", Some(Frontend::LoadBalancer)),
    (" has no endpoints", None),
    (" has no local endpoints", None),
];

/// `ns/name:port` of `ns/name:port cluster IP`.
pub(super) fn of_comment(comment: &str) -> Option<String> {
    let name = ENDINGS.iter().find_map(|(ending, _)| comment.strip_suffix(ending))?;
    Some(name.to_owned())
}

/// Which kind of address a comment is about.
pub(super) fn frontend_of_comment(comment: &str) -> Option<Frontend> {
    ENDINGS.iter().find(|(ending, _)| comment.ends_with(ending)).and_then(|(_, frontend)| *frontend)
}

/// Whether the chain holds rules that masquerade traffic to cluster IPs.
pub(super) fn is_of_services(chain: &str) -> bool {
    chain == "KUBE-SERVICES" || chain.starts_with("KUBE-SVC-") || chain.starts_with("KUBE-SVL-")
}

/// Whether the chain tells traffic of pods from that from outside, for Services of policy Local.
pub(super) fn is_external(chain: &str) -> bool {
    chain.starts_with("KUBE-EXT-") || chain.starts_with("KUBE-XLB-")
}

/// `ns/name:port` of nftables' `service-HASH-ns/name/tcp/port`, or `endpoint-HASH-ns/name/tcp/port__10.244.0.11/8080`.
pub(crate) fn of_chain(chain: &str) -> Option<String> {
    let name = chain.splitn(3, '-').nth(2)?;
    let mut parts = name.split('/');
    let (namespace, service, _protocol, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let port = port.split_once("__").map_or(port, |(port, _)| port);
    let separator = if port.is_empty() { "" } else { ":" };
    Some(format!("{namespace}/{service}{separator}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_kube_proxy_shows_them() {
        assert_eq!(of_comment("demo/web:http cluster IP").as_deref(), Some("demo/web:http"));
        assert_eq!(of_comment("x/y has no local endpoints").as_deref(), Some("x/y"));
        assert_eq!(of_comment("kubernetes service nodeports"), None);
        assert_eq!(frontend_of_comment("x/y loadbalancer IP"), Some(Frontend::LoadBalancer));
        assert_eq!(of_chain("service-AXK6CI2C-demo/web/tcp/http").as_deref(), Some("demo/web:http"));
        assert_eq!(of_chain("external-AXK6CI2C-de-mo/we-b/tcp/").as_deref(), Some("de-mo/we-b"));
        let endpoints =
            ["endpoint-JXY4WP3I-demo/web/tcp/http__10.244.0.11/8080", "endpoint-A-demo/web/tcp/__fd00::1/80"];
        assert_eq!(endpoints.map(|chain| of_chain(chain).unwrap()), ["demo/web:http", "demo/web"]);
        assert_eq!(of_chain("reject-chain"), None);
    }
}
