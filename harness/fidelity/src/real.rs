//! The node with a real kube-proxy and an API server.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use apiserver::objects::{NodeSpec as NodeObject, Published, node};
use apiserver::{Change, Options, Server};
use dataplane::Mode;
use kube_proxy::metrics::names;
use kube_proxy::recorder::{Recorder, Run};
use kube_proxy::{Config, ContentType, Process, ProcessError, Subject, proxy_mode};
use lab::apply::Runner;
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::single_node::SingleNode;
use ruleset::compare::Normal;
use services::service::Family;
use services::service_set::ServiceSet;

use crate::mark::Mark;
use crate::node::NodeSpec;
use crate::programs::{family, is_transaction};
use crate::state;

/// Where the API server listens, inside.
const API_SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
/// The Node that kube-proxy runs on.
const NODE: &str = "svcbench";
/// `minSyncPeriod`: what comes within it after a sync is one sync.
pub(crate) const MIN_SYNC_PERIOD: Duration = Duration::from_secs(1);
/// `syncPeriod`: nothing that is done now and then falls into a comparison.
const SYNC_PERIOD: Duration = Duration::from_secs(3_600);
/// For one sync, and for a start.
const LIMIT: Duration = Duration::from_secs(300);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A kube-proxy that does what an API server tells it.
pub(crate) struct Real {
    process: Option<Process>,
    recorder: Recorder,
    server: Server,
    published: Published,
    subject: Arc<Subject>,
    config: Config,
    stop: Stop,
    runner: Runner,
    spec: NodeSpec,
    /// Last, so that it goes after all that runs in it.
    node: SingleNode,
}

/// How far a family has come with a change.
#[derive(Clone, Copy, Default)]
struct Progress {
    seen: [bool; 2],
    /// When the sync ended that had both.
    done: Option<SystemTime>,
}

impl Real {
    /// An empty node; no kube-proxy runs yet. `recorder`: a program that stands in for others, else this one.
    pub(crate) fn prepare(
        subject: &Arc<Subject>,
        mut spec: NodeSpec,
        recorder: Option<PathBuf>,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let Some(proxy_mode) = proxy_mode(spec.mode) else { bail!("{} is no mode of kube-proxy", spec.mode) };
        let node = spec.build("real")?;
        let recorder =
            Recorder::listen(&node.node, recorder).context("the recorder of programs cannot listen")?;
        let listener = node.node.run(|| TcpListener::bind(API_SERVER));
        let listener = listener.with_context(|| format!("the API server cannot listen at {API_SERVER}"))?;
        let (major, minor) = subject.version.minor();
        let kubernetes = if major == 0 { Options::default().kubernetes } else { (major, minor) };
        let server = Server::start(listener, Options { kubernetes, ..Options::default() })?;
        let cluster_cidrs: Vec<_> =
            spec.families.iter().filter_map(|&family| spec.node(family).cluster_cidr).collect();
        let own = NodeObject {
            name: NODE.into(),
            addresses: spec.families.iter().map(|&family| spec.node(family).address).collect(),
            pod_cidrs: cluster_cidrs.clone(),
            has_zone: spec.has_zone,
            version: subject.version.to_string(),
        };
        server.apply([Change::Put(self::node(&own).into())])?;
        let tools = Tools::of(spec.mode);
        let mut config = Config::new(proxy_mode, format!("http://{API_SERVER}"), NODE);
        config.cluster_cidrs = cluster_cidrs;
        config.content_type = ContentType::Protobuf;
        config.ipv6 = spec.families.contains(&Family::Ipv6);
        config.localhost_node_ports = spec.node(Family::Ipv4).localhost_node_ports;
        config.scheduler = spec.mode.is_ipvs().then(|| spec.node(Family::Ipv4).scheduler.name().to_owned());
        (config.min_sync_period, config.sync_period) = (MIN_SYNC_PERIOD, SYNC_PERIOD);
        config.recorder = Some(recorder.program().to_owned());
        Ok(Self {
            process: None,
            recorder,
            server,
            published: Published::new(NODE),
            subject: Arc::clone(subject),
            config,
            stop: stop.clone(),
            runner: Runner::new(tools, node.node.process_group(), stop.clone()),
            spec,
            node,
        })
    }

    /// Its mode.
    pub(crate) const fn mode(&self) -> Mode {
        self.spec.mode
    }

    /// Programs that have been started so far.
    pub(crate) fn count(&self) -> usize {
        self.recorder.count()
    }

    /// Those since a count.
    pub(crate) fn runs(&self, since: usize) -> Vec<Run> {
        self.recorder.since(since)
    }

    /// Has the API server serve these Services.
    pub(crate) fn change(&mut self, sets: &[ServiceSet; 2]) -> anyhow::Result<()> {
        let sets: Vec<&ServiceSet> =
            self.spec.families.iter().map(|&family| &sets[family as usize]).collect();
        self.server.apply(self.published.change_to(&sets, None)?)?;
        Ok(())
    }

    /// Starts a kube-proxy over whatever is there, and does not wait for it.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let Subject { binary, version } = &*self.subject;
        self.process =
            Some(Process::start(&self.node.node, binary, version, &self.config, self.runner.tools())?);
        Ok(())
    }

    /// Ends it; its rules stay.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(STOP_LIMIT)?;
        }
        Ok(())
    }

    /// Waits until every family has synced what has this mark. `before`: the mark before it, whose
    /// addresses say nothing; `since`: the count of programs before. Says when the first of
    /// them had.
    pub(crate) fn wait(
        &mut self,
        mark: Mark,
        before: Option<Mark>,
        since: usize,
    ) -> anyhow::Result<SystemTime> {
        let begun = Instant::now();
        let families = self.spec.families.clone();
        let addresses: Vec<[String; 2]> = families.iter().map(|&family| mark.addresses(family)).collect();
        let begin =
            |(&family, addresses): (&Family, &[String; 2])| Progress::after(before, family, addresses);
        let mut progress: Vec<Progress> = families.iter().zip(&addresses).map(begin).collect();
        let mut looked: Vec<bool> = Vec::new();
        loop {
            let process = self.process.as_mut().context("no kube-proxy runs")?;
            process.check()?;
            if self.stop.is_requested() {
                return Err(ProcessError::Interrupted.into());
            }
            let rejected = self.recorder.look(since, |runs| {
                looked.resize(runs.len(), false);
                let mut new =
                    runs.iter().zip(&mut looked).filter(|(run, looked)| run.ended.is_some() && !**looked);
                new.find_map(|(run, looked)| {
                    *looked = true;
                    let at = families.iter().position(|&of| family(run) == Some(of))?;
                    progress[at].look(run, &addresses[at])
                })
            });
            if let Some(command) = rejected {
                // It has written down why by the time that it has read the program's end.
                thread::sleep(Duration::from_millis(200));
                bail!("kube-proxy was refused: {command}; {}", process.log().last_lines());
            }
            if let Some(ends) = progress.iter().map(|family| family.done).collect::<Option<Vec<_>>>()
                && let Ok(metrics) = process.metrics()
            {
                let over = |(family, &end): (&Family, &SystemTime)| {
                    let last = metrics.latest(names::LAST_SYNC, &[("ip_family", label(*family))]);
                    last.is_some_and(|last| last >= seconds(end))
                };
                if families.iter().zip(&ends).all(over) {
                    return Ok(ends.into_iter().min().unwrap_or_else(SystemTime::now));
                }
            }
            if begun.elapsed() > LIMIT {
                bail!("kube-proxy had not synced within {LIMIT:?}; {}", process.log().last_lines());
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// What the kernel holds, and some settings of the namespace.
    pub(crate) fn state(&self, settings: &[&'static str]) -> anyhow::Result<Vec<(Family, Normal)>> {
        state::read(&self.spec, &self.node.node, &self.runner, settings)
    }
}

impl Progress {
    /// Nothing is seen yet of what is new since a mark.
    fn after(before: Option<Mark>, family: Family, addresses: &[String; 2]) -> Self {
        let known = before.map(|before| before.addresses(family));
        let is_old = |at: usize| known.as_ref().is_some_and(|known| known[at] == addresses[at]);
        Self { seen: [is_old(0), is_old(1)], done: None }
    }

    /// Looks at a program that has ended. If kube-proxy was refused what it wanted: what it ran.
    fn look(&mut self, run: &Run, addresses: &[String; 2]) -> Option<String> {
        if self.done.is_some() {
            return None;
        }
        let input = std::str::from_utf8(&run.input).unwrap_or_default();
        for (seen, address) in self.seen.iter_mut().zip(addresses) {
            *seen |= input.contains(address.as_str())
                || run.command.iter().any(|word| word.contains(address.as_str()));
        }
        if !is_transaction(run) {
            return None;
        }
        if run.code() != Some(0) {
            return Some(format!("{} ended with {}", run.command.join(" "), run.code().unwrap_or(-1)));
        }
        if self.seen == [true; 2] {
            self.done = run.ended.map(|(at, _)| at);
        }
        None
    }
}

/// The value of the label `ip_family`.
const fn label(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// Since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &str, input: &str, code: i32) -> Run {
        let command = command.split(' ').map(str::to_owned).collect();
        Run { command, input: input.into(), ended: Some((SystemTime::UNIX_EPOCH, code)) }
    }

    #[test]
    fn a_family_is_done_when_a_transaction_ends_after_both_addresses_were_seen() {
        let addresses = Mark::default().addresses(Family::Ipv4);
        let [service, endpoint] = addresses.clone();
        let mut split = Progress::default();
        assert_eq!(split.look(&run("nft -f -", &format!("add element {service}"), 0), &addresses), None);
        assert!(split.done.is_none());
        split.look(&run("nft -f -", &format!("add rule {endpoint}"), 0), &addresses);
        assert!(split.done.is_some());

        let mut sets = Progress::default();
        sets.look(&run(&format!("ipset add KUBE-CLUSTER-IP {service},tcp:9"), "", 0), &addresses);
        sets.look(&run(&format!("ipset add KUBE-LOOP-BACK {endpoint},tcp:9,{endpoint}"), "", 0), &addresses);
        assert!(sets.done.is_none());
        sets.look(&run("iptables-restore -w 5 --noflush --counters", "*nat\nCOMMIT\n", 0), &addresses);
        assert!(sets.done.is_some());

        let before = Mark::default();
        let addresses = before.next_endpoint().addresses(Family::Ipv4);
        let mut changed = Progress::after(Some(before), Family::Ipv4, &addresses);
        changed.look(&run("nft -f -", &format!("add rule {}", addresses[1]), 0), &addresses);
        assert!(changed.done.is_some(), "a partial sync does not name the cluster IP");

        let refused = Progress::default().look(&run("nft -f -", "add rule x", 1), &addresses);
        assert_eq!(refused.as_deref(), Some("nft -f - ended with 1"));
    }
}
