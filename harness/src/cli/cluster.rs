//! Services of a cluster: read, and what they are taken for.

use std::io::Write;
use std::path::Path;

use lab::cluster::Installed;
use serde::Serialize;
use services::cluster::{Chosen, ClusterInput, PassedOver, Wanted};

use super::node_args::NodeArgs;
use super::output::Output;
use super::streams;

/// What is said of a cluster beside the plan.
#[derive(Serialize)]
pub(super) struct Cluster {
    /// IP family of the proxier.
    family: &'static str,
    /// Name of the node, if known.
    node: Option<String>,
    /// Service objects in the file.
    service_objects: usize,
    /// Endpoints on the node.
    local_endpoints: usize,
    /// Host ports of pods on the node.
    host_ports: usize,
    /// What leaves nothing in the kernel.
    passed_over: PassedOver,
}

impl NodeArgs {
    /// That nothing is asked of a node where there is no cluster.
    ///
    /// # Errors
    /// If something is. (clap passes over `requires` where what is required conflicts with what is there.)
    pub(super) fn are_not_given(&self) -> anyhow::Result<()> {
        let is_given = self.node.is_some()
            || self.node_ip.is_some()
            || self.cluster_cidr.is_some()
            || self.family.is_some();
        anyhow::ensure!(
            !is_given,
            "--node, --node-ip, --cluster-cidr and --family are for the Services of a cluster: give it with --from FILE"
        );
        Ok(())
    }
}

/// What a run installs.
pub(super) struct Given {
    /// The Services and where their lab is.
    pub installed: Installed,
    /// For the copy of the sweep.
    pub note: String,
}

/// Reads a cluster to install it. Says what [`read`] says.
///
/// # Errors
/// As [`read`], and if it cannot be installed in a lab.
pub(super) fn install(output: &Output, path: &Path, args: &NodeArgs) -> anyhow::Result<Given> {
    let input = ClusterInput::read(path, args.node.as_deref())?;
    let (chosen, _) = choose(output, path, args, &input)?;
    let installed = Installed::of(path, chosen)?;
    let note = installed.note(&input);
    Ok(Given { installed, note })
}

/// Reads a cluster for a node. Says on standard error what was assumed, and what is passed over.
///
/// # Errors
/// What is wrong with the file, or does not go together.
pub(super) fn read(output: &Output, path: &Path, args: &NodeArgs) -> anyhow::Result<(Chosen, Cluster)> {
    choose(output, path, args, &ClusterInput::read(path, args.node.as_deref())?)
}

fn choose(
    output: &Output,
    path: &Path,
    args: &NodeArgs,
    input: &ClusterInput,
) -> anyhow::Result<(Chosen, Cluster)> {
    let wanted = Wanted { family: args.family, node_ip: args.node_ip, cluster_cidr: args.cluster_cidr };
    let chosen = input.choose(&wanted)?;
    let endpoints = chosen.set.services().iter().flat_map(|service| service.endpoints());
    let cluster = Cluster {
        family: chosen.family.name(),
        service_objects: input.service_objects,
        local_endpoints: endpoints.filter(|endpoint| endpoint.local).count(),
        host_ports: input.host_ports.len(),
        passed_over: input.passed_over.of(chosen.family),
        node: input.node.clone(),
    };
    if !output.quiet {
        cluster.tell(path, &chosen);
    }
    Ok((chosen, cluster))
}

impl Cluster {
    fn tell(&self, path: &Path, chosen: &Chosen) {
        let file = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
        let stranger = match &self.node {
            Some(node) if self.local_endpoints == 0 => Some(format!("no endpoint is on node {node}")),
            _ => None,
        };
        let lines = chosen.assumed.iter().cloned().chain(stranger).chain(self.passed_over.lines(false));
        for line in lines {
            streams::tell(format_args!("{file}: {line}"));
        }
    }

    /// Writes it as lines of `plan --stats`, with the names of what is passed over.
    ///
    /// # Errors
    /// A closed standard output.
    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "family       {}", self.family)?;
        writeln!(out, "node         {}", self.node.as_deref().unwrap_or("none"))?;
        writeln!(out, "local        endpoints {}, host ports {}", self.local_endpoints, self.host_ports)?;
        writeln!(out, "objects      Services {}", self.service_objects)?;
        self.passed_over.lines(true).iter().try_for_each(|line| writeln!(out, "passed over  {line}"))
    }
}
