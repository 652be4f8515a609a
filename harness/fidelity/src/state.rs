//! What a kernel holds, in normal form.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::process::Command;

use anyhow::{Context, ensure};
use dataplane::{Mode, Program, ipvs};
use lab::apply::{Runner, empty_in_memory, last_lines};
use lab::readback;
use netns_setup::Namespace;
use ruleset::compare::{Normal, Object, normal_iptables, normal_nft};
use services::service::Family;

use crate::node::NodeSpec;

/// Of each family: its rules; in IPVS mode sets, virtual servers and addresses too; and some settings of the namespace.
pub(crate) fn read(
    spec: &NodeSpec,
    namespace: &Namespace,
    runner: &Runner,
    settings: &[&'static str],
) -> anyhow::Result<Vec<(Family, Normal)>> {
    let of_family = |&family: &Family| {
        let mut normal = match spec.mode {
            Mode::Nftables => nft(family, runner)?,
            _ => iptables(family, runner)?,
        };
        if spec.mode.is_ipvs() {
            servers(family, runner, &mut normal)?;
        }
        for key in settings.iter().filter(|key| of_setting(key) == family) {
            let path = format!("/proc/sys/{}", key.replace('.', "/"));
            let value = fs::read_to_string(path)
                .map_or_else(|error| error.to_string(), |text| text.trim().to_owned());
            normal.insert(format!("setting {key}"), object(vec![value]));
        }
        Ok::<_, anyhow::Error>((family, normal))
    };
    namespace.run(|| spec.families.iter().map(of_family).collect())
}

fn of_setting(key: &str) -> Family {
    if key.starts_with("net.ipv6.") { Family::Ipv6 } else { Family::Ipv4 }
}

fn object(lines: Vec<String>) -> Object {
    Object { service: None, lines: lines.into_iter().map(|line| (None, line)).collect() }
}

fn iptables(family: Family, runner: &Runner) -> anyhow::Result<Normal> {
    let program = Program::iptables_save(family);
    let text = printed(runner, program, &[], true)?;
    normal_iptables(&text).with_context(|| format!("what {} prints", program.name()))
}

fn nft(family: Family, runner: &Runner) -> anyhow::Result<Normal> {
    let ip = match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    };
    // Without the table it says so with an exit code.
    let text = printed(runner, Program::Nft, &["list", "table", ip, "kube-proxy"], false)?;
    normal_nft(&text).context("what nft prints")
}

/// What a program prints; into memory, as it may be much.
fn printed(runner: &Runner, program: Program, args: &[&str], must_succeed: bool) -> anyhow::Result<String> {
    let mut file: File = empty_in_memory()?;
    let mut command = Command::new(runner.tools().path(program)?);
    let finished = runner.run_into(command.args(args), program.name(), file.try_clone()?)?;
    ensure!(
        finished.status.success() || !must_succeed,
        "{} ended with {}: {}",
        program.name(),
        finished.status,
        last_lines(&finished.stderr)
    );
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// What only IPVS mode has.
fn servers(family: Family, runner: &Runner, normal: &mut Normal) -> anyhow::Result<()> {
    let ipvs::State { servers, sets, addresses } = readback::ipvs::state(runner)?;
    for (server, real_servers) in servers.services() {
        if Family::of(server.key.address.ip()) == family {
            let real_servers = real_servers.map(|server| format!("real server {server}"));
            let lines = std::iter::once(server.to_string()).chain(real_servers).collect();
            normal.insert(format!("virtual server {}", server.key), object(lines));
        }
    }
    let is_of_family = |name: &str| name.starts_with("KUBE-6-") == (family == Family::Ipv6);
    for (name, entries) in sets.into_iter().filter(|(name, _)| is_of_family(name)) {
        let lines = std::iter::once("set".to_owned()).chain(entries).collect();
        normal.insert(format!("ipset {name}"), object(lines));
    }
    let bound = addresses.into_iter().filter(|&address| Family::of(address) == family);
    normal.insert(format!("addresses of {}", ipvs::DUMMY), object(bound.map(|ip| ip.to_string()).collect()));
    Ok(())
}
