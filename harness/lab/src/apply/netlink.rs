//! What steps ask of the kernel itself, without a program in between.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use dataplane::{Action, AddressRequest, NftList, Step, Way};
use netns_setup::ipvs::{Ipvs, Reply, Request};
use netns_setup::nf_tables::{self, TableFamily};
use netns_setup::{Addresses, SetupError, nfacct};
use nix::errno::Errno;
use services::service::Family;

use super::drain::{self, Draining};
use super::error::ApplyError;

/// How many requests are sent one by one between two looks at the clock and at who wants to stop.
const POLL_INTERVAL: usize = 64;
/// kube-proxy's table of nf_tables.
const TABLE: &str = "kube-proxy";

/// Connections to the kernel, in the network namespace of the thread that opened them.
pub(super) struct Kernel {
    ipvs: Option<Ipvs>,
    addresses: Option<Addresses>,
    draining: Draining,
}

impl Kernel {
    /// Those that the steps need.
    pub(super) fn for_steps(steps: &[Step], draining: Draining) -> Result<Self, SetupError> {
        let needs = |kind: fn(&Action) -> bool| steps.iter().any(|step| kind(&step.action));
        let ipvs = needs(|action| matches!(action, Action::Ipvs { .. } | Action::Drain(_)));
        let addresses = needs(|action| matches!(action, Action::Link { .. } | Action::Addresses { .. }));
        Ok(Self {
            ipvs: ipvs.then(Ipvs::open).transpose()?,
            addresses: addresses.then(Addresses::open).transpose()?,
            draining,
        })
    }

    /// Does what an action says; `over` tells when to give up.
    pub(super) fn carry_out(
        &mut self,
        action: &Action,
        over: &dyn Fn() -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        over()?;
        match action {
            // The runner's affair.
            Action::Run { .. } => Ok(()),
            Action::Ipvs { way: Way::KubeProxy, requests } => self.one_by_one(requests, over),
            Action::Ipvs { way: Way::Batched, requests } => {
                let requests = self.draining.readmit(requests);
                Ok(self.ipvs()?.batch(&requests).map_err(Box::new)?)
            }
            Action::Drain(drain) => {
                let draining = self.draining.clone();
                drain::carry_out(self.ipvs()?, drain, &draining, over)
            }
            Action::Link { name, way } => Ok(self.dummy(name, *way)?),
            Action::Addresses { device, way: Way::KubeProxy, request } => addresses(device, request, over),
            Action::Addresses { device, way: Way::Batched, request } => {
                Ok(all_addresses(self.addresses()?, device, request)?)
            }
            Action::NftList { family, list, has_table } => nft_list(*family, *list, *has_table),
            Action::Counter { name } => Ok(nfacct::ensure(name)?),
            Action::Sysctl { key, value } => {
                ensure_sysctl(key, value).map_err(|source| ApplyError::Sysctl { key, value, source })
            }
        }
    }

    fn ipvs(&mut self) -> Result<&mut Ipvs, SetupError> {
        let ipvs = match self.ipvs.take() {
            Some(ipvs) => ipvs,
            None => Ipvs::open()?,
        };
        Ok(self.ipvs.insert(ipvs))
    }

    fn addresses(&mut self) -> Result<&mut Addresses, SetupError> {
        let addresses = match self.addresses.take() {
            Some(addresses) => addresses,
            None => Addresses::open()?,
        };
        Ok(self.addresses.insert(addresses))
    }

    fn one_by_one(
        &mut self,
        requests: &[Request],
        over: &dyn Fn() -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        let requests = self.draining.readmit(requests);
        let ipvs = self.ipvs()?;
        for (index, request) in requests.iter().enumerate() {
            if index % POLL_INTERVAL == POLL_INTERVAL - 1 {
                over()?;
            }
            let reply = ipvs.one(request).map_err(Box::new)?;
            // Asked right before it is made, it may not be there yet.
            if let (Reply::Service(None), Request::GetService(key)) = (reply, request)
                && !matches!(requests.get(index + 1), Some(Request::NewService(next)) if next.key == *key)
            {
                return Err(ApplyError::Absent { request: request.to_string() });
            }
        }
        Ok(())
    }

    fn dummy(&mut self, name: &str, way: Way) -> Result<(), SetupError> {
        match way {
            Way::KubeProxy if Addresses::open()?.index(name)?.is_some() => Ok(()),
            Way::KubeProxy => Addresses::open()?.add_dummy(name),
            Way::Batched => accept(Errno::EEXIST, self.addresses()?.add_dummy(name)),
        }
    }
}

/// As kube-proxy does it: each request on a socket of its own, and the link looked up before each address.
///
/// `NewNetLinkHandle` in pkg/proxy/ipvs/netlink.go keeps no sockets, and Go's package net opens one for every dump.
fn addresses(
    device: &str,
    request: &AddressRequest,
    over: &dyn Fn() -> Result<(), ApplyError>,
) -> Result<(), ApplyError> {
    let change = |addresses: &[IpAddr], change: fn(&mut Addresses, u32, IpAddr) -> Result<(), SetupError>| {
        for &address in addresses {
            over()?;
            let link = index_of(&mut Addresses::open()?, device)?;
            accept(Errno::EEXIST, change(&mut Addresses::open()?, link, address))?;
        }
        Ok(())
    };
    match request {
        AddressRequest::List => {
            Addresses::open()?.links()?;
            Addresses::open()?.list()?;
            Ok(())
        }
        AddressRequest::ListOthers { once: true } => {
            index_of(&mut Addresses::open()?, device)?;
            Addresses::open()?.list()?;
            Ok(())
        }
        AddressRequest::ListOthers { once: false } => {
            let others = Addresses::open()?.links()?.len().saturating_sub(1);
            for _ in 0..others {
                over()?;
                Addresses::open()?.list()?;
            }
            Ok(())
        }
        AddressRequest::Add(addresses) => change(addresses, Addresses::add),
        AddressRequest::Remove(addresses) => change(addresses, Addresses::remove),
    }
}

/// On one socket, the link looked up once, many requests in one system call.
fn all_addresses(
    addresses: &mut Addresses,
    device: &str,
    request: &AddressRequest,
) -> Result<(), SetupError> {
    match request {
        AddressRequest::List | AddressRequest::ListOthers { .. } => addresses.list().map(drop),
        AddressRequest::Add(wanted) => {
            let link = index_of(addresses, device)?;
            addresses.add_all(link, wanted)
        }
        AddressRequest::Remove(unwanted) => {
            let link = index_of(addresses, device)?;
            addresses.remove_all(link, unwanted)
        }
    }
}

/// As kube-proxy does it, on a socket of its own (`netlink.go` in knftables).
fn nft_list(family: Family, list: NftList, has_table: bool) -> Result<(), ApplyError> {
    let family = match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    };
    match list {
        NftList::Chains => nf_tables::count_chains(family).map(drop)?,
        NftList::Sets => {
            if nf_tables::count_sets(family, TABLE)?.is_some() != has_table {
                return Err(ApplyError::Table { name: TABLE, is_there: !has_table });
            }
        }
    }
    Ok(())
}

fn index_of(addresses: &mut Addresses, device: &str) -> Result<u32, SetupError> {
    addresses.index(device)?.ok_or_else(|| SetupError::Kernel {
        action: format!("look up link {device}"),
        cause: Errno::ENODEV.into(),
    })
}

/// Lets one error number pass.
fn accept(errno: Errno, outcome: Result<(), SetupError>) -> Result<(), SetupError> {
    match outcome {
        Err(error) if error.raw_os_error() == Some(errno as i32) => Ok(()),
        outcome => outcome,
    }
}

/// `/proc/sys/net` shows the namespace of the thread that looks.
fn ensure_sysctl(key: &str, value: &str) -> io::Result<()> {
    let path = Path::new("/proc/sys").join(key.replace('.', "/"));
    if std::fs::read_to_string(&path)?.trim_end() == value {
        return Ok(());
    }
    std::fs::write(path, value)
}
