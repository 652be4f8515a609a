//! The frame of tests in real kernels, for the test programs of other crates.
//!
//! Each [`Test`] says what it needs. It runs here where this machine has all of it; in a guest, by this same program,
//! where only the kernel lacks something that guests have (IPVS, dummy links, bridges, IPIP); else it is shown as ignored,
//! with the reason. With `SVCBENCH_REQUIRE_PRIVILEGE=1` it fails instead: a suite that skips in silence shows nothing.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "it is for tests, which talk to whoever runs them"
)]

mod in_guest;
mod slowest;
mod test;

use std::collections::BTreeMap;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};
use netns_setup::{Missing, Need, check};

use self::in_guest::Relay;
use self::slowest::Durations;
pub use self::test::{MakeImage, Test};

/// Fails instead of ignoring tests whose needs are not met.
pub const REQUIRE: &str = "SVCBENCH_REQUIRE_PRIVILEGE";

/// What the stock kernel of guests has and a host's may lack.
const OF_KERNELS: [Need; 4] = [Need::IpVs, Need::Dummy, Need::Bridge, Need::Ipip];

/// What kernel a test runs in.
enum RunsIn {
    HostKernel,
    GuestKernel,
    None(Missing),
}

/// Runs the tests as the command line says. Call it first in `main`: in a guest it does not return.
pub fn run(tests: Vec<Test>, image: MakeImage) -> ExitCode {
    let mut tests = tests;
    in_guest::serve(&mut tests);
    let arguments = Arguments::from_args();
    let required = env::var(REQUIRE).is_ok_and(|value| value == "1");
    let mut known = BTreeMap::new();
    let no_guest = netns_setup::guest::check().err();
    let sorted: Vec<(Test, RunsIn)> =
        tests.into_iter().map(|test| runs_in(test, &mut known, no_guest.as_ref())).collect();

    let wanted = sorted
        .iter()
        .filter(|(test, runs_in)| matches!(runs_in, RunsIn::GuestKernel) && selected(&test.name, &arguments))
        .map(|(test, _)| test.name.clone());
    let durations = Arc::new(Durations::default());
    let relay = Arc::new(Relay::new(wanted.collect(), image, Arc::clone(&durations)));
    let mut lacking = Vec::new();
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    let count = sorted.len();
    for (test, runs_in) in sorted {
        match runs_in {
            RunsIn::HostKernel => {
                let (durations, name) = (Arc::clone(&durations), test.name.clone());
                here.push(Trial::test(test.name, move || {
                    let begun = Instant::now();
                    let ended = catch_unwind(AssertUnwindSafe(test.body));
                    durations.note(&name, begun.elapsed());
                    ended.unwrap_or_else(|panic| resume_unwind(panic));
                    Ok(())
                }));
            }
            RunsIn::GuestKernel => {
                let (relay, name) = (Arc::clone(&relay), test.name.clone());
                let body = move || relay.result(&name).map_err(Into::into);
                elsewhere.push(Trial::test(test.name, body).with_kind("in a guest"));
            }
            RunsIn::None(missing) => {
                lacking.push(format!("{}: {missing}", test.name));
                let body = move || Err(missing.to_string().into());
                here.push(Trial::test(test.name, body).with_ignored_flag(!required));
            }
        }
    }
    if !arguments.list {
        relay.start();
    }
    // Those in the guest last: by then it has run most of them.
    here.append(&mut elsewhere);
    let conclusion = libtest_mimic::run(&arguments, here);
    if !arguments.list {
        print!("{}", durations.slowest());
    }
    if !arguments.list && !lacking.is_empty() {
        println!("{} of {count} tests lack something:", lacking.len());
        lacking.iter().for_each(|line| println!("  {line}"));
    }
    conclusion.exit_code()
}

/// Where a test can run.
fn runs_in(
    test: Test,
    known: &mut BTreeMap<Need, Option<Missing>>,
    no_guest: Option<&Missing>,
) -> (Test, RunsIn) {
    let missing: Vec<(Need, Missing)> = test
        .needs
        .iter()
        .filter_map(|&need| {
            let missing = known.entry(need).or_insert_with(|| check(need).err()).clone();
            Some((need, missing?))
        })
        .collect();
    // A guest has no kube-proxy but this machine's.
    let no_kube_proxy = missing.iter().find(|(need, _)| matches!(need, Need::KubeProxy(_)));
    let runs_in = match no_kube_proxy.or(missing.first()) {
        None => RunsIn::HostKernel,
        // Programs and privilege: a guest has this machine's programs, and every test there is root.
        Some((_, first))
            if no_kube_proxy.is_some() || !missing.iter().any(|(need, _)| OF_KERNELS.contains(need)) =>
        {
            RunsIn::None(first.clone())
        }
        Some((_, first)) => match no_guest {
            None => RunsIn::GuestKernel,
            Some(no_guest) => {
                let why = format!("{}; nor in a guest: {no_guest}", first.why);
                RunsIn::None(Missing { why, ..first.clone() })
            }
        },
    };
    (test, runs_in)
}

/// Whether the command line's filters let a name pass, as libtest has it.
fn selected(name: &str, arguments: &Arguments) -> bool {
    let fits =
        |pattern: &String| if arguments.exact { name == pattern } else { name.contains(pattern.as_str()) };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits) && !arguments.ignored
}
