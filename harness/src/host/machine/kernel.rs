//! How the running kernel was built, where it can be seen.

use std::fs::File;
use std::io::Read;

use flate2::read::GzDecoder;

use crate::host::tree::Tree;

/// Options that cost every allocation, lock or memory access something (lib/Kconfig.debug and what it includes). What
/// distributions turn on everywhere, such as KFENCE, is not among them.
const DEBUG: [&str; 14] = [
    "KASAN",
    "KMSAN",
    "KCSAN",
    "KCOV",
    "GCOV_KERNEL",
    "LOCKDEP",
    "PROVE_RCU",
    "DEBUG_SPINLOCK",
    "DEBUG_MUTEXES",
    "DEBUG_ATOMIC_SLEEP",
    "DEBUG_OBJECTS",
    "DEBUG_KMEMLEAK",
    "DEBUG_PAGEALLOC_ENABLE_DEFAULT",
    "SLUB_DEBUG_ON",
];

/// No kernel's configuration is larger, unpacked.
const LARGEST: u64 = 4 << 20;

/// Which of them the kernel has. Without its configuration only lock debugging can be seen.
pub(super) fn debug_options(tree: Tree<'_>) -> Vec<String> {
    let config = config(tree);
    let on: Vec<&str> = config
        .lines()
        .filter_map(|line| line.strip_prefix("CONFIG_")?.strip_suffix("=y"))
        .filter(|option| DEBUG.contains(option))
        .collect();
    if on.is_empty() && tree.path("proc/lockdep").exists() {
        return vec!["LOCKDEP".into()];
    }
    DEBUG.iter().filter(|option| on.contains(option)).map(|option| (*option).to_owned()).collect()
}

fn config(tree: Tree<'_>) -> String {
    let mut text = String::new();
    if let Ok(file) = File::open(tree.path("proc/config.gz"))
        && GzDecoder::new(file).take(LARGEST).read_to_string(&mut text).is_ok()
    {
        return text;
    }
    let release = tree.text("proc/sys/kernel/osrelease");
    let places = [format!("boot/config-{release}"), format!("lib/modules/{release}/config")];
    places.iter().map(|place| tree.text(place)).find(|text| !text.is_empty()).unwrap_or_default()
}

/// As `uname -v` has it, with what a dynamic kernel was set to at boot or since.
pub(super) fn preemption(tree: Tree<'_>) -> String {
    let version = tree.text("proc/sys/kernel/version");
    let Some(model) = version.split_whitespace().find(|word| word.starts_with("PREEMPT")) else {
        return String::new();
    };
    // `none voluntary (full) lazy`, for root, where debugfs is mounted.
    let chosen = tree.text("sys/kernel/debug/sched/preempt");
    let chosen = chosen
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(chosen, _)| chosen.to_owned());
    let line = tree.text("proc/cmdline");
    let asked = line.split_whitespace().find_map(|word| word.strip_prefix("preempt=")).map(str::to_owned);
    match chosen.or(asked) {
        Some(chosen) => format!("{model} ({chosen})"),
        None => model.to_owned(),
    }
}
