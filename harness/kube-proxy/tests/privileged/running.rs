//! Real kube-proxies: started, synced, asked, watched, stopped, and in the way of something.

use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use dataplane::{Mode, Program};
use kube_proxy::metrics::{Bounds, names};
use kube_proxy::programs::Watch;
use kube_proxy::{Process, ProcessError, ProxyMode};
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::{Fingerprint, find_program};
use nix::sys::signal::Signal;

use crate::support::{LIMIT, Setup, beside, is_alive, setup, wait_until};
use crate::{NEWEST, api};

const SERVICES: u32 = 50;
const V4: &[(&str, &str)] = &[("ip_family", "IPv4")];

/// What a program prints inside.
fn output(setup: &Setup, program: &std::path::Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdout(std::process::Stdio::piped());
    let child = setup.namespace.spawn(&mut command).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn rules(setup: &Setup, mode: ProxyMode, tools: Tools) -> String {
    match mode {
        ProxyMode::Nftables => output(setup, &find_program("nft").unwrap(), &["list", "ruleset"]),
        _ => output(setup, &tools.path(Program::IptablesSave).unwrap(), &["-t", "nat"]),
    }
}

pub(crate) fn syncs(version: u8, mode: ProxyMode, tools: Tools) {
    let before = Fingerprint::take();
    let setup = setup(version, mode);
    assert_eq!(setup.version.minor(), (1, u32::from(version)));
    api::serve(&setup.namespace, SERVICES);
    let mut process = setup.start(tools);
    let stop = Stop::new();
    let ready = process.wait_until_ready(&stop, LIMIT).unwrap();
    assert!(ready > process.started());
    process.wait_until_synced(&stop, LIMIT).unwrap();

    let found = rules(&setup, mode, tools);
    for index in 1..=SERVICES {
        assert!(
            found.contains(&format!("10.244.0.{index}:8080"))
                || found.contains(&format!("10.244.0.{index} . 8080")),
            "{found}"
        );
    }
    // What it measures, what it logs, and what the kernel counts belong together.
    let metrics = process.metrics().unwrap();
    let syncs = metrics.histogram(names::SYNC_DURATION, V4).unwrap();
    assert!(syncs.count() >= 1 && syncs.sum() > 0.0);
    let Bounds { lower, upper } = syncs.quantile(1.0).unwrap();
    assert!(lower <= syncs.sum() && upper > 0.0, "{syncs:?}");
    assert!(metrics.value(names::GOROUTINES, &[]).unwrap() > 5.0);
    assert!(metrics.latest(names::LAST_SYNC, &[]).unwrap() > 1.7e9);
    let memory = metrics.value(names::RESIDENT_MEMORY, &[]).unwrap();
    assert!(memory > 10e6, "its own /proc, not another process's: {memory}");
    let logged = process.log().syncs_since(0);
    assert!(logged.iter().any(|(at, took)| *at > process.started() && took.as_nanos() > 0), "{logged:?}");
    let usage = process.usage().unwrap();
    assert!(usage.cpu_ns > 1_000_000 && usage.peak_rss > 10_000_000, "{usage:?}");
    let seconds = metrics.value(names::PROCESSOR_SECONDS, &[]).unwrap();
    assert!(seconds * 1e9 <= usage.cpu_ns as f64 + 50e6, "{seconds} s, {usage:?}");

    let all = beside(process.pid());
    let ended = process.stop(LIMIT).unwrap();
    assert!(ended.by_itself, "{ended:?}");
    wait_until("nothing runs there any more", || !all.iter().any(|&pid| is_alive(pid)));
    assert!(!rules(&setup, mode, tools).is_empty(), "its rules stay, as on a node");

    // Over what is there, it starts as it did.
    let mut again = setup.start(tools);
    again.wait_until_synced(&stop, LIMIT).unwrap();
    drop(again);
    drop(setup);
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
}

pub(crate) fn taken() {
    let setup = setup(NEWEST, ProxyMode::Nftables);
    api::serve(&setup.namespace, 1);
    let address = setup.config.metrics;
    let _taken = setup.namespace.run(|| TcpListener::bind(address)).unwrap();
    let mut process = setup.start(Tools::of(Mode::Nftables));
    let error = process.wait_until_synced(&Stop::new(), LIMIT).unwrap_err();
    assert!(matches!(error, ProcessError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("10249: bind: address already in use"), "{error}");
}

/// Waits until it has said something: how soon that is, is the machine's matter.
fn wait_for_words(process: &Process, words: &str) {
    let said = || process.log().since(0).iter().any(|line| line.text.contains(words));
    wait_until(&format!("it says {words:?}"), said);
}

const SHORT: Duration = Duration::from_millis(100);

pub(crate) fn no_server() {
    let setup = setup(NEWEST, ProxyMode::Nftables);
    let mut process = setup.start(Tools::of(Mode::Nftables));
    let pid = process.pid();
    wait_for_words(&process, "connection refused");
    // It waits for its Node before it serves anything.
    let error = process.wait_until_ready(&Stop::new(), SHORT).unwrap_err();
    assert!(matches!(error, ProcessError::OutOfTime { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("kube-proxy did not serve its health and metrics within 100ms: "), "{text}");
    assert!(text.contains("connection refused") && !text.contains("FLAG"), "{text}");
    drop(process);
    assert!(!is_alive(pid));
}

pub(crate) fn not_served() {
    let setup = setup(NEWEST, ProxyMode::Nftables);
    api::serve_without(&setup.namespace, 1, "/endpointslices");
    let mut process = setup.start(Tools::of(Mode::Nftables));
    wait_for_words(&process, "failed to list *v1.EndpointSlice");
    let text = process.wait_until_synced(&Stop::new(), SHORT).unwrap_err().to_string();
    assert!(text.starts_with("kube-proxy did not finish its first sync within 100ms: "), "{text}");
    assert!(text.contains("EndpointSlice"), "{text}");
}

pub(crate) fn one_family() {
    let mut setup = setup(NEWEST, ProxyMode::Iptables);
    api::serve(&setup.namespace, 1);
    setup.config.ipv6 = false;
    let mut process = setup.start(Tools::of(Mode::IptablesLegacy));
    process.wait_until_synced(&Stop::new(), LIMIT).unwrap();
    assert_eq!(process.metrics().unwrap().label_values(names::LAST_SYNC, "ip_family"), ["IPv4"]);
}

pub(crate) fn stalled() {
    let setup = setup(NEWEST, ProxyMode::Nftables);
    api::serve(&setup.namespace, 1);
    let mut process = setup.start(Tools::of(Mode::Nftables));
    let stop = Stop::new();
    process.wait_until_synced(&stop, LIMIT).unwrap();
    process.signal(Signal::SIGSTOP).unwrap();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next()
    };
    wait_until("it is stopped", || state() == Some('T'));
    process.signal(Signal::SIGCONT).unwrap();
    assert!(process.metrics().is_ok());
    // One that does not listen is killed.
    process.signal(Signal::SIGSTOP).unwrap();
    let ended = process.stop(Duration::from_millis(100)).unwrap();
    assert!(!ended.by_itself, "{ended:?}");
}

pub(crate) fn programs() {
    // Not everybody who is root here is root of the machine.
    let watch = match Watch::open() {
        Ok(watch) => watch,
        Err(error) => return eprintln!("the kernel does not tell of processes here ({error}): not tried"),
    };
    let mut setup = setup(NEWEST, ProxyMode::Nftables);
    api::serve(&setup.namespace, SERVICES);
    setup.config.feature_gates.insert("NFTablesNetlink".into(), false);
    let mut process = setup.start(Tools::of(Mode::Nftables));
    watch.follow(process.pid());
    process.wait_until_synced(&Stop::new(), LIMIT).unwrap();
    thread::scope(|scope| {
        // What others start is not its own.
        scope.spawn(|| Command::new("/bin/true").status().unwrap());
    });
    let seen = watch.seen();
    assert!(!seen.incomplete);
    let names: Vec<&str> = seen.programs.iter().map(|run| run.name.as_str()).collect();
    assert!(names.contains(&"nft") && !names.contains(&"true"), "{names:?}");
    let loads: Vec<_> = seen.programs.iter().filter(|run| run.command.contains("-f -")).collect();
    assert!(!loads.is_empty(), "{:#?}", seen.programs);
    for run in loads {
        let (executed, ended) = (run.executed.unwrap(), run.ended.unwrap());
        assert!(process.started() < run.started && run.started <= executed && executed <= ended, "{run:?}");
        assert_eq!(run.code(), Some(0), "{run:?}");
        let used = run.used.unwrap();
        assert!(used.cpu_ns > 100_000 && (500_000..1 << 30).contains(&used.peak_rss), "{run:?}");
        assert!(u128::from(used.cpu_ns) <= run.duration().unwrap().as_nanos() + 20_000_000, "{run:?}");
    }
    assert!(!watch.take().programs.is_empty());
    assert!(watch.seen().programs.iter().all(|run| run.ended.is_none() || run.started > process.started()));
}
