//! What goes to the kernel, as data: Services in, plans out, mode by mode.
//!
//! A [`Plan`] is a list of program runs and netlink requests that can be printed, counted and compared without privilege.
//! The crate `lab` is the one place that carries it out.
//!
//! * [`planner`]: the [`Dataplane`] of a mode: [`iptables`], [`nftables`], [`ipvs`], and the controls ([`direct`])
//! * [`hostport`]: what the port-map plugin of CNI writes
//! * [`background`]: what else a node has in its kernel: Calico, Docker, flannel, host ports
//! * [`injected`]: an artificial slowdown, for tests of a gate

pub mod background;
mod conntrack;
mod contract;
mod counts;
pub mod direct;
mod drain;
pub mod hostport;
pub mod injected;
pub mod iptables;
pub mod ipvs;
mod kube_proxy;
mod mode;
mod names;
pub mod nftables;
mod node;
mod open_to_all;
mod plan;
mod print;
mod text;
mod unfit;
mod way;

pub use self::contract::{Dataplane, Sync};
pub use self::counts::Counts;
pub use self::drain::Drain;
use self::iptables::Iptables;
use self::iptables::v1_20::Iptables1_20;
pub use self::kube_proxy::KubeProxy;
pub use self::mode::Mode;
pub use self::node::Node;
use self::open_to_all::OpenToAll;
pub use self::plan::{Action, AddressRequest, Expect, NftList, Phase, Plan, Program, Step};
pub use self::print::Part;
pub use self::unfit::Unfit;
pub use self::way::Way;

/// The planner of a mode.
pub fn planner(mode: Mode, node: Node) -> Box<dyn Dataplane> {
    Box::new(OpenToAll { planner: planner_of_mode(mode, node), version: node.kube_proxy })
}

fn planner_of_mode(mode: Mode, node: Node) -> Box<dyn Dataplane> {
    match mode {
        // What is replayed stands in its file: whoever plans it gets nothing.
        Mode::Direct | Mode::Replay => Box::new(direct::Control::Direct),
        Mode::Conntrack => Box::new(direct::Control::Conntrack),
        Mode::Dnat => Box::new(direct::Control::Dnat),
        Mode::BackgroundLegacy | Mode::BackgroundNft => Box::new(direct::Control::DnatOfIptables),
        Mode::IptablesLegacy => match node.kube_proxy {
            KubeProxy::V1_20 => Box::new(Iptables1_20::legacy(node)),
            _ => Box::new(Iptables::legacy(node)),
        },
        Mode::IptablesNft => match node.kube_proxy {
            KubeProxy::V1_20 => Box::new(Iptables1_20::nft(node)),
            _ => Box::new(Iptables::nft(node)),
        },
        Mode::Nftables => Box::new(nftables::Nftables::new(node)),
        Mode::Ipvs => Box::new(ipvs::Ipvs::new(node, Way::KubeProxy)),
        Mode::IpvsBatched => Box::new(ipvs::Ipvs::new(node, Way::Batched)),
    }
}
