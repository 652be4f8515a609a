use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn names() -> Names {
    Names::new(&Key::of_bytes(b"test"))
}

#[test]
fn names_keep_length_case_and_signs() {
    let mut names = names();
    for name in ["web", "web-frontend", "a", "svc-00012", "Über", "MY-Chain_2", "9p"] {
        let label = names.label(name);
        assert_eq!(label.len(), name.len(), "{name}: {label}");
        assert_eq!(label.find('-'), name.find('-'), "{name}: {label}");
        assert_eq!(
            label.as_bytes()[0].is_ascii_digit(),
            name.as_bytes()[0].is_ascii_digit(),
            "{name}: {label}"
        );
        assert_eq!(names.label(name), label, "always the same");
    }
    assert_ne!(names.label("web-frontend"), "web-frontend");
    assert_ne!(names.label("Über"), Names::new(&Key::of_bytes(b"other")).label("Über"));
}

#[test]
fn what_everybody_has_stays() {
    let mut names = names();
    for name in [
        "KUBE-SERVICES",
        "KUBE-MARK-MASQ",
        "PREROUTING",
        "DOCKER-ISOLATION-STAGE-1",
        "CNI-HOSTPORT-DNAT",
        "FLANNEL-FWD",
        "cali-from-wl-dispatch",
        "cluster-ips",
        "service-ips",
        "nat-prerouting",
        "mark-for-masquerade",
        "kube-proxy",
        "KUBE-LOOP-BACK",
        "KUBE-6-CLUSTER-IP",
        "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
        "no-endpoint-nodeports",
        "hairpin-connections",
        "filter-prerouting-pre-dnat",
        "cali40all-ipam-pools",
        "KUBE-IPTABLES-HINT",
        "KUBE-KUBELET-CANARY",
    ] {
        assert_eq!(names.identifier(name), name);
    }
    for name in ["lo", "kube-ipvs0", "cni0", "cali+", "veth+", "docker0"] {
        assert_eq!(names.interface(name), name);
    }
    for text in [
        "kubernetes service nodeports; NOTE: this must be the last rule in this chain",
        "kubernetes externally-visible service portals",
        "block incoming localnet connections",
        "Reject traffic to invalid ports of ClusterIPs",
        "helper for @no-endpoint-services / @no-endpoint-nodeports",
        "vmap to drop or reject packets to services with no endpoints",
        "masquerade clusterIP traffic from outside cluster",
        "service hairpin connections",
        "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
    ] {
        let mapped = names.comment(text);
        let kept = mapped.split(' ').zip(text.split(' ')).filter(|(one, other)| one == other).count();
        assert!(kept + 2 >= text.split(' ').count(), "{mapped}");
    }
}

#[test]
fn hashes_become_hashes_and_beginnings_stay() {
    let mut names = names();
    for (name, kept, alphabet) in [
        ("KUBE-SVC-XRY76EGRC3BSCIIJ", "KUBE-SVC-", BASE32),
        ("CNI-DN-0a1b2c3d4e5f60718293a", "CNI-DN-", HEX),
        ("cali-pi-_Fz3kPq-sW9aB1cD2eF3", "cali-pi-", BASE64),
        ("cali40s:0Gp3d-aQ_wErTyUiOpAsDfG", "cali40s:", BASE64),
        ("cali-tw-cali0123456789a", "cali-tw-cali", HEX),
    ] {
        let mapped = names.identifier(name);
        let rest = mapped.strip_prefix(kept).unwrap();
        assert!(mapped != name && mapped.len() == name.len());
        assert!(rest.bytes().all(|byte| alphabet.contains(&byte)), "{mapped}");
    }
    assert_eq!(
        names.identifier("cali-tw-cali0123456789a").strip_prefix("cali-tw-"),
        Some(names.interface("cali0123456789a").as_str())
    );
}

#[test]
fn names_are_the_same_wherever_they_stand() {
    let mut names = names();
    let (namespace, service, port) = (names.label("demo"), names.label("web-1"), names.label("http"));
    let address = names.address_word("10.244.0.11").unwrap();
    let comment = names.comment("demo/web-1:http -> 10.244.0.11:8080");
    assert_eq!(comment, format!("{namespace}/{service}:{port} -> {address}:8080"));
    let chain = names.identifier("endpoint-JXY4WP3I-demo/web-1/tcp/http__10.244.0.11/8080");
    let hash = names.identifier("JXY4WP3I");
    assert_eq!(chain, format!("endpoint-{hash}-{namespace}/{service}/tcp/{port}__{address}/8080"));
    let v6 = names.address_word("fd00:10::1").unwrap().replace(':', ".");
    assert!(
        names
            .identifier("endpoint-JXY4WP3I-demo/web-1/tcp/__fd00.10..1/80")
            .ends_with(&format!("/tcp/__{v6}/80"))
    );
}

#[test]
fn addresses_are_found_in_every_form() {
    let mut names = names();
    let ip = |names: &mut Names, text: &str| names.ip(text.parse().unwrap());
    let (one, other) = (ip(&mut names, "10.0.0.1"), ip(&mut names, "fd00::1"));
    for (word, mapped) in [
        ("10.0.0.1", format!("{one}")),
        ("10.0.0.1/32", format!("{one}/32")),
        ("10.0.0.1:80", format!("{one}:80")),
        ("10.0.0.1:80-90", format!("{one}:80-90")),
        ("[fd00::1]:80", format!("[{other}]:80")),
        ("[fd00::1]", format!("[{other}]")),
        ("fd00::1/128", format!("{other}/128")),
        ("0.0.0.0/0", "0.0.0.0/0".into()),
        ("127.0.0.0/8", "127.0.0.0/8".into()),
        ("::1", "::1".into()),
        ("ff:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:ff".into()),
    ] {
        assert_eq!(names.address_word(word).as_deref(), Some(mapped.as_str()), "{word}");
    }
    let network = names.address_word("10.244.0.0/16").unwrap();
    assert!(network.ends_with(".0.0/16"), "{network}");
    let range = names.address_word("10.0.0.3-10.0.0.9:80").unwrap();
    let (first, last) = range.strip_suffix(":80").unwrap().split_once('-').unwrap();
    let [first, last] = [first, last].map(|end| u32::from(end.parse::<std::net::Ipv4Addr>().unwrap()));
    assert_eq!(last - first, 6, "{range}");
    assert!(names.address_word("1.0.3.0/255.0.255.0").unwrap().ends_with("/255.0.255.0"));
    assert!(names.address_word("02:42:ac:11:00:02").unwrap().starts_with("02:"));
    for word in ["80", "web", "0x4000/0x4000", "10:30", "NEW", "a-b", "", "deadbeef"] {
        assert_eq!(names.address_word(word), None, "{word}");
    }
}

proptest! {
    #[test]
    fn identifiers_do_not_clash(list in prop::collection::hash_set("[a-cA-C0-2]{1,3}([-_][a-cA-C2-4]{1,9})?", 1..60)) {
        let mut names = names();
        let mapped: HashSet<String> = list.iter().map(|name| names.identifier(name)).collect();
        prop_assert_eq!(mapped.len(), list.len());
        let mapped: HashSet<String> = list.iter().map(|name| names.interface(name)).collect();
        prop_assert_eq!(mapped.len(), list.len());
        let mapped: HashSet<String> = list.iter().map(|name| names.label(name)).collect();
        prop_assert_eq!(mapped.len(), list.len());
    }

    #[test]
    fn nothing_panics_and_lengths_stay(text in "\\PC{0,40}") {
        let mut names = names();
        prop_assert_eq!(names.label(&text).len(), text.len());
        names.comment(&text);
        names.identifier(&text);
        names.interface(&text);
        names.value(&text);
    }
}
