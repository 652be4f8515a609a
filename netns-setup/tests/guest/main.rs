//! Tests that boot guests. They need QEMU and a kernel, and no privilege; without those they are shown as ignored, with
//! the reason, and with `SVCBENCH_REQUIRE_PRIVILEGE=1` they fail.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "tests talk to whoever runs them")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod ends;
mod inside;
mod life;
#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use netns_setup::guest::{self, Accelerator, Clock, Guest, GuestError, Image, Kernel, Spec};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("two_boots_on_the_instruction_clock_are_the_same_to_the_nanosecond", inside::same_twice),
    ("a_guest_on_the_wall_clock_says_how_it_is_executed", inside::wall_clock),
    ("a_module_that_the_kernel_refuses_is_named", inside::refused_module),
    ("work_that_fails_is_reported_with_its_last_words", ends::failing_work),
    ("a_kernel_panic_reaches_the_error", ends::panic),
    ("a_guest_that_hangs_is_ended_after_the_silence_timeout", ends::hang),
    ("want_of_memory_in_the_guest_is_reported", ends::out_of_memory),
    ("a_guest_that_does_not_boot_is_reported", ends::no_boot),
    ("what_cannot_be_started_is_reported", ends::no_start),
    ("a_stop_request_ends_the_guest", life::stopped),
    ("dropping_a_guest_leaves_no_emulator", life::dropped),
    ("a_killed_owner_leaves_no_emulator", life::killed),
];

/// Far longer than anything waited for should take, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(300);

/// Emulators at a time, at most.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    guest::inside(|job, port| match job {
        b"facts" => inside::report(port),
        other => ends::act(other, port),
    });
    if life::play_role() {
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(AT_ONCE).min(AT_ONCE));
    let missing = match guest::check() {
        Ok(_) => Kernel::stock(&mut |step| eprintln!("{step}")).err().map(|error| error.to_string()),
        Err(missing) => Some(missing.to_string()),
    };
    let required = env::var("SVCBENCH_REQUIRE_PRIVILEGE").is_ok_and(|value| value == "1");
    let trials = TESTS.iter().map(|&(name, test)| {
        let missing = missing.clone();
        let ignored = missing.is_some() && !required;
        let body = move || match missing {
            Some(missing) => Err(missing.into()),
            None => {
                test();
                Ok(())
            }
        };
        Trial::test(name, body).with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Some(missing) = missing.filter(|_| !arguments.list) {
        println!("every test lacks something: {missing}");
    }
    conclusion.exit_code()
}

/// The stock kernel.
fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| Kernel::stock(&mut |_| ()).unwrap())
}

fn spec(image: &Image) -> Spec<'_> {
    Spec {
        kernel: kernel(),
        image,
        memory_mib: 512,
        clock: Clock::Instructions,
        accelerator: Accelerator::Auto,
        append: vec![],
        boot_timeout: PATIENCE,
        silence_timeout: PATIENCE,
    }
}

/// All lines, and how it ended.
fn lines(guest: &mut Guest) -> (Vec<Vec<u8>>, Result<(), GuestError>) {
    let mut lines = Vec::new();
    loop {
        match guest.next(&|| false) {
            Ok(Some(line)) => lines.push(line),
            Ok(None) => return (lines, Ok(())),
            Err(error) => return (lines, Err(error)),
        }
    }
}
