//! Addresses of a link, one by one and many at once.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use netns_setup::{Addresses, Namespace, VethEnd};

/// More than fit one system call.
const MANY: u32 = 1_000;

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 0)) + number).into()
}

/// A namespace with a link that is down, as the one that kube-proxy binds addresses to.
fn namespace() -> Namespace {
    let namespace = Namespace::create("test/addresses").unwrap();
    let end = |name, last| VethEnd { name, mac: [2, 0, 0, 0, 0, last] };
    namespace.links(|links| links.add_veth(end("link", 1), end("peer", 2), namespace.fd())).unwrap();
    namespace
}

fn listed(addresses: &mut Addresses, link: u32) -> BTreeSet<IpAddr> {
    let all = addresses.list().unwrap();
    let on_link = all.iter().filter(|(of, _)| *of == link).map(|(_, address)| *address);
    let found: BTreeSet<IpAddr> = on_link.clone().collect();
    assert_eq!(found.len(), on_link.count(), "each once");
    found
}

pub(crate) fn come_and_go() {
    let namespace = namespace();
    namespace.run(|| {
        let mut addresses = Addresses::open().unwrap();
        let link = addresses.index("link").unwrap().unwrap();
        let peer = addresses.index("peer").unwrap().unwrap();
        let many: Vec<IpAddr> = (0..MANY).map(address).collect();
        addresses.add_all(link, &many).unwrap();
        addresses.add(peer, address(MANY)).unwrap();
        assert_eq!(listed(&mut addresses, link), many.iter().copied().collect());
        assert_eq!(listed(&mut addresses, peer), BTreeSet::from([address(MANY)]));

        let (gone, left) = many.split_at(300);
        addresses.remove_all(link, gone).unwrap();
        addresses.remove(link, left[0]).unwrap();
        assert_eq!(listed(&mut addresses, link), left[1..].iter().copied().collect());
        // The node answers for them although the link is down.
        let socket = std::net::UdpSocket::bind((left[1], 0)).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), left[1]);
    });
}

pub(crate) fn at_once() {
    let namespace = namespace();
    namespace
        .links(|links| {
            links.set_up("link")?;
            links.set_up("peer")?;
            links.add_address("link", "fd00::1/64".parse::<ipnet::IpNet>().unwrap())
        })
        .unwrap();
    // Were others asked first whether it is theirs, it would take a second.
    namespace.run(|| std::net::UdpSocket::bind("[fd00::1]:0")).unwrap();
}

pub(crate) fn refusals() {
    let namespace = namespace();
    namespace.run(|| {
        let mut addresses = Addresses::open().unwrap();
        let link = addresses.index("link").unwrap().unwrap();
        addresses.add(link, address(250)).unwrap();
        // The one that is there already stands in the second system call.
        let many: Vec<IpAddr> = (0..MANY).map(address).collect();
        let refused = addresses.add_all(link, &many).unwrap_err();
        let text = format!("add address {}/32 of link {link}: File exists", address(250));
        assert_eq!((refused.to_string(), refused.raw_os_error()), (text, Some(17)));
        assert_eq!(addresses.add(link, address(250)).unwrap_err().raw_os_error(), Some(17));
        let missing = addresses.remove_all(link, &[address(0), address(MANY + 7)]).unwrap_err();
        let text = format!("remove address {}/32 of link {link}: ", address(MANY + 7));
        assert!(missing.to_string().starts_with(&text), "{missing}");
        let nowhere = addresses.add(4_711, address(0)).unwrap_err();
        assert_eq!(nowhere.raw_os_error(), Some(nix::libc::ENODEV), "{nowhere}");
        // The socket has no answers left over.
        assert_eq!(addresses.index("link").unwrap(), Some(link));
    });
}

pub(crate) fn dummy() {
    let namespace = Namespace::create("test/addresses").unwrap();
    namespace.run(|| {
        let mut addresses = Addresses::open().unwrap();
        assert_eq!(addresses.index("kube-ipvs0").unwrap(), None);
        addresses.add_dummy("kube-ipvs0").unwrap();
        let link = addresses.index("kube-ipvs0").unwrap().unwrap();
        assert!(addresses.links().unwrap().contains(&link));
        assert_eq!(addresses.add_dummy("kube-ipvs0").unwrap_err().raw_os_error(), Some(17));
    });
    let found = namespace.links(|links| links.link("kube-ipvs0")).unwrap();
    assert!(!found.up);
}
