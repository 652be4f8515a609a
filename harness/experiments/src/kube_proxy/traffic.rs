//! A load beside what happens to a kube-proxy: what its requests feel.
//!
//! The requests go over real sockets to the lab's server, the packets that show what is obeyed to the probe: endpoints of the
//! Services that are probed are routed to it, and the load goes to all others.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::ensure;
use ipnet::Ipv4Net;
use kube_proxy::System;
use kube_proxy::log::SyncEnded;
use lab::cores::Cores;
use lab::stop::Stop;
use lab::testbed::{ServiceTarget, Testbed};
use netns_setup::Egress;
use nix::errno::Errno;
use workloads::clock::nanoseconds;
use workloads::load::{Destination, Load, LoadOutcome, Pace, Rhythm};

use super::section::Requests;
use crate::disruption::{Impact, Step, impact_of};
use crate::load::{LoadSpec, Running, Serving};

/// How long a request may take: a SYN that is lost is sent again after 1 s and after 3 s (RFC 6298).
const TIMEOUT: Duration = Duration::from_secs(4);
/// Requests that can be traced.
const MOST_TRACED: f64 = 20e6;
/// How long the table of flows remembers a SYN that nobody answers, as those of the probe, seconds; 120 by default.
const UNANSWERED: (&str, &str) = ("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "1");

/// A load that runs.
pub(super) struct Traffic {
    serving: Serving,
    running: Running,
    /// Endpoints that the probe reads meanwhile.
    apart: Vec<Ipv4Net>,
    requests: Requests,
}

/// What a load felt.
pub(super) struct Felt {
    /// The load as a whole.
    pub outcome: LoadOutcome,
    /// What happened.
    pub impact: Impact,
    /// Syncs of IPv4 meanwhile, by kube-proxy's log: begin and end, nanoseconds since the load began.
    pub syncs: Vec<(u64, u64)>,
}

impl Traffic {
    /// Starts a load to all Services but those that are probed, and returns when it has run for its margin. It lasts as long
    /// as is needed; `longest`: how long that is at most, for the room to trace it.
    ///
    /// # Errors
    /// If no Service is left for it, or the kernel refuses.
    pub(super) fn start(
        testbed: &Testbed,
        requests: &Requests,
        probed: &[&ServiceTarget],
        cores: &Cores,
        longest: Duration,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let addresses: BTreeSet<Ipv4Addr> =
            probed.iter().flat_map(|target| &target.answers).map(|answer| *answer.ip()).collect();
        let is_probed = |address: &SocketAddr| match address {
            SocketAddr::V4(address) => addresses.contains(address.ip()),
            SocketAddr::V6(_) => false,
        };
        let spec = spec(requests, longest, seed);
        let protocol = spec.protocol();
        let mut targets: Vec<Destination> = testbed.destinations_of(protocol)?;
        targets.retain(|target| !target.endpoints().iter().any(is_probed));
        ensure!(
            !targets.is_empty(),
            "no {} Service is left for a load: all are probed, or have endpoints of those that are",
            protocol.name()
        );
        let apart: Vec<Ipv4Net> = addresses.into_iter().map(Ipv4Net::from).collect();
        testbed.lab.read_also(&apart)?;
        let serving = Serving::start(testbed, protocol, NonZeroU32::MIN, cores, None)?;
        let (key, value) = UNANSWERED;
        match testbed.lab.node.set_sysctl(key, value) {
            // Nothing has loaded connection tracking, so that there is no table.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            set => set?,
        }
        let running = Running::at(testbed, &spec, targets, cores, &Stop::new())?;
        let margin = running.began.saturating_duration_since(Instant::now()) + requests.margin();
        std::thread::sleep(margin);
        Ok(Self { serving, running, apart, requests: requests.clone() })
    }

    /// Ends it after its margin; the lab is the probe's again. Something happened from `begun` to `ended`, and these syncs
    /// ended meanwhile.
    ///
    /// # Errors
    /// If the load could not go on, or requests are unaccounted for.
    pub(super) fn finish(
        self,
        system: &mut System,
        (begun, ended): (Instant, Instant),
        syncs: &[SyncEnded],
    ) -> anyhow::Result<Felt> {
        let Self { serving, running, apart, requests } = self;
        std::thread::sleep(requests.margin());
        running.halt();
        let began = running.began;
        let outcome = running.finish();
        serving.stop()?;
        let outcome = outcome?;
        system.testbed.lab.read_no_longer(&apart)?;
        system.testbed.steer(Egress::Tun)?;
        system.testbed.forget_flows()?;
        ensure!(outcome.counts.is_balanced(), "requests are unaccounted for: {:?}", outcome.counts);
        let since = |moment: Instant| nanoseconds(moment.saturating_duration_since(began));
        let step = Step {
            decided_ns: since(begun),
            applied_ns: since(ended),
            bytes: 0,
            added: Vec::new(),
            removed: Vec::new(),
        };
        let impact = impact_of(&outcome.trace, &[step], requests.rate.into(), &[]);
        let syncs = syncs.iter().filter(|sync| !sync.ipv6).map(|sync| {
            let end = since(sync.at);
            (end.saturating_sub(nanoseconds(sync.took)), end)
        });
        let syncs = syncs.collect();
        Ok(Felt { outcome, impact, syncs })
    }
}

fn spec(requests: &Requests, longest: Duration, seed: u64) -> LoadSpec {
    let all = longest + 2 * requests.margin() + TIMEOUT;
    let template = Load {
        pace: Pace::Open { per_second: requests.per_second(), rhythm: Rhythm::Constant },
        // As long as it takes: it is halted when all is done.
        duration: Duration::from_secs(24 * 3_600),
        timeout: TIMEOUT,
        interval: Duration::from_secs(60),
        trace: (f64::from(requests.rate) * all.as_secs_f64()).min(MOST_TRACED) as usize,
        ..Load::new(requests.workload, [])
    };
    LoadSpec { seed, ..LoadSpec::of(template) }
}
