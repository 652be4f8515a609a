//! `svcbench plan`: what a mode would send to the kernel, printed.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use dataplane::background::Background;
use dataplane::{Counts, KubeProxy, Mode, Node, Part, Plan, Step, Sync, planner};
use netns_setup::ipvs::Scheduler;
use serde::Serialize;
use services::addresses::{MAX_ENDPOINTS, MAX_SERVICES};
use services::service_set::{Scale, ServiceSet};
use svcbench::forecast::footprint::{Bytes, Footprint, table};

use super::cluster::{Cluster, read};
use super::exit::Exit;
use super::node_args::NodeArgs;
use super::output::Output;
use super::streams;

/// Flags of `svcbench plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Mode or control
    #[arg(long, short, value_enum)]
    mode: Mode,
    /// Synthetic Services
    #[arg(
        long, short, value_name = "N", required_unless_present = "from", conflicts_with = "from",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SERVICES))
    )]
    services: Option<u32>,
    /// Endpoints of each synthetic Service
    #[arg(
        long, short, value_name = "E", default_value_t = 10, conflicts_with = "from",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    endpoints: u32,
    /// Plan the partial sync from this many Services instead of a full sync from none
    #[arg(
        long, value_name = "N0", conflicts_with = "from",
        value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_SERVICES))
    )]
    from_services: Option<u32>,
    /// Services of a real cluster: output of `kubectl get services,endpointslices -A -o json`, or `-o yaml`; `-` is standard
    /// input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    /// Whose output to reproduce
    #[arg(long, value_enum, value_name = "VERSION", default_value_t = KubeProxy::NEWEST)]
    kube_proxy: KubeProxy,
    /// Scheduler of IPVS: rr wrr lc wlc lblc lblcr sh dh mh sed nq fo ovf
    #[arg(long, value_name = "NAME", default_value_t = Scheduler::Rr)]
    scheduler: Scheduler,
    /// The plan of background rules before and after kube-proxy's, as in a sweep: 'flannel = true, host_ports = 3'
    #[arg(long, value_name = "BACKGROUND", alias = "neighbours", value_parser = background, conflicts_with = "from_services")]
    background: Option<Background>,
    /// Print only what one tool reads
    #[arg(long, value_enum, value_name = "PART", default_value_t = Part::All, conflicts_with = "stats")]
    part: Part,
    /// Seed of the order of synthetic Services
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print counts and bytes instead of the plan
    #[arg(long)]
    stats: bool,
}

/// Prints the plan.
///
/// # Errors
/// Bad input, or a closed standard output.
pub(crate) fn run(output: &Output, args: &PlanArgs) -> anyhow::Result<Exit> {
    let needs_ipvs = matches!(args.part, Part::Ipvs | Part::Ipset);
    ensure!(args.mode.is_ipvs() || !needs_ipvs, "the plan of mode {} has no such part", args.mode);
    let (from, to, node, cluster) = services(output, args)?;
    let dataplane = planner(args.mode, node);
    dataplane.fits(&to)?;
    let sync = if args.from_services.is_some_and(|n| n > 0) { Sync::Partial } else { Sync::Full };
    let mut plan = dataplane.plan(&from, &to, sync);
    if let Some(background) = &args.background {
        ensure!(Background::are_in(args.mode), "the control {} has no background rules", args.mode);
        plan = beside(background, args.mode, plan);
    }
    let mut out = BufWriter::with_capacity(1 << 16, streams::data());
    if args.stats || output.json {
        let capacity = (sync == Sync::Full && !args.mode.is_control())
            .then(|| Footprint::of_plan(args.mode, &to, &plan));
        stats(output, &plan, &to, args, (cluster, capacity), &mut out)?;
    } else {
        plan.write_part(args.part, &mut out)?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// What is installed, what shall be, on which node, and of which cluster.
type Services = (ServiceSet, ServiceSet, Node, Option<Cluster>);

fn services(output: &Output, args: &PlanArgs) -> anyhow::Result<Services> {
    let lab = Node { scheduler: args.scheduler, ..Node::lab(args.kube_proxy) };
    if let Some(path) = &args.from {
        let (chosen, cluster) = read(output, path, &args.node)?;
        let node = lab.of_cluster(&chosen);
        return Ok((ServiceSet::default(), chosen.set, node, Some(cluster)));
    }
    args.node.are_not_given()?;
    let set = |services: u32| -> anyhow::Result<ServiceSet> {
        let endpoints = u64::from(services) * u64::from(args.endpoints);
        ensure!(
            endpoints <= MAX_ENDPOINTS,
            "{services} Services x {} endpoints are {endpoints}; at most {MAX_ENDPOINTS} have addresses in a lab",
            args.endpoints
        );
        Ok(ServiceSet::synthetic(Scale { services, endpoints: args.endpoints }, args.seed))
    };
    let to = set(args.services.unwrap_or(1))?;
    let from = match args.from_services {
        None | Some(0) => ServiceSet::default(),
        // The first Services of the same list, or the list and more: nothing else differs.
        Some(count) if count as usize <= to.len() => {
            to.services()[..count as usize].iter().map(|s| (**s).clone()).collect()
        }
        Some(count) => {
            let more = set(count)?;
            let known: std::collections::HashSet<_> =
                to.services().iter().map(|service| service.name.clone()).collect();
            let extra = more.services().iter().filter(|service| !known.contains(&service.name));
            to.services().iter().chain(extra).map(|service| (**service).clone()).collect()
        }
    };
    Ok((from, to, lab, None))
}

/// Reads what stands in braces behind `background =` in a sweep.
fn background(text: &str) -> Result<Background, String> {
    #[derive(serde::Deserialize)]
    struct Table {
        background: Background,
    }
    let table: Table = toml::from_str(&format!("background = {{ {text} }}"))
        .map_err(|error| format!("{}; for example: flannel = true, host_ports = 3", error.message()))?;
    Ok(table.background)
}

/// A plan with what background rules need before it and after it.
fn beside(background: &Background, mode: Mode, plan: Plan) -> Plan {
    let mut steps = background.install(mode).steps;
    steps.extend(plan.steps);
    steps.extend(background.settle(mode).steps);
    Plan { steps, cleanup: plan.cleanup, expect: plan.expect + background.counts(mode) }
}

/// What a cold full sync takes, from constants.
#[derive(Serialize)]
struct Predicted {
    /// Held by the kernel, without what it has for each CPU.
    kernel_bytes: u64,
    /// For each CPU.
    kernel_bytes_per_cpu: u64,
    /// More of the kernel's, during a transaction.
    transaction_bytes: u64,
    /// Of the program that writes it.
    program_bytes: u64,
    /// Of the table, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    table_bytes: Option<u64>,
    /// Seconds.
    seconds: f64,
}

impl Predicted {
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let [kernel, cpu, more, program] =
            [self.kernel_bytes, self.kernel_bytes_per_cpu, self.transaction_bytes, self.program_bytes]
                .map(Bytes);
        writeln!(out, "predicted    for a cold full sync, from constants (METHODOLOGY.md)")?;
        writeln!(out, "  kernel     {kernel}, {cpu} for each CPU, and {more} during a transaction")?;
        writeln!(out, "  program    {program}")?;
        writeln!(out, "  time       {:.1} s", self.seconds)?;
        if let Some(bytes) = self.table_bytes {
            let refused = if bytes >= table::LARGEST { "; the kernel refuses it" } else { "" };
            writeln!(out, "  table      {} of less than {}{refused}", Bytes(bytes), Bytes(table::LARGEST))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Stats {
    mode: &'static str,
    kube_proxy: &'static str,
    services: usize,
    endpoints: usize,
    /// Programs run during the sync, by phase.
    runs: BTreeMap<&'static str, usize>,
    /// Netlink messages sent during the sync, by phase.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    messages: BTreeMap<&'static str, usize>,
    /// Bytes given to them.
    bytes: u64,
    /// What the kernel holds afterwards.
    kernel: Counts,
    /// What a cold full sync takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<Predicted>,
    /// What else the cluster's file has.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
}

fn stats(
    output: &Output,
    plan: &Plan,
    to: &ServiceSet,
    args: &PlanArgs,
    (cluster, capacity): (Option<Cluster>, Option<Footprint>),
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let by_phase = |of: fn(&Step) -> usize| {
        let mut sums = BTreeMap::new();
        for step in plan.steps.iter().chain(&plan.cleanup).filter(|step| of(step) > 0) {
            *sums.entry(step.phase.name()).or_default() += of(step);
        }
        sums
    };
    let stats = Stats {
        mode: args.mode.name(),
        kube_proxy: args.kube_proxy.name(),
        services: to.len(),
        endpoints: to.total_endpoints(),
        runs: by_phase(|step| usize::from(step.program().is_some())),
        messages: by_phase(Step::messages),
        bytes: plan.bytes(),
        kernel: plan.expect,
        predicted: capacity.map(|capacity| Predicted {
            kernel_bytes: capacity.kernel,
            kernel_bytes_per_cpu: capacity.per_cpu,
            transaction_bytes: capacity.transaction,
            program_bytes: capacity.program,
            table_bytes: capacity.table,
            // To the millisecond, for what is hardly that exact.
            seconds: (capacity.sync_seconds * 1e3).round() / 1e3,
        }),
        cluster,
    };
    if output.json {
        serde_json::to_writer_pretty(&mut *out, &stats)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "mode         {}", stats.mode)?;
    writeln!(out, "kube-proxy   {}", stats.kube_proxy)?;
    writeln!(out, "services     {}", stats.services)?;
    writeln!(out, "endpoints    {}", stats.endpoints)?;
    let sums = |by_phase: &BTreeMap<&str, usize>| -> String {
        let sums: Vec<String> = by_phase.iter().map(|(phase, count)| format!("{phase} {count}")).collect();
        if sums.is_empty() { "none".into() } else { sums.join(", ") }
    };
    writeln!(out, "programs     {}", sums(&stats.runs))?;
    if args.mode.is_ipvs() {
        writeln!(out, "messages     {}", sums(&stats.messages))?;
    }
    writeln!(out, "bytes        {}", stats.bytes)?;
    writeln!(out, "rules        {}", stats.kernel.rules)?;
    writeln!(out, "chains       {}", stats.kernel.chains)?;
    writeln!(out, "elements     {}", stats.kernel.elements)?;
    if args.mode.is_ipvs() {
        let Counts { virtual_servers, real_servers, .. } = stats.kernel;
        writeln!(out, "servers      {virtual_servers} virtual, {real_servers} real")?;
        writeln!(out, "addresses    {}", stats.kernel.addresses)?;
    }
    if let Some(predicted) = &stats.predicted {
        predicted.write(out)?;
    }
    if let Some(cluster) = &stats.cluster {
        cluster.write(out)?;
    }
    Ok(())
}
