use std::collections::BTreeSet;

use super::topology::MOST_SERVERS;
use super::*;

fn topology(method: Method) -> Topology {
    Topology {
        label: "test".into(),
        method,
        probe_prefix: "100.64.0.0/12".parse().unwrap(),
        client_prefix: "198.18.0.0/24".parse().unwrap(),
        server_prefix: "198.19.0.0/24".parse().unwrap(),
        director: "192.0.2.1".parse().unwrap(),
        virtual_address: "203.0.113.80".parse().unwrap(),
        servers: 3,
    }
}

#[test]
fn addresses_must_be_distinct_and_have_room() {
    let refused = |change: fn(&mut Topology)| {
        let mut wrong = topology(Method::Tunnel);
        wrong.validate().unwrap();
        change(&mut wrong);
        wrong.validate().unwrap_err().to_string()
    };
    assert_eq!(
        refused(|wrong| wrong.virtual_address = "198.19.0.1".parse().unwrap()),
        "server_prefix 198.19.0.0/24 overlaps virtual_address 198.19.0.1/32: choose disjoint prefixes"
    );
    assert_eq!(
        refused(|wrong| wrong.server_prefix = "198.19.0.0/31".parse().unwrap()),
        "server_prefix 198.19.0.0/31 has no room for 3 hosts: choose a shorter prefix"
    );
    assert_eq!(
        refused(|wrong| wrong.client_prefix = "198.18.0.7/32".parse().unwrap()),
        "client_prefix 198.18.0.7/32 has no room for 2 hosts: choose a shorter prefix"
    );
    assert_eq!(refused(|wrong| wrong.servers = 0), "0 real servers: 1 to 100 are possible");
    assert!(refused(|wrong| wrong.servers = 101).starts_with("101 real servers"));
}

#[test]
fn every_cable_has_two_machines_and_addresses_of_its_own() {
    for method in Method::ALL {
        for servers in [1, 3, MOST_SERVERS] {
            let wiring = Wiring::of(&Topology { servers, ..topology(method) });
            let ends: Vec<_> = wiring.cables.iter().flat_map(|cable| &cable.ends).collect();
            let distinct = |values: Vec<String>| values.iter().collect::<BTreeSet<_>>().len();
            assert_eq!(distinct(ends.iter().map(|end| format!("{:?}", end.mac)).collect()), ends.len());
            let links = ends.iter().map(|end| format!("{} {}", end.machine, end.link));
            assert_eq!(distinct(links.collect()), ends.len(), "{method:?}");
            assert!(wiring.cables.iter().all(|cable| cable.ends[0].machine != cable.ends[1].machine));
            for machine in 0..wiring.machines.len() {
                assert!(wiring.ends_of(machine).next().is_some(), "{method:?}: machine {machine} is alone");
            }
            assert_eq!(wiring.to_servers.len(), usize::from(servers));
        }
    }
}

#[test]
fn the_director_owns_the_virtual_address_and_so_do_servers_that_answer_themselves() {
    for method in Method::ALL {
        let topology = topology(method);
        let wiring = Wiring::of(&topology);
        let owners: Vec<_> = wiring
            .machines
            .iter()
            .filter_map(|machine| {
                let own = |(_, address): &&(String, Ipv4Net)| address.addr() == topology.virtual_address;
                machine.addresses.iter().find(own).map(|(link, _)| format!("{} {link}", machine.name))
            })
            .collect();
        let expected: &[&str] = match method {
            Method::Masquerade => &["director front"],
            Method::DirectRouting => &["director eth0", "server-0 lo", "server-1 lo", "server-2 lo"],
            Method::Tunnel => &["director eth0", "server-0 tunnel", "server-1 tunnel", "server-2 tunnel"],
        };
        assert_eq!(owners, expected);
        let quiet = wiring.machines[FIRST].settings.iter().any(|(key, _)| key.ends_with("arp_ignore"));
        assert_eq!(quiet, method == Method::DirectRouting);
        assert_eq!(method.spares_the_way_back(), owners.len() > 1);
    }
}

const FIRST: usize = wiring::FIRST_SERVER;

#[test]
fn only_a_tunnel_needs_a_larger_mtu_and_only_behind_the_router() {
    let mtus =
        |method| Wiring::of(&topology(method)).cables.iter().map(|cable| cable.mtu).collect::<Vec<_>>();
    assert_eq!(mtus(Method::Masquerade), [1500; 4]);
    assert_eq!(mtus(Method::DirectRouting), [1500; 5]);
    assert_eq!(mtus(Method::Tunnel), [1500, 1520, 1520, 1520, 1520]);
}

#[test]
fn the_first_counted_link_is_where_clients_arrive() {
    let links = |method| Wiring::of(&topology(method)).links_of_director();
    assert_eq!(links(Method::Masquerade), ["front", "back-0", "back-1", "back-2"]);
    assert_eq!(links(Method::DirectRouting), ["eth0"]);
    assert_eq!(links(Method::Tunnel), ["eth0"]);
}
