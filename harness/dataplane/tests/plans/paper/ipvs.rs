//! What IPVS mode has besides rules: servers, sets, addresses, settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use dataplane::ipvs::State;
use dataplane::{Action, AddressRequest, Way};
use ipnet::IpNet;
use netns_setup::ipvs::{IpvsProtocol, Key, Request};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpvsPaper {
    pub servers: netns_setup::ipvs::State,
    /// Name -> entries.
    pub sets: BTreeMap<String, BTreeSet<String>>,
    pub addresses: BTreeSet<IpAddr>,
    /// Name -> how it was made.
    kinds: BTreeMap<String, String>,
    links: BTreeSet<String>,
    sysctls: BTreeMap<String, String>,
}

impl IpvsPaper {
    pub(crate) fn entries(&self) -> u64 {
        self.sets.values().map(|entries| entries.len() as u64).sum()
    }

    /// As the harness reads it from a kernel.
    pub(crate) fn state(&self) -> State {
        State { servers: self.servers.clone(), sets: self.sets.clone(), addresses: self.addresses.clone() }
    }

    pub(crate) fn ask(&mut self, action: &Action) {
        match action {
            Action::Run { .. } | Action::NftList { .. } | Action::Counter { .. } => panic!("{action:?}"),
            Action::Ipvs { way, requests } => {
                for (index, request) in requests.iter().enumerate() {
                    assert!(*way == Way::KubeProxy || !request.is_read(), "a read in a batch: {request}");
                    self.is_there(request, requests.get(index + 1));
                    self.servers.apply(request).unwrap_or_else(|errno| panic!("{request}: errno {errno}"));
                }
            }
            // Nobody has connections here, so all go at once.
            Action::Drain(drain) => {
                for (key, endpoints) in &drain.servers {
                    assert!(key.protocol == IpvsProtocol::Tcp && !endpoints.is_empty(), "{drain:?}");
                    for at in endpoints {
                        if !drain.again || self.has(key, at) {
                            self.servers.apply(&Request::DelDest(*key, *at)).unwrap();
                        }
                    }
                }
            }
            Action::Link { name, .. } => drop(self.links.insert((*name).to_owned())),
            Action::Addresses { device, way, request } => {
                assert!(self.links.contains(*device), "no link {device}");
                self.addresses(*way, request);
            }
            Action::Sysctl { key, value } => {
                assert!(key.starts_with("net."), "{key} is not the namespace's");
                self.sysctls.insert((*key).to_owned(), (*value).to_owned());
            }
        }
    }

    fn has(&self, key: &Key, address: &SocketAddr) -> bool {
        let mut all = self.servers.services();
        let found = all.find(|(server, _)| server.key == *key);
        found.is_some_and(|(_, mut real)| real.any(|server| server.address == *address))
    }

    /// A question about one virtual server finds it, or is asked right before it is made.
    fn is_there(&self, request: &Request, next: Option<&Request>) {
        let Request::GetService(key) = request else { return };
        let found = self.servers.services().any(|(server, _)| server.key == *key);
        let made = matches!(next, Some(Request::NewService(server)) if server.key == *key);
        assert_ne!(found, made, "{request}, then {next:?}");
    }

    fn addresses(&mut self, way: Way, request: &AddressRequest) {
        match request {
            AddressRequest::List | AddressRequest::ListOthers { .. } => {}
            AddressRequest::Add(addresses) => {
                for address in addresses {
                    let new = self.addresses.insert(*address);
                    assert!(new || way == Way::KubeProxy, "File exists: {address}");
                }
            }
            AddressRequest::Remove(addresses) => {
                for address in addresses {
                    assert!(self.addresses.remove(address), "Cannot assign requested address: {address}");
                }
            }
        }
    }

    pub(crate) fn ipset(&mut self, args: &[&str], input: Option<&str>) -> i32 {
        match (args, input) {
            (["restore"], Some(input)) => {
                input.lines().for_each(|line| assert_eq!(self.ipset_line(line), 0, "{line}"));
                0
            }
            (["save"], None) => 0,
            (args, None) => self.ipset_line(&args.join(" ")),
            other => panic!("{other:?}"),
        }
    }

    /// One run, or one line of a restore.
    pub(crate) fn ipset_line(&mut self, line: &str) -> i32 {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["create", name, kind, .., "-exist"] => {
                assert!(name.len() < 32, "IPSET_MAXNAMELEN: {name}");
                assert!(kind.starts_with("hash:") || kind == "bitmap:port", "{line}");
                let made = self.kinds.entry(name.to_owned()).or_insert_with(|| line.to_owned());
                assert_eq!(made, line, "there with other parameters");
                self.sets.entry(name.to_owned()).or_default();
                0
            }
            ["list", name] => i32::from(!self.sets.contains_key(name)),
            ["add", name, entry, "-exist"] => match self.kept(name, entry) {
                Some(entry) => {
                    self.set(name).insert(entry);
                    0
                }
                None => 1,
            },
            ["add", name, entry] => {
                let entry = self.kept(name, entry);
                i32::from(!entry.is_some_and(|entry| self.set(name).insert(entry)))
            }
            ["del", name, entry] => {
                let entry = self.kept(name, entry);
                i32::from(!entry.is_some_and(|entry| self.set(name).remove(&entry)))
            }
            _ => panic!("{line}"),
        }
    }

    /// An entry as its set keeps it; `None`: it takes no range of everything.
    fn kept(&self, name: &str, entry: &str) -> Option<String> {
        let made = self
            .kinds
            .get(name)
            .unwrap_or_else(|| panic!("The set with the given name does not exist: {name}"));
        let kind = made.split(' ').nth(2).unwrap();
        let ipv6 = made.contains(" family inet6 ");
        let parts: Vec<&str> = entry.split(',').collect();
        let types: Vec<&str> = kind.split_once(':').unwrap().1.split(',').collect();
        assert_eq!(parts.len(), types.len(), "{kind}: {entry}");
        let mut kept = Vec::new();
        for (of, part) in types.into_iter().zip(parts) {
            kept.push(match of {
                "ip" => {
                    let address: IpAddr = part.parse().unwrap_or_else(|_| panic!("no address: {entry}"));
                    assert_eq!(address.is_ipv6(), ipv6, "{made}: {entry}");
                    address.to_string()
                }
                "port" if kind == "bitmap:port" => part.parse::<u16>().unwrap().to_string(),
                "port" => {
                    let (protocol, port) = part.split_once(':').unwrap_or_else(|| panic!("no port: {entry}"));
                    assert!(matches!(protocol, "tcp" | "udp" | "sctp"), "{entry}");
                    format!("{protocol}:{}", port.parse::<u16>().unwrap())
                }
                "net" => {
                    let range: IpNet = match part.contains('/') {
                        true => part.parse().unwrap(),
                        false => part.parse::<IpAddr>().unwrap().into(),
                    };
                    assert_eq!(range.addr().is_ipv6(), ipv6, "{made}: {entry}");
                    match range.prefix_len() {
                        0 => return None,
                        all if all == range.max_prefix_len() => range.addr().to_string(),
                        _ => range.trunc().to_string(),
                    }
                }
                _ => panic!("{kind}"),
            });
        }
        Some(kept.join(","))
    }

    fn set(&mut self, name: &str) -> &mut BTreeSet<String> {
        self.sets
            .get_mut(name)
            .unwrap_or_else(|| panic!("The set with the given name does not exist: {name}"))
    }
}
