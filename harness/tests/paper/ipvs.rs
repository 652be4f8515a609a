//! What IPVS mode has besides rules: servers, sets, addresses, settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use harness::dataplane::ipvs::State;
use harness::dataplane::{Action, AddressRequest, Way};
use netns_setup::ipvs::Request;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpvsPaper {
    pub servers: netns_setup::ipvs::State,
    /// Name -> entries.
    pub sets: BTreeMap<String, BTreeSet<String>>,
    pub addresses: BTreeSet<IpAddr>,
    links: BTreeSet<String>,
    sysctls: BTreeMap<String, String>,
}

impl IpvsPaper {
    pub fn entries(&self) -> u64 {
        self.sets.values().map(|entries| entries.len() as u64).sum()
    }

    /// As the harness reads it from a kernel.
    pub fn state(&self) -> State {
        State { servers: self.servers.clone(), sets: self.sets.clone(), addresses: self.addresses.clone() }
    }

    pub fn ask(&mut self, action: &Action) {
        match action {
            Action::Run { .. } => panic!("{action:?}"),
            Action::Ipvs { way, requests } => {
                for (index, request) in requests.iter().enumerate() {
                    assert!(*way == Way::KubeProxy || !request.is_read(), "a read in a batch: {request}");
                    self.is_there(request, requests.get(index + 1));
                    self.servers.apply(request).unwrap_or_else(|errno| panic!("{request}: errno {errno}"));
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

    pub fn ipset(&mut self, args: &[&str], input: Option<&str>) -> i32 {
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
    pub fn ipset_line(&mut self, line: &str) -> i32 {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["create", name, kind, .., "-exist"] => {
                assert!(name.len() < 32, "IPSET_MAXNAMELEN: {name}");
                assert!(kind.starts_with("hash:") || kind == "bitmap:port", "{line}");
                self.sets.entry(name.to_owned()).or_default();
                0
            }
            ["list", name] => i32::from(!self.sets.contains_key(name)),
            ["add", name, entry, "-exist"] => {
                self.set(name).insert(entry.to_owned());
                0
            }
            ["add", name, entry] => i32::from(!self.set(name).insert(entry.to_owned())),
            ["del", name, entry] => i32::from(!self.set(name).remove(entry)),
            _ => panic!("{line}"),
        }
    }

    fn set(&mut self, name: &str) -> &mut BTreeSet<String> {
        self.sets
            .get_mut(name)
            .unwrap_or_else(|| panic!("The set with the given name does not exist: {name}"))
    }
}
