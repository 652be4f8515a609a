use super::*;

const GOLDEN: &str = include_str!("../../../dataplane/tests/golden/nft-list-ruleset.txt");

#[test]
fn the_golden_listing_is_read() {
    let listing = parse(GOLDEN).unwrap();
    let tables: Vec<_> = listing
        .tables
        .iter()
        .map(|table| {
            let base = table.chains.all().iter().filter(|chain| chain.is_base).count();
            (
                table.family,
                table.chains.all().len(),
                base,
                table.chains.rules(),
                table.sets.len(),
                table.elements(),
            )
        })
        .collect();
    assert_eq!(tables, [("ip", 22, 8, 34, 7, 6), ("ip6", 16, 8, 22, 7, 0)]);
    let services = listing.tables[0].set("service-ips").unwrap();
    assert_eq!(services.elements.iter().map(|element| element.line).collect::<Vec<_>>(), [33, 34]);
    assert_eq!(
        services.elements[1].parts(),
        (vec!["10.96.0.10", "tcp", "80"], vec!["goto", "service-AXK6CI2C-demo/web/tcp/http"])
    );
}

#[test]
fn elements_have_comments_and_timeouts() {
    let text = "table ip x {\n\tmap m {\n\t\ttype ipv4_addr . inet_service : verdict\n\t\telements = { 10.0.0.1 . 80 comment \"a, b\" : \
                drop,\n\t\t\t     10.0.0.2 . 80 timeout 3h expires 2h counter packets 0 bytes 0 : goto c }\n\t}\n\tset i {\n\t\ttype \
                ifname\n\t\telements = { \"eth0\", \"a b\" }\n\t}\n\tchain c {\n\t}\n}\n";
    let listing = parse(text).unwrap();
    let map = listing.tables[0].set("m").unwrap();
    assert_eq!(map.elements.len(), 2);
    assert_eq!(map.elements[0].comment(), Some("a, b"));
    assert_eq!(map.elements[0].parts(), (vec!["10.0.0.1", "80"], vec!["drop"]));
    assert_eq!(map.elements[1].chain(), Some("c"));
    assert_eq!(listing.tables[0].set("i").unwrap().elements.len(), 2);
}

#[test]
fn jumps_and_references_must_lead_somewhere() {
    let table = |body: &str| format!("table ip x {{\n{body}\n}}\n");
    let fault = |body: &str| parse(&table(body)).map(|_| ()).unwrap_err().to_string();
    let mut all = String::new();
    for body in [
        "chain a {\n\tjump b\n}",
        "chain a {\n\tip daddr vmap { 10.0.0.1 : goto b }\n}",
        "chain a {\n\tip daddr vmap @m\n}",
        "map m {\n\ttype ipv4_addr : verdict\n\telements = { 10.0.0.1 : goto b }\n}",
        "map m {\n\ttype ipv4_addr : verdict\n\telements = { 10.0.0.1 : goto a }\n}\nchain a {\n\tip daddr vmap @m\n}",
        "chain a {\n}\nchain a {\n}",
        "set a {\n\ttype ipv4_addr\n}\nmap a {\n\ttype ipv4_addr : verdict\n}",
        "chain a {\n\tjump\n}",
        "chain a {\n\txt match recent counter packets 0 bytes 0 return\n}",
        "set a {\n\tinclude \"/etc/shadow\"\n}",
        "include \"/etc/shadow\"",
        "chain a {\n\tcomment \"open\n}",
        "chain a {",
        "counter c {\n\tpackets 0 bytes 0",
    ] {
        all.push_str(&format!("{body}\n    {}\n", fault(body)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn objects_and_flow_tables_are_passed_over() {
    let text = "table inet x {\n\tflowtable f {\n\t\thook ingress priority filter\n\t\tdevices = { eth0, eth1 }\n\t}\n\tcounter c \
                {\n\t\tpackets 0 bytes 0\n\t}\n\tct helper h {\n\t\ttype \"ftp\" protocol tcp\n\t\tl3proto ip\n\t}\n\tchain a \
                {\n\t\tflow add @f\n\t\t@th,16,16 80 counter name \"c\" accept\n\t}\n}\n";
    assert_eq!(parse(text).unwrap().tables[0].chains.rules(), 2);
}
