//! Guests that end badly, each in its own way, and what the host says.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use netns_setup::guest::{Guest, GuestError, Image, Kernel, Port, Spec};

use crate::{kernel, lines, spec};

/// In the guest: comes to the end that the job names.
pub(crate) fn act(job: &[u8], port: &mut Port) -> u8 {
    port.line(b"so far so good").unwrap();
    match job {
        b"fail" => {
            eprintln!("no luck today");
            3
        }
        b"panic" => {
            fs::write("/proc/sysrq-trigger", "c").unwrap();
            0
        }
        b"hang" => loop {
            std::hint::spin_loop();
        },
        b"hog" => {
            let mut held: Vec<Vec<u8>> = Vec::new();
            loop {
                held.push(vec![1; 1 << 20]);
            }
        }
        other => panic!("a job that no test gives: {}", String::from_utf8_lossy(other)),
    }
}

fn end(job: &str, change: impl FnOnce(&mut Spec)) -> GuestError {
    let image = Image::of_this_program(job).unwrap();
    let mut spec = spec(&image);
    change(&mut spec);
    let mut guest = Guest::start(&spec, &|| false).unwrap();
    let (lines, outcome) = lines(&mut guest);
    assert_eq!(lines, [b"so far so good"], "what was sent before is kept");
    let error = outcome.unwrap_err();
    assert!(matches!(guest.next(&|| false), Ok(None)), "it is over");
    error
}

pub(crate) fn failing_work() {
    let error = end("fail", |_| ());
    assert!(matches!(error, GuestError::Work { .. }), "{error}");
    let text = error.to_string();
    assert_eq!(
        text,
        "the work in the guest failed (exit status: 3); its console's last lines:\n    no luck today"
    );
}

pub(crate) fn panic() {
    let error = end("panic", |_| ());
    assert!(matches!(error, GuestError::Panic { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("the guest's kernel panicked: sysrq triggered crash; its console's last"),
        "{text}"
    );
    assert!(text.contains("sysrq_handle_crash"), "who called: {text}");
}

pub(crate) fn hang() {
    let error = end("hang", |spec| spec.silence_timeout = Duration::from_secs(2));
    assert!(matches!(error, GuestError::Silence { .. }), "{error}");
    assert!(error.to_string().starts_with("the guest has said nothing for 2 s: it hangs, or"), "{error}");
}

pub(crate) fn out_of_memory() {
    let error = end("hog", |spec| spec.memory_mib = 160);
    assert!(matches!(error, GuestError::OutOfMemory { memory_mib: 160, .. }), "{error}");
    assert!(
        error.to_string().starts_with("the guest ran out of its 160 MiB of memory: give it more"),
        "{error}"
    );
}

pub(crate) fn no_boot() {
    let image = Image::of_this_program("fail").unwrap();
    let start = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec(&image);
        change(&mut spec);
        Guest::start(&spec, &|| false).unwrap_err()
    };
    let slow = start(&|spec| spec.boot_timeout = Duration::from_millis(100));
    assert!(matches!(slow, GuestError::BootTimeout { .. }), "{slow}");
    let small = start(&|spec| spec.memory_mib = 64);
    assert!(matches!(small, GuestError::Reset { memory_mib: 64 }), "{small}");
    let none = start(&|spec| spec.append = vec!["rdinit=/nowhere".into()]);
    assert!(matches!(none, GuestError::Panic { .. }), "{none}");
    assert!(none.to_string().contains("Unable to mount root fs"), "{none}");
}

pub(crate) fn no_start() {
    let image = Image::of_this_program("fail").unwrap();
    let gone = Kernel { image: PathBuf::from("/no/such/vmlinuz"), modules: None, release: "6.1".into() };
    let error = Guest::start(&Spec { kernel: &gone, ..spec(&image) }, &|| false).unwrap_err();
    assert!(matches!(error, GuestError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/vmlinuz"), "{error}");

    let error = Guest::start(&Spec { memory_mib: u32::MAX, ..spec(&image) }, &|| false).unwrap_err();
    assert!(matches!(error, GuestError::HostMemory { .. }), "{error}");
    assert!(kernel().modules.is_some());
}
