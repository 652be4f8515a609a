use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::search::FoundService;

const GOLDEN: [(&str, &str); 7] = [
    ("iptables", include_str!("../../../dataplane/tests/golden/iptables-save.txt")),
    ("iptables 1.20", include_str!("../../../dataplane/tests/golden/1.20/iptables-save.txt")),
    ("ip6tables", include_str!("../../../dataplane/tests/golden/ip6tables-save.txt")),
    ("nftables", include_str!("../../../dataplane/tests/golden/nft-list-ruleset.txt")),
    ("ipvs", include_str!("../../../dataplane/tests/golden/ipvs/iptables-save.txt")),
    ("ipsets", include_str!("../../../dataplane/tests/golden/ipvs/ipset-save.txt")),
    ("cluster", include_str!("../../../dataplane/tests/golden/example.json")),
];

fn key() -> Key {
    Key::of_bytes(b"a key for tests")
}

/// Words: letters, digits and what names and addresses have inside.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-'))).filter(|word| !word.is_empty())
}

#[test]
fn nothing_of_the_owner_is_left() {
    for (name, text) in GOLDEN {
        let anonymous = anonymise(text, None).unwrap();
        assert!(anonymous.remarks.is_empty(), "{name}: {:?}", anonymous.remarks);
        // Networks are not among them: one of 16 bits within 10.0.0.0/8 becomes itself once in 256 keys.
        for secret in [
            "demo",
            "web",
            "10.96.0.10",
            "10.96.0.20",
            "10.244.0.11",
            "10.244.1.12",
            "10.244.0.21",
            "10.10.0.1",
            "XRY76EGRC3BSCIIJ",
            "KUBE-SVC-XRY76EGRC3BSCIIJ",
            "KUBE-SEP-GGBFFRZR5UPIUDAV",
            "AXK6CI2C",
            "node1",
            "node2",
            "web-abc",
        ] {
            assert!(
                words(&anonymous.text).all(|word| word != secret),
                "{name}: {secret}\n{}",
                anonymous.text
            );
        }
        for number in words(text).filter(|word| ["8080", "5353", "30080"].contains(word)) {
            assert!(words(&anonymous.text).any(|word| word == number), "{name}: port {number} stays");
        }
        assert_eq!(
            anonymous.text.lines().count(),
            if name == "cluster" { anonymous.text.lines().count() } else { text.lines().count() },
            "{name}"
        );
    }
}

#[test]
fn anonymous_rulesets_read_like_this() {
    for (name, text) in GOLDEN {
        let anonymous = anonymise(text, Some(&key())).unwrap();
        assert_eq!(anonymise(text, Some(&key())).unwrap(), anonymous, "a key decides everything");
        // The IPv6 side is empty: there is nothing to replace.
        let other = anonymise(text, Some(&Key::of_bytes(b"another"))).unwrap().text;
        assert_eq!(other == anonymous.text, name == "ip6tables");
        insta::assert_snapshot!(name.replace([' ', '.'], "_"), anonymous.text);
    }
}

/// Services as they would be under other names.
fn renamed(found: &[FoundService], names: &mut Names) -> Vec<FoundService> {
    let mut address = |address: &SocketAddr| SocketAddr::new(names.ip(address.ip()), address.port());
    let mut renamed: Vec<FoundService> = found
        .iter()
        .map(|found| {
            let mut answers: Vec<_> = found.answers.iter().map(&mut address).collect();
            answers.sort_unstable();
            FoundService { entry: address(&found.entry), answers, ..found.clone() }
        })
        .collect();
    for found in &mut renamed {
        if !found.name.contains('/') {
            found.name = names.address_word(&found.name).unwrap();
            continue;
        }
        let mut parts = found.name.split(['/', ':']).map(|part| names.label(part));
        let (namespace, service) = (parts.next().unwrap(), parts.next().unwrap());
        let port = parts.next().map(|port| format!(":{port}")).unwrap_or_default();
        found.name = format!("{namespace}/{service}{port}");
    }
    renamed
}

fn is_renamed(text: &str, key: &Key) -> Result<(), String> {
    let anonymous = anonymise(text, Some(key)).map_err(|error| error.to_string())?;
    let (before, after) = (inspect_text(text).unwrap(), inspect_text(&anonymous.text).unwrap());
    let mut names = Names::new(key);
    let expected = renamed(&before.services.found, &mut names);
    if after.services.found != expected {
        return Err(format!("{expected:#?}\nbut\n{:#?}", after.services.found));
    }
    let cidrs: Vec<_> = before.services.cluster_cidrs.iter().map(|&cidr| names.network(cidr)).collect();
    if cidrs != after.services.cluster_cidrs {
        return Err(format!("{cidrs:?} but {:?}", after.services.cluster_cidrs));
    }
    let counts = |inspection: &Inspection| inspection.totals();
    (counts(&before) == counts(&after)).then_some(()).ok_or_else(|| "counts differ".into())
}

#[test]
fn services_are_the_same_under_other_names() {
    for (name, text) in &GOLDEN[..5] {
        is_renamed(text, &key()).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
}

#[test]
fn a_key_maps_several_files_alike() {
    let [rules, sets] = [GOLDEN[4].1, GOLDEN[5].1].map(|text| anonymise(text, Some(&key())).unwrap().text);
    let sets = crate::ipset::parse(&sets).unwrap();
    let wanted = inspect_text(&rules).unwrap().sets;
    assert!(!wanted.is_empty() && wanted.keys().all(|set| sets.contains_key(set.as_str())));
    let cluster = anonymise(GOLDEN[6].1, Some(&key())).unwrap().text;
    let found = inspect_text(&anonymise(GOLDEN[0].1, Some(&key())).unwrap().text).unwrap().services;
    for found in &found.found {
        let (namespace, service) = found.name.split_once('/').unwrap();
        let service = service.split(':').next().unwrap();
        for wanted in [namespace, service, &found.entry.ip().to_string(), &found.answers[0].ip().to_string()]
        {
            assert!(cluster.contains(&format!("\"{wanted}\"")), "{wanted}: {cluster}");
        }
    }
}

#[test]
fn options_decide_what_a_word_is() {
    let rules = [
        "-A INPUT -i bond0.123 -m comment --comment secretword -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -m limit --limit 5/min --limit-burst 10 -j LOG --log-prefix \"acme: \" --log-level 4",
        "-A INPUT -p icmp -m icmp --icmp-type 8/0 -m mac --mac-source 52:54:00:12:34:56 -j DROP",
        "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m multiport --dports 80,443,8000:8100 -j REJECT --reject-with tcp-reset",
        "-A INPUT ! -s 10.1.0.0/16 -m iprange --src-range 10.2.0.1-10.2.0.9 -m set --match-set acme-hosts src,dst -j RETURN",
        "-A INPUT -m owner --uid-owner 1000 -m string --algo bm --string \"top secret\" -m acme --acme-option confidential -j DROP",
        "-A INPUT -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-QRUEL26JRDPVFLID --mask 255.255.255.255 --rsource -j DROP",
        "-A INPUT -m statistic --mode random --probability 0.33333333349 -j acme-chain",
    ];
    let text = format!("*filter\n:INPUT DROP [1:2]\n:acme-chain - [0:0]\n{}\nCOMMIT\n", rules.join("\n"));
    let anonymous = anonymise(&text, Some(&key())).unwrap().text;
    for secret in [
        "secretword",
        "acme:",
        "acme-hosts",
        "acme-chain",
        "confidential",
        "top",
        "12:34:56",
        "1000 ",
        "QRUEL",
    ] {
        let left = anonymous.contains(secret);
        assert_eq!(left, secret == "1000 ", "{secret}: {anonymous}");
    }
    insta::assert_snapshot!(anonymous);
}

#[test]
fn of_an_object_only_known_fields_stay() {
    let text = r#"{"kind": "List", "metadata": {"secret": "s1"}, "items": [
        {"kind": "Service", "metadata": {"name": "a-service", "namespace": "ns", "annotations": {"x": "s2"},
            "labels": {"app": "s3", "service.kubernetes.io/headless": "s4"}, "managedFields": [{"manager": "s5"}]},
         "spec": {"clusterIP": "None", "clusterIPs": ["None"], "selector": {"app": "s6"}, "type": "ClusterIP",
            "ports": [{"name": "web", "port": 80, "targetPort": "web", "protocol": "TCP"}], "x": "s7"}},
        {"kind": "Node", "metadata": {"name": "host.example.org"}, "spec": {"podCIDRs": ["10.1.2.0/24"]},
         "status": {"addresses": [{"type": "InternalIP", "address": "192.168.1.2"}, {"type": "Hostname", "address": "s8.example.org"}],
            "conditions": [{"type": "Ready", "message": "s9"}], "images": [{"names": ["s10"]}]}},
        {"kind": "Secret", "data": {"x": "s11"}}]}"#;
    let anonymous = anonymise(text, Some(&key())).unwrap().text;
    assert!((1..=11).all(|secret| !anonymous.contains(&format!("s{secret}\""))), "{anonymous}");
    assert!(!anonymous.contains("example") && !anonymous.contains("192.168.1.2"), "{anonymous}");
    insta::assert_snapshot!(anonymous);
}

/// A Service of a random cluster.
#[derive(Clone, Debug)]
struct Random {
    names: (String, String, String),
    entry: u32,
    port: u16,
    endpoints: Vec<u32>,
}

fn services() -> impl Strategy<Value = Vec<Random>> {
    let name = || "[a-z][a-z0-9]{2}[a-z0-9-]{0,6}[a-z0-9]{3}";
    let service = (
        (name(), name(), name()),
        0x0a60_0000_u32..0x0a6f_ffff,
        1_u16..,
        prop::collection::btree_set(0x0af4_0000_u32..0x0af4_ffff, 1..4),
    );
    let service = service.prop_map(|(names, entry, port, endpoints)| Random {
        names,
        entry,
        port,
        endpoints: endpoints.into_iter().collect(),
    });
    prop::collection::vec(service, 1..8).prop_map(|mut all| {
        all.sort_by_key(|service| service.entry);
        all.dedup_by_key(|service| service.entry);
        all
    })
}

fn ip(bits: u32) -> IpAddr {
    IpAddr::V4(bits.into())
}

/// As iptables-save prints them.
fn dump(services: &[Random]) -> String {
    let mut text =
        "# Generated by iptables-save v1.8.9 on Fri Nov 20 23:53:07 2026\n*nat\n:PREROUTING ACCEPT \
                    [1:2]\n:KUBE-SERVICES - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n"
            .to_owned();
    let hash = |index: usize| data_encoding::BASE32.encode(&[index as u8; 10]);
    let mut rules = BTreeMap::new();
    for (index, Random { names: (ns, name, port_name), entry, port, endpoints }) in
        services.iter().enumerate()
    {
        let (display, chain, entry) =
            (format!("{ns}/{name}:{port_name}"), format!("KUBE-SVC-{}", hash(index)), ip(*entry));
        text.push_str(&format!(":{chain} - [0:0]\n"));
        rules.insert(("KUBE-SERVICES".to_owned(), index), vec![format!(
            "-d {entry}/32 -p tcp -m comment --comment \"{display} cluster IP\" -m tcp --dport {port} -j {chain}"
        )]);
        let mut own = vec![format!(
            "! -s 10.244.0.0/16 -d {entry}/32 -p tcp -m comment --comment \"{display} cluster IP\" -m tcp --dport {port} -j KUBE-MARK-MASQ"
        )];
        for (place, &endpoint) in endpoints.iter().enumerate() {
            let sep = format!("KUBE-SEP-{}", hash(100 + index * 8 + place));
            text.push_str(&format!(":{sep} - [0:0]\n"));
            let left = endpoints.len() - place;
            let chance = if left > 1 {
                format!(" -m statistic --mode random --probability {:.11}", 1.0 / left as f64)
            } else {
                String::new()
            };
            own.push(format!("-m comment --comment \"{display} -> {}:80\"{chance} -j {sep}", ip(endpoint)));
            rules.insert(
                (sep, 0),
                vec![
                    format!("-s {}/32 -m comment --comment \"{display}\" -j KUBE-MARK-MASQ", ip(endpoint)),
                    format!(
                        "-p tcp -m comment --comment \"{display}\" -m tcp -j DNAT --to-destination {}:80",
                        ip(endpoint)
                    ),
                ],
            );
        }
        rules.insert((chain, 0), own);
    }
    for ((chain, _), rules) in rules {
        rules.iter().for_each(|rule| text.push_str(&format!("-A {chain} {rule}\n")));
    }
    text + "COMMIT\n"
}

/// As nft lists them.
fn listing(services: &[Random]) -> String {
    let mut text = "table ip kube-proxy {\n\tmap service-ips {\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n".to_owned();
    let hash = |index: usize| data_encoding::BASE32.encode(&[index as u8; 5]);
    let chain = |index: usize, (ns, name, port): &(String, String, String)| {
        format!("service-{}-{ns}/{name}/tcp/{port}", hash(index))
    };
    let elements: Vec<String> = services
        .iter()
        .enumerate()
        .map(|(index, service)| {
            format!("{} . tcp . {} : goto {}", ip(service.entry), service.port, chain(index, &service.names))
        })
        .collect();
    text.push_str(&format!(
        "\t\telements = {{ {} }}\n\t}}\n\n\tchain mark-for-masquerade {{\n\t}}\n",
        elements.join(",\n\t\t\t     ")
    ));
    for (index, service) in services.iter().enumerate() {
        let (ns, name, port) = &service.names;
        let endpoint = |place: usize, address: u32| {
            format!("endpoint-{}-{ns}/{name}/tcp/{port}__{}/80", hash(100 + index * 8 + place), ip(address))
        };
        let mut map = Vec::new();
        for (place, &address) in service.endpoints.iter().enumerate() {
            let chain = endpoint(place, address);
            map.push(format!("{place} : goto {chain}"));
            text.push_str(&format!("\n\tchain {chain} {{\n\t\tip saddr {0} jump mark-for-masquerade\n\t\tmeta l4proto tcp dnat to {0}:80\n\t}}\n", ip(address)));
        }
        text.push_str(&format!(
            "\n\tchain {} {{\n\t\tip daddr {} tcp dport {} ip saddr != 10.244.0.0/16 jump mark-for-masquerade\n\t\tnumgen random mod {} vmap {{ {} }}\n\t}}\n",
            chain(index, &service.names), ip(service.entry), service.port, map.len(), map.join(", ")
        ));
    }
    text + "}\n"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_clusters_are_renamed_and_hidden(services in services(), key: [u8; 8]) {
        for text in [dump(&services), listing(&services)] {
            prop_assert_eq!(is_renamed(&text, &Key::of_bytes(&key)), Ok(()));
            let anonymous = anonymise(&text, None).unwrap();
            prop_assert!(anonymous.remarks.is_empty(), "{:?}", anonymous.remarks);
            for service in &services {
                let (ns, name, port) = &service.names;
                let addresses = service.endpoints.iter().chain([&service.entry]).map(|&bits| ip(bits).to_string());
                // Networks are not among them: one of 16 bits within 10.0.0.0/8 becomes itself once in 256 keys.
        for secret in [ns.clone(), name.clone(), port.clone()].into_iter().chain(addresses) {
                    prop_assert!(words(&anonymous.text).all(|word| word != secret), "{}\n{}", secret, anonymous.text);
                }
            }
        }
    }

    #[test]
    fn no_byte_makes_it_panic(
        which in 0..GOLDEN.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = GOLDEN[which].1.as_bytes().to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[cut.index(bytes.len())..], &bytes[..cut.index(bytes.len())], &bytes] {
            if let Ok(text) = crate::input::text(bytes.to_vec()) {
                let _ = anonymise(&text, Some(&key()));
                let _ = inspect_text(&text);
                let _ = sets::parse(&text);
            }
        }
    }

    #[test]
    fn no_text_of_their_words_makes_it_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        let text = words.concat();
        for start in ["*nat\n", "table ip x {\n", "create x hash:ip\n", ""] {
            let text = format!("{start}{text}");
            let _ = anonymise(&text, Some(&key()));
            let _ = inspect_text(&text);
        }
    }
}

/// What the three languages are made of.
const WORDS: &[&str] = &[
    "*nat\n",
    ":A - [0:0]\n",
    ":KUBE-SERVICES - [0:0]\n",
    "-A A ",
    "-A KUBE-SERVICES ",
    "[1:2] ",
    "COMMIT\n",
    "\n",
    "\"",
    "\\",
    " ",
    "-j A ",
    "-g A ",
    "-d 10.0.0.1/32 ",
    "-s ::/0 ",
    "! ",
    "-p tcp ",
    "--dport 80 ",
    "-m set --match-set x ",
    "--comment ",
    "-j DNAT ",
    "--to-destination ",
    "10.0.0.1:80 ",
    "[fd00::1]:80 ",
    "10.0.0.9-10.0.0.1 ",
    "table ip kube-proxy {\n",
    "chain a {\n",
    "}\n",
    "{ ",
    "} ",
    ", ",
    ": ",
    "; ",
    "set s {\n",
    "map service-ips {\n",
    "elements = ",
    "type filter hook input priority 0; ",
    "goto a ",
    "jump a ",
    "vmap ",
    "@s ",
    "@",
    "numgen random mod ",
    "1 ",
    "dnat to ",
    "ip saddr ",
    "!= ",
    "comment ",
    "\"x\" ",
    "# ",
    "10.0.0.0/33 ",
    "0 ",
    "add x 10.0.0.1\n",
    "10.0.0.1 . tcp . 80 : goto a",
    "ö",
    "\t",
    "table ",
    "policy drop; ",
    "counter packets 1 bytes 2 ",
    "/",
    "-",
    "__",
];
